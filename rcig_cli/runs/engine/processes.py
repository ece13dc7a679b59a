"""Several processes as one job: coming together, agreeing, sharing, and ending together.

JAX's distributed service does the arithmetic between them.  Everything else goes over lines of our own
(runs/engine/lines.py), a star around process 0, because of what JAX 0.10 to 0.12 does when a process dies:

* it waits for heartbeats, 100 seconds, or aborts the others at once, by SIGABRT and with a stack of C++;
* a collective may fail with an error that names an address (gloo), or hang (NCCL);
* whoever is left waits at exit for the dead.

So heartbeats are as good as off, a thread at each line ends the process with a sentence when the other end
dies, and an abort waits for that thread.  As process 0 is the only one that writes, and what it writes is
whole at every instant, a process may be ended at any point.
"""

import ctypes
import json
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import ModuleType
from typing import Any, TypeVar

import numpy as np

from rcig_cli.errors import Interrupted, PeerStopped, RcigError
from rcig_cli.runs.engine.lines import ARRAY, BYE, DONE, END, TEXT, WISHES, Line
from rcig_cli.runs.engine.meeting import is_loopback, meet
from rcig_cli.runs.engine.seat import Seat

LIMIT = 120.0  # seconds until all processes are there

_GRACE = 4.0  # seconds to end by itself, for a process that has heard of another's error
_PARKED = int(signal.SIGABRT)  # seconds; more than _GRACE: see `_delay_aborts`
_LAST = 10.0  # seconds until a process that has failed is ended, whatever it still waits for
_NEVER = 10**6  # seconds without a heartbeat

Tree = TypeVar("Tree")
Tell = Callable[[str, int], None]


def tell_stderr(sentence: str, code: int) -> None:
    """Print an error as the command line does."""
    del code
    print(f"rcig: {sentence}", file=sys.stderr, flush=True)


@contextmanager
def join(
    seat: Seat | None, *, tell: Tell = tell_stderr, limit: float = LIMIT, chatter: bool = False
) -> "Iterator[Processes]":
    """Be one of a job's processes for the length of a block; before JAX has touched a device.

    Parameters
    ----------
    seat
        Which one, as `find_seat` gives it; None: the only one.
    tell
        Called from another thread with a sentence and an exit code, before that thread ends the process.
    limit
        Seconds to wait until all are there.
    chatter
        Let through what JAX's C++ parts print, all of it to stderr.  Otherwise nothing comes out from here
        to the end of the process but what Python's ``sys.stdout`` and ``sys.stderr`` are given.

    Yields
    ------
    Processes
        This process among the others.

    Raises
    ------
    RcigError
        If they don't come together.
    PeerStopped
        At the end of the block, or where this process waits for the others, if one of them failed.
    """
    if seat is None or seat.count == 1:
        yield Processes.alone()
        return
    lines, port = meet(seat, limit)
    _keep_native_output_off(chatter)
    processes = Processes(seat.index, seat.count, lines, tell)
    try:
        _start_jax(seat, port)
        yield processes
    except BaseException as error:
        processes.leave(error)
        raise
    processes.leave()


class Processes:
    """A process among those of its job.

    Attributes
    ----------
    index, count
        Which it is, from 0, and of how many.
    is_first
        Whether it is process 0, the only one that writes.
    """

    def __init__(self, index: int, count: int, lines: dict[int, Line], tell: Tell) -> None:
        self.index, self.count, self.is_first = index, count, index == 0
        self._lines, self._tell = lines, tell
        self._failure: PeerStopped | None = None  # another process's error
        self._ending = False  # whether all have agreed to end
        self._left = False
        for line in lines.values():
            line.watch(self._on_end)

    @classmethod
    def alone(cls) -> "Processes":
        """The only one of its job."""
        return cls(0, 1, {}, tell_stderr)

    def agree(self, stop: int) -> int:
        """Whether any process wants to stop: 0, or the largest of their signals' numbers.

        All processes call this at the same points.  It costs one message there and back, and waits for the
        slowest process but for no device.
        """
        return self.agree_on(stop)[0]

    def agree_on(self, stop: int, *wishes: int) -> tuple[int, ...]:
        """`agree`, and for each further wish the largest of what the processes want, up to 255.

        So that what a clock decides, to save or to look at numbers, is decided alike in all.  Once they have
        agreed to stop, each of them raises `Interrupted`, and waits for the others as it leaves.
        """
        agreed = tuple(self._meet(WISHES, bytes([stop, *wishes])))
        self._ending = self._ending or bool(agreed[0])
        return agreed

    def share_text(self, text: str) -> str:
        """What process 0 gives, in all; the others' text is ignored."""
        if self.is_first:
            self._send(TEXT, text.encode())
            return text
        return self._take(self._lines[0], TEXT).decode()

    def share(self, tree: Tree) -> Tree:
        """A pytree of arrays as process 0 has it, in all, bit for bit.

        Over our own lines: JAX's ``broadcast_one_to_all`` adds zeros to it, and so loses the sign of -0.

        Parameters
        ----------
        tree
            In process 0 the arrays; elsewhere anything of the same structure, shapes and dtypes,
            ``jax.ShapeDtypeStruct`` included.

        Returns
        -------
        Tree
            With numpy arrays as leaves; with one process, what was given.
        """
        if self.count == 1:
            return tree
        import jax

        leaves, structure = jax.tree.flatten(tree)
        described = json.dumps([[list(np.shape(leaf)), np.dtype(leaf.dtype).name] for leaf in leaves])
        if self.share_text(described) != described:
            raise RuntimeError("the trees to be shared differ between processes")
        if self.is_first:
            leaves = [np.asarray(leaf, order="C") for leaf in jax.device_get(leaves)]
            for leaf in leaves:
                self._send(ARRAY, memoryview(leaf.reshape(-1).view(np.uint8)))
        else:
            leaves = [
                np.frombuffer(self._take(self._lines[0], ARRAY), leaf.dtype).reshape(leaf.shape)
                for leaf in leaves
            ]
        return jax.tree.unflatten(structure, leaves)

    def leave(self, error: BaseException | None = None) -> None:
        """End this process's part; `join` calls this.

        Without an error, or once all have agreed to stop, wait until all the others are here too.  With an
        error of this process alone, tell the others, who then end with its sentence, and wait for nobody.

        Raises
        ------
        PeerStopped
            If another process failed.
        """
        if not self._lines or self._left:
            return
        if error is not None and not isinstance(error, RcigError | KeyboardInterrupt):
            # Most likely a collective without its partner, and the thread at the line knows in a moment.
            time.sleep(_GRACE / 2)
        if error is None or (isinstance(error, Interrupted) and self._ending):
            with suppress(PeerStopped):  # of which `_give_up` speaks
                self._leave_together()
        if not self._left:
            self._give_up(error)

    def _leave_together(self) -> None:
        """Wait for the others; the lines are watched to the end, since JAX waits for them as well."""
        self._meet(DONE, b"")
        _jax_distributed().shutdown()
        self._send(BYE)
        for line in self._lines.values():
            line.close(_GRACE)
        self._left = True

    def _give_up(self, error: BaseException | None) -> None:
        """End without the others' consent."""
        self._left = True
        failure = self._failure
        code = failure.exit_code if failure else _code(error)
        if failure is None:
            self._notify({"index": self.index, "problem": _said(error), "code": code})
        _abandon_jax()
        # The way out may lead past a collective that never ends.
        threading.Thread(target=_end_after, args=(_LAST, code), daemon=True).start()
        if failure is not None and failure is not error:
            raise failure from error

    def _meet(self, kind: bytes, own: bytes) -> bytes:
        """Give all processes what any has: the bytes of all, by `or`."""
        if self.is_first:
            answers = [self._take(line, kind) for line in self._lines.values()]
            own = bytes(map(max, zip(own, *answers, strict=True)))
            self._send(kind, own)
            return own
        self._send(kind, own)
        return bytes(self._take(self._lines[0], kind))

    def _send(self, kind: bytes, payload: bytes | memoryview = b"") -> None:
        for line in self._lines.values():
            with suppress(OSError):  # the thread at this line knows, and ends the process
                line.send(kind, payload)

    def _take(self, line: Line, kind: bytes) -> bytearray:
        message = None if self._failure else line.take(kind)
        if message is None:
            assert self._failure is not None
            raise self._failure
        return message

    def _notify(self, end: dict[str, Any], but: int | None = None) -> None:
        for peer, line in self._lines.items():
            if peer != but:
                with suppress(OSError):
                    line.send_json(END, end, patience=1.0)

    def _on_end(self, line: Line, end: dict[str, Any] | None) -> None:
        """End this process, as another one has failed or is gone; in the thread at its line."""
        if self._failure is not None or self._left:
            return
        end = end or {"index": line.peer, "problem": None, "code": RcigError.exit_code}
        who = f"Process {end['index']} of {self.count}"
        if end["problem"] is not None:
            self._failure = PeerStopped(f"{who} has stopped: {end['problem']}", end["code"])
        self._notify(end, but=line.peer)
        if self._failure is not None:
            for each in self._lines.values():
                each.interrupt()
            time.sleep(_GRACE)
            if self._left:
                return
        sentence = str(self._failure) if self._failure else f"{who} is gone{_GONE}"
        try:
            self._tell(sentence, end["code"])
        finally:
            _end_now(end["code"])


_GONE = "; the run stands at its last checkpoint. Start all processes again with --resume."


def _said(error: BaseException | None) -> str:
    if isinstance(error, RcigError):
        return str(error)
    if isinstance(error, KeyboardInterrupt):
        return "interrupted."
    return f"{type(error).__name__}: {error}"


def _code(error: BaseException | None) -> int:
    if isinstance(error, KeyboardInterrupt):
        return 128 + signal.SIGINT
    return int(getattr(error, "exit_code", RcigError.exit_code))


def _end_now(code: int) -> None:
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):
            stream.flush()
    os._exit(code)


def _end_after(seconds: float, code: int) -> None:
    time.sleep(seconds)
    _end_now(code)


def _start_jax(seat: Seat, port: int) -> None:
    import jax

    _delay_aborts()
    # gRPC would call a web proxy to reach process 0; the others have reached it without.
    os.environ["no_grpc_proxy"] = seat.host  # noqa: SIM112
    jax.config.update("jax_check_proxy_envs", False)
    # It takes SIGTERM for itself.
    jax.config.update("jax_enable_preemption_service", False)
    host = f"[{seat.host}]" if ":" in seat.host else seat.host
    try:
        jax.distributed.initialize(
            f"{host}:{port}",
            seat.count,
            seat.index,
            seat.devices,
            cluster_detection_method="deactivate",
            initialization_timeout=60,
            heartbeat_timeout_seconds=_NEVER,
            shutdown_timeout_seconds=int(_LAST),
            coordinator_bind_address=f"{host}:{port}" if is_loopback(seat.host) else None,
        )
        # Opening the devices waits for all processes to do so; later, one may want to while others don't.
        jax.devices()
    except Exception as error:
        first = (str(error) or type(error).__name__).splitlines()[0]
        raise RcigError(f"JAX can't connect the processes at {host}:{port}: {first}") from error


def _jax_distributed() -> ModuleType:
    import jax

    return jax.distributed


def _abandon_jax() -> None:
    """Keep JAX from waiting, at exit, for processes that won't come."""
    from jax._src import distributed

    state = distributed.global_state
    for each in (state.client, state.service):
        if each is not None:  # its destructor would wait as well
            ctypes.pythonapi.Py_IncRef(ctypes.py_object(each))
    state.client = state.service = None


def _delay_aborts() -> None:
    """Let an abort wait for some seconds, in which a thread at a line can end the process in good order.

    When process 0 dies, JAX's client aborts this process within a millisecond, from a thread of its own that
    no Python can be run in.  So libc's own ``sleep``, which a signal handler may call, is made the handler of
    SIGABRT.  It takes the signal's number, 6, for seconds; afterwards the abort goes on.
    """
    libc = ctypes.CDLL(None)
    libc.signal.argtypes, libc.signal.restype = (ctypes.c_int, ctypes.c_void_p), ctypes.c_void_p
    libc.signal(_PARKED, ctypes.cast(libc.sleep, ctypes.c_void_p))


def _keep_native_output_off(chatter: bool) -> None:
    """Leave the file descriptors 1 and 2 to what isn't Python, and keep what Python writes apart from it.

    gloo announces its connections on stdout, and the coordination service logs errors at any level asked for.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    sink = os.open(os.devnull, os.O_WRONLY)
    for name, number in (("stdout", 1), ("stderr", 2)):
        old = getattr(sys, name)
        own = os.dup(number)
        stream = open(own, "w", encoding=old.encoding, errors=old.errors, buffering=1, closefd=False)  # noqa: SIM115
        setattr(sys, name, stream)
    os.dup2(2 if chatter else sink, 1)
    if not chatter:
        os.dup2(sink, 2)
    os.close(sink)
