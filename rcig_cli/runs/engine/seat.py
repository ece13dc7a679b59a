"""Which of how many processes this one is, and where they meet: options, the environment, or a cluster."""

import os
from collections.abc import Mapping
from dataclasses import dataclass

from rcig_cli.errors import ConfigError, RcigError

_VARIABLES = {
    "--coordinator": "RCIG_COORDINATOR",
    "--processes": "RCIG_PROCESSES",
    "--process": "RCIG_PROCESS",
}
_LAST_PORT = 65535


@dataclass(frozen=True)
class Seat:
    """One process's place among those of a job.

    Attributes
    ----------
    host, port
        Where process 0 waits for the others.
    count, index
        How many processes there are, and which of them this is, from 0.
    devices
        The local accelerators it takes, by number; None: all it sees.
    """

    host: str
    port: int
    count: int
    index: int
    devices: tuple[int, ...] | None = None

    def __post_init__(self) -> None:
        if not 0 < self.port <= _LAST_PORT or not self.host:
            raise ConfigError(
                "--coordinator is HOST:PORT, where process 0 runs and a port that is free there."
            )
        if self.count < 1:
            raise ConfigError(f"--processes {self.count} can't be: there is at least one.")
        if not 0 <= self.index < self.count:
            raise ConfigError(
                f"--process {self.index} of --processes {self.count} can't be: they are numbered from 0 to "
                f"{self.count - 1}."
            )


def find_seat(
    coordinator: str | None = None,
    processes: int | None = None,
    process: int | None = None,
    *,
    environment: Mapping[str, str] | None = None,
) -> Seat:
    """Find this process's seat: options, then ``RCIG_*`` variables, then what the cluster says.

    Parameters
    ----------
    coordinator, processes, process
        What was given for ``--coordinator``, ``--processes`` and ``--process``.
    environment
        In place of this process's own.

    Raises
    ------
    ConfigError
        If something is missing or can't be.
    """
    found = os.environ if environment is None else environment
    options = dict(zip(_VARIABLES, (coordinator, processes, process), strict=True))
    given = {
        option: found.get(_VARIABLES[option]) if value is None else str(value)
        for option, value in options.items()
    }
    missing = [f"{option} ({_VARIABLES[option]})" for option, value in given.items() if not value]
    if len(missing) == len(given):
        return _seat_in_cluster()
    if missing:
        raise ConfigError(
            f"By hand, several processes need all of {', '.join(given)}: give {', '.join(missing)}."
        )
    host, port = _split(str(given["--coordinator"]))
    return Seat(host, port, _number(given, "--processes"), _number(given, "--process"))


def _split(address: str) -> tuple[str, int]:
    host, _, port = address.rpartition(":")
    return host.strip("[]"), int(port) if port.isdecimal() else 0


def _number(given: Mapping[str, str | None], option: str) -> int:
    text = str(given[option])
    if not text.lstrip("-").isdecimal():
        raise ConfigError(f"{option} ({_VARIABLES[option]}) is a number, not {text!r}.")
    return int(text)


def _seat_in_cluster() -> Seat:
    """The seat that Slurm or another cluster JAX knows has given this process."""
    # What jax.distributed.initialize() itself asks.  Here it is asked first, since the processes meet on
    # their own before JAX does: see runs/engine/processes.py.
    from jax._src.clusters import ClusterEnv

    try:
        address, count, index, devices = ClusterEnv.auto_detect_unset_distributed_params(
            None, None, None, None, None, 60
        )
    except Exception as error:  # whatever a cluster's variables that can't be read lead to
        raise RcigError(f"The cluster's variables can't be read ({error}). {_BY_HAND}") from error
    if address is None or count is None or index is None:
        raise ConfigError(
            "--distributed finds no cluster here: start the processes with Slurm's srun, or by hand. "
            + _BY_HAND
        )
    host, port = _split(address)
    return Seat(host, port, count, index, None if devices is None else tuple(devices))


_BY_HAND = "By hand, each gets --coordinator HOST:PORT, --processes N and its own --process I, from 0."
