"""Several processes that distill one run together, on one machine or on many.

JAX connects them (``jax.distributed``), detects that one of them is gone (heartbeats), and moves data between
them (``jax.experimental.multihost_utils``).  All processes compute the same run in lockstep, and process 0
alone writes files.

When a process ends early, because it was killed or by an error, every other process ends with a non-zero exit
code:

* at once, with an error message of rcig, if it takes part in a collective operation over gloo (on the CPU);
* at once, aborted by JAX's client, if process 0 ended;
* otherwise within about `HEARTBEAT_TIMEOUT`, aborted by JAX's client, for example in a collective over NCCL.

Files are written atomically, so a process may be ended at any time, and the run can be resumed afterwards
with another number of processes.
"""

import atexit
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np

from rcig_cli import __version__
from rcig_cli.errors import ConfigError, Interrupted, RcigError
from rcig_cli.runs.signals import leave

CONNECT_TIMEOUT = 120  # seconds until all processes have to be connected
HEARTBEAT_TIMEOUT = 30  # seconds without a heartbeat until a process is considered dead
LEAVE_TIMEOUT = 600  # seconds to wait at the end for a live process, which may be saving

Tree = TypeVar("Tree")
Tell = Callable[[str, int], None]

_VARIABLES = {
    "--coordinator": "RCIG_COORDINATOR",
    "--processes": "RCIG_PROCESSES",
    "--process": "RCIG_PROCESS",
}


@dataclass(frozen=True)
class ProcessSpec:
    """How this process connects to the others.

    Attributes
    ----------
    coordinator
        ``HOST:PORT`` at which process 0 listens; None: JAX detects everything from the cluster (Slurm, ...).
    count, index
        Number of processes, and which of them this is, from 0.
    """

    coordinator: str | None = None
    count: int | None = None
    index: int | None = None

    @classmethod
    def find(
        cls, coordinator: str | None = None, processes: int | None = None, process: int | None = None
    ) -> "ProcessSpec":
        """Take each setting from its option, else from its ``RCIG_*`` variable; with none, detect a cluster.

        Raises
        ------
        ConfigError
            If only some are given, or one has an impossible value.
        """
        options = dict(zip(_VARIABLES, (coordinator, processes, process), strict=True))
        given = {
            option: os.environ.get(_VARIABLES[option], "") if value is None else str(value)
            for option, value in options.items()
        }
        missing = [f"{option} ({_VARIABLES[option]})" for option, value in given.items() if not value]
        if len(missing) == len(given):
            return cls()
        if missing:
            raise ConfigError(f"{', '.join(given)} are required together: add {', '.join(missing)}.")
        for option in ("--processes", "--process"):
            if not given[option].lstrip("-").isdecimal():
                raise ConfigError(f"{option} ({_VARIABLES[option]}) must be a number, not {given[option]!r}.")
        address, count, index = given["--coordinator"], int(given["--processes"]), int(given["--process"])
        host, _, port = address.rpartition(":")
        if not host or not port.isdecimal() or not 0 < int(port) < 2**16:
            raise ConfigError(
                f"--coordinator {address} must be HOST:PORT: the host of process 0 and a free port."
            )
        if count < 1:
            raise ConfigError(f"--processes {count} must be at least 1.")
        if not 0 <= index < count:
            raise ConfigError(f"--process {index} must be from 0 to {count - 1} with --processes {count}.")
        return cls(address, count, index)


@dataclass
class Processes:
    """The processes that distil a run together, seen from one of them.

    The methods are collective operations: all processes have to call them, in the same order.

    Attributes
    ----------
    index, count
        Which process this is, from 0, and the number of processes.
    stopping
        Whether all processes have agreed to stop.
    """

    index: int = 0
    count: int = 1
    stopping: bool = False

    @property
    def is_first(self) -> bool:
        """Whether this is process 0, the only one that writes."""
        return self.index == 0

    def agree_on(self, stop: int, *wishes: int) -> tuple[int, ...]:
        """For each argument, the largest value that any process passes.

        All processes make decisions that depend on a signal or a clock in this way.  The call waits for
        computations that are already on the devices.

        Parameters
        ----------
        stop
            Number of the signal that asks this process to stop, or 0.  If the result is not 0, every process
            has to raise `Interrupted`.
        wishes
            Anything else, such as whether to save, and the number of steps in the next call.
        """
        agreed = [stop, *wishes]
        if self.count > 1:
            from jax.experimental.multihost_utils import process_allgather

            agreed = process_allgather(np.array(agreed, np.int32)).max(axis=0).tolist()
        self.stopping = self.stopping or agreed[0] != 0
        return tuple(agreed)

    def share_text(self, text: str) -> str:
        """The text of process 0; the others' is ignored."""
        encoded = np.frombuffer(text.encode(), np.uint8)
        length = int(self.share(np.array(encoded.size)))
        return self.share(encoded if self.is_first else np.zeros(length, np.uint8)).tobytes().decode()

    def share(self, tree: Tree) -> Tree:
        """A pytree of arrays as process 0 has it, bit for bit.

        Parameters
        ----------
        tree
            In process 0 the arrays; elsewhere anything of the same structure, shapes and dtypes,
            ``jax.ShapeDtypeStruct`` included.

        Returns
        -------
        Tree
            With NumPy arrays as leaves; with one process, ``tree`` itself.
        """
        if self.count == 1:
            return tree
        import jax
        from jax.experimental.multihost_utils import broadcast_one_to_all

        # Sent as bytes: JAX broadcasts by adding zeros, and -0.0 + 0.0 is 0.0.
        def to_bytes(leaf: Any) -> np.ndarray[Any, Any]:
            if self.is_first:
                return np.asarray(leaf, order="C").reshape(-1).view(np.uint8)
            return np.zeros(leaf.size * leaf.dtype.itemsize, np.uint8)

        def from_bytes(received: Any, leaf: Any) -> np.ndarray[Any, Any]:
            return np.frombuffer(np.asarray(received).tobytes(), leaf.dtype).reshape(leaf.shape)

        return jax.tree.map(from_bytes, broadcast_one_to_all(jax.tree.map(to_bytes, tree)), tree)


@contextmanager
def join(spec: ProcessSpec | None, *, tell: Tell) -> Iterator[Processes]:
    """Connect this process with the others for the length of a block; before JAX has used a device.

    At the end of the block the processes wait for each other.  After an error they don't: at exit JAX would
    wait for processes that may be gone, so Python then exits without JAX's exit handlers.

    Parameters
    ----------
    spec
        How to find the others; None for a single process.
    tell
        Called by another thread with an error message and an exit code, before it ends this process because
        the others did not connect in time.

    Raises
    ------
    ConfigError
        If no cluster is detected.
    RcigError
        If the processes can't be connected, or another process ended during a collective operation.
    """
    if spec is None or spec.count == 1:
        yield Processes()
        return
    import jax

    _discard_native_stdout()
    try:
        processes = _connect(spec, tell)
        try:
            yield processes
        except Interrupted:
            if processes.stopping:  # the others stop too, and process 0 may still be saving
                jax.distributed.shutdown()
            raise
        jax.distributed.shutdown()
    except BaseException as error:
        default = 128 + signal.SIGINT if isinstance(error, KeyboardInterrupt) else RcigError.exit_code
        # Called before JAX's own exit handler, which was registered earlier.
        atexit.register(leave, getattr(error, "exit_code", default))
        if _is_lost_connection(error):
            raise RcigError(
                "Another process has ended, or the connection to it was lost; its output may show the cause. "
                "To resume from the last checkpoint, start all processes again with --resume."
            ) from error
        raise


def _connect(spec: ProcessSpec, tell: Tell) -> Processes:
    """Start JAX's coordination service in process 0, and connect the processes with it and each other."""
    import jax

    # JAX's preemption service would replace rcig's handler of SIGTERM.
    jax.config.update("jax_enable_preemption_service", False)
    # gRPC would call a web proxy to reach process 0; an empty value means none.
    os.environ["grpc_proxy"] = ""  # noqa: SIM112
    jax.config.update("jax_check_proxy_envs", False)
    if spec.coordinator is not None and spec.index == 0:
        check_port(int(spec.coordinator.rpartition(":")[2]))
    # At its own time limit JAX would abort the process with a C++ stack trace.
    timer = threading.Timer(CONNECT_TIMEOUT, _give_up, (spec, tell))
    timer.daemon = True
    timer.start()
    try:
        jax.distributed.initialize(
            spec.coordinator,
            spec.count,
            spec.index,
            cluster_detection_method=None if spec.coordinator is None else "deactivate",
            initialization_timeout=CONNECT_TIMEOUT + 10,
            heartbeat_timeout_seconds=HEARTBEAT_TIMEOUT,
            shutdown_timeout_seconds=LEAVE_TIMEOUT,
        )
        processes = Processes(jax.process_index(), jax.process_count())
        _check_versions(processes)
        return processes
    except (KeyError, ValueError) as error:
        if spec.coordinator is not None or _is_lost_connection(error):
            raise
        raise ConfigError(
            f"--distributed finds no usable cluster settings (JAX: {error}). Start each process with "
            "--coordinator HOST:PORT, --processes N and its own --process, from 0."
        ) from error
    finally:
        timer.cancel()


def check_port(port: int) -> None:
    """Refuse a port that is in use, because JAX would crash."""
    try:
        socket.create_server(("", port)).close()
    except OSError as error:
        raise RcigError(
            f"Process 0 can't open port {port} ({os.strerror(error.errno or 0)}). Only one process may be "
            "--process 0; if this is it, choose another port in --coordinator, the same for all processes."
        ) from error


def _check_versions(processes: Processes) -> None:
    """Refuse processes with other versions.  As the first collective operation, this also connects gloo."""
    import jax

    own = f"rcig {__version__} and JAX {jax.__version__}"
    first = processes.share_text(own)
    if first != own:
        raise RcigError(f"Process 0 runs {first}, but this one runs {own}: install the same versions.")


def _is_lost_connection(error: BaseException) -> bool:
    """Whether an error is JAX's report that another process ended; the type of it varies."""
    signs = ("Gloo", "NCCL", "UNAVAILABLE", "coordination service")
    return isinstance(error, RuntimeError | ValueError) and any(sign in str(error) for sign in signs)


def _give_up(spec: ProcessSpec, tell: Tell) -> None:
    message = (
        f"The processes did not all connect to {spec.coordinator or 'process 0'} within {CONNECT_TIMEOUT} s. "
        "Start all with the same --coordinator and --processes, and each with its own --process, from 0."
    )
    tell(message, RcigError.exit_code)
    leave(RcigError.exit_code)


def _discard_native_stdout() -> None:
    """Discard what C++ code prints to stdout, where gloo announces its connections; keep Python's output."""
    sys.stdout.flush()
    stream = os.fdopen(os.dup(1), "w", encoding=sys.stdout.encoding, errors=sys.stdout.errors, buffering=1)
    with open(os.devnull, "w") as sink:
        os.dup2(sink.fileno(), 1)
    sys.stdout = stream
