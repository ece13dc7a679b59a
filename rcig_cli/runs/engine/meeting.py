"""How a job's processes come together: each calls process 0, which answers when all are there.

They meet before JAX's own service starts.  That one can only be told what to wait for; what goes wrong there
ends in minutes of silence or in an abort, and here in a sentence.
"""

import ipaddress
import socket
import time
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from rcig_cli.errors import ConfigError, PeerStopped, RcigError
from rcig_cli.runs.engine.lines import END, GREETING, START, Line
from rcig_cli.runs.engine.seat import Seat

_MAGIC = "rcig"
_PATIENCE = 5.0  # seconds for a caller to say who it is
_AGAIN = 0.2  # seconds between calls

Lines = dict[int, Line]


def meet(seat: Seat, limit: float) -> tuple[Lines, int]:
    """Wait until all processes are there.

    Parameters
    ----------
    seat
        This process's.
    limit
        Seconds to wait.

    Returns
    -------
    lines
        In process 0 one to each other process, elsewhere one to process 0.
    port
        Free on process 0's machine a moment ago: for JAX's service.

    Raises
    ------
    RcigError
        If they don't come together in time, or don't fit.
    """
    return _wait_for_all(seat, limit) if seat.index == 0 else _call(seat, limit)


def is_loopback(host: str) -> bool:
    """Whether a host is this machine's own, reached by nobody else."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def greeting(seat: Seat) -> dict[str, Any]:
    """What a process says of itself when it calls."""
    return {
        "magic": _MAGIC,
        "index": seat.index,
        "count": seat.count,
        "versions": {name: _version(name) for name in ("rcig-cli", "jax", "jaxlib")},
    }


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "none"


def _wait_for_all(seat: Seat, limit: float) -> tuple[Lines, int]:
    until = time.monotonic() + limit
    lines: Lines = {}
    with _listening(seat) as listener:
        while len(lines) < seat.count - 1:
            listener.settimeout(max(until - time.monotonic(), 0.001))
            try:
                connection, _ = listener.accept()
            except TimeoutError:
                missing = ", ".join(str(i) for i in range(1, seat.count) if i not in lines)
                sentence = (
                    f"Only {len(lines) + 1} of {seat.count} processes came together within {limit:g} s; "
                    f"missing: {missing}. Start all with the same --coordinator and --processes, each with "
                    "its own --process."
                )
                raise _turned_away(lines, sentence) from None
            _answer(seat, lines, connection)
            _forget_ended(lines)
        port = _free_port()
        for line in lines.values():
            with suppress(OSError):  # gone again: found out at once by who watches the line
                line.send_json(START, {"magic": _MAGIC, "port": port})
    return lines, port


def _turned_away(lines: Lines, sentence: str) -> RcigError:
    for line in lines.values():
        _refuse(line, sentence)
    return RcigError(sentence)


def _listening(seat: Seat) -> socket.socket:
    # On every address: the coordinator's name may be 127.0.1.1 to its own machine.
    host = seat.host if is_loopback(seat.host) else ""
    both = not host and socket.has_dualstack_ipv6()
    family = socket.AF_INET6 if both or ":" in host else socket.AF_INET
    try:
        return socket.create_server(
            (host, seat.port), family=family, backlog=max(seat.count, 16), dualstack_ipv6=both
        )
    except (OSError, UnicodeError) as error:
        raise RcigError(
            f"Port {seat.port} can't be opened for the other processes ({_reason(error)}). Only one "
            "process is --process 0; if this is it, choose another port in --coordinator, the same for all."
        ) from error


def _answer(seat: Seat, lines: Lines, connection: socket.socket) -> None:
    """Take in a process that calls, or tell it why not; whoever else calls is left standing."""
    line = Line(connection, 0)
    try:
        connection.settimeout(_PATIENCE)
        kind, said = line.greeting()
        if kind != GREETING or not isinstance(said, dict) or said.get("magic") != _MAGIC:
            raise OSError("no process of ours")
    except OSError:
        connection.close()
        return
    _forget_ended(lines)
    problem = _problem(seat, lines, said)
    if problem:
        _refuse(line, problem)
    else:
        line.peer = said["index"]
        lines[line.peer] = line


def _forget_ended(lines: Lines) -> None:
    """Free the seats of processes that came and ended: they may be started again."""
    for peer in [peer for peer, line in lines.items() if not line.is_open()]:
        lines.pop(peer).connection.close()


def _refuse(line: Line, problem: str) -> None:
    try:
        line.send_json(END, {"magic": _MAGIC, "problem": problem})
    except OSError:  # it has left already
        pass
    finally:
        line.connection.close()


def _problem(seat: Seat, lines: Lines, said: dict[str, Any]) -> str | None:
    own = greeting(seat)
    if said["count"] != seat.count:
        return f"--processes is {said['count']} here, and {seat.count} in process 0: give all the same."
    if said["index"] in lines:
        return f"There is a process {said['index']} already: give each process its own --process."
    if said["versions"] != own["versions"]:
        return (
            f"Process 0 runs {own['versions']}, and this one {said['versions']}: install the same everywhere."
        )
    return None


def _free_port() -> int:
    with socket.socket(socket.AF_INET6 if socket.has_dualstack_ipv6() else socket.AF_INET) as trial:
        trial.bind(("", 0))
        return int(trial.getsockname()[1])


def _call(seat: Seat, limit: float) -> tuple[Lines, int]:
    until = time.monotonic() + limit
    line = Line(_connected(seat, until, limit), 0)
    try:
        line.connection.settimeout(_PATIENCE)
        line.send_json(GREETING, greeting(seat))
        # Process 0 began to wait when it liked, and says itself what it has waited for in vain.
        line.connection.settimeout(limit + _PATIENCE)
        kind, said = line.greeting()
        if not isinstance(said, dict) or said.get("magic") != _MAGIC:
            raise OSError("something else listens there")
    except OSError as error:
        line.connection.close()
        raise RcigError(
            f"{seat.host}:{seat.port} didn't answer as process 0 does ({_reason(error)}). Look at what "
            "process 0 says, or choose another port in --coordinator, the same for all processes."
        ) from error
    if kind == END:
        line.connection.close()
        raise PeerStopped(said["problem"], ConfigError.exit_code)
    return {0: line}, said["port"]


def _connected(seat: Seat, until: float, limit: float) -> socket.socket:
    while True:
        left = until - time.monotonic()
        try:
            return socket.create_connection((seat.host, seat.port), timeout=max(left, 0.001))
        except (OSError, UnicodeError) as error:
            if left < _AGAIN:
                raise RcigError(
                    f"Process 0 can't be reached at {seat.host}:{seat.port} within {limit:g} s "
                    f"({_reason(error)}). Start it there, or correct --coordinator."
                ) from error
        time.sleep(_AGAIN)


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error) or type(error).__name__
