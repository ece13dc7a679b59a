"""What is watched while an input is fed: writes elsewhere, programs started, warnings, time and memory.

An audit hook can't be taken out of a process again, so it hears everything and speaks up only while a guard
is on duty.  C++ libraries don't pass by it: for them there is a canary beside the scratch folder.
"""

import errno
import io
import os
import re
import shutil
import signal
import sys
import tempfile
import threading
import warnings
from contextlib import contextmanager, redirect_stderr
from pathlib import Path

_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
# The events of sys.audit that change a file, with the places of the paths (and folders' descriptors) among
# their arguments.
_EVENTS = {
    "os.rename": ((0, 2), (1, 3)),
    "os.link": ((1, 3),),
    "os.symlink": ((1, 2),),
    "os.mkdir": ((0, 2),),
    "os.remove": ((0, 1),),
    "os.rmdir": ((0, 1),),
    "os.truncate": ((0, None),),
    "os.chmod": ((0, 2),),
    "os.chown": ((0, 3),),
    "os.utime": ((0, 3),),
}
_PROGRAMS = {"subprocess.Popen", "os.system", "os.exec", "os.posix_spawn", "os.fork", "socket.connect"}
_LOUD = re.compile(r"Traceback|[A-Z][a-z]+Warning:|Exception ignored|should not have happened")
_HARMLESS = ("/dev/null", "/dev/tty", "/proc/self/")


class TooSlow(BaseException):
    """An input took longer than any should; nothing in between may catch it."""


class Guard:
    """Watches one process.

    Parameters
    ----------
    root
        The folder under which everything may be written; the scratch folders are made in it.
    seconds
        What an input may take.
    """

    def __init__(self, root: Path, seconds: float = 60.0) -> None:
        self.root, self.seconds = Path(os.path.realpath(root)), seconds
        self.offences: list[str] = []
        self.largest = 0  # bytes
        self._owner: int | None = None
        self._canary = self.root / "canary"
        (self._canary / "folder").mkdir(parents=True)
        (self._canary / "file").write_bytes(b"untouched")
        self._expected = _census(self._canary)
        signal.signal(signal.SIGALRM, _too_slow)
        sys.addaudithook(self._hear)

    @contextmanager
    def on_duty(self, memory: int):
        """Give a fresh scratch folder; afterwards raise `AssertionError` for what mustn't have happened."""
        scratch = Path(tempfile.mkdtemp(dir=self.root, prefix="scratch-"))
        home = os.getcwd()
        os.chdir(scratch)
        before = start_of_memory()
        try:
            # As the command does it: what libraries warn of is nothing to a user.
            with warnings.catch_warnings(action="ignore"), redirect_stderr(io.StringIO()) as said:
                self.offences, self._owner = [], threading.get_ident()
                signal.setitimer(signal.ITIMER_REAL, self.seconds)
                try:
                    yield scratch
                finally:
                    signal.setitimer(signal.ITIMER_REAL, 0)
                    self._owner = None
            taken = peak_of_memory() - before
            self.largest = max(self.largest, taken)
            self._judge(taken, memory, said)
        finally:
            os.chdir(home)
            _remove(scratch)

    def _judge(self, taken, memory, said):
        assert not self.offences, self.offences[0]
        words = said.getvalue()
        assert not _LOUD.search(words), f"on stderr: {words[:500]}"
        assert taken <= memory, f"it took {taken} bytes, and {memory} is the limit"
        if _census(self._canary) != self._expected:
            raise AssertionError("the folder beside it was changed")

    def _hear(self, event, arguments):
        if self._owner is None:
            return
        if event in _PROGRAMS:
            self.offences.append(f"{event} {arguments[:2]!r}")
        elif event == "open":
            path, _, flags = arguments
            refused = isinstance(flags, int) and flags & os.O_NOFOLLOW and os.path.islink(path)
            if isinstance(flags, int) and flags & _WRITING and not refused:
                self._check(event, path, None)
        elif event in _EVENTS:
            for place, folder in _EVENTS[event]:
                self._check(event, arguments[place], None if folder is None else arguments[folder])

    def _check(self, event, path, folder):
        if isinstance(path, int):
            return  # opened before
        path = os.fsdecode(path)
        if isinstance(folder, int) and folder >= 0 and not os.path.isabs(path):
            path = os.path.join(os.readlink(f"/proc/self/fd/{folder}"), path)
        # A link that is itself made or removed isn't followed; the folder it lies in counts.
        where = os.path.join(os.path.realpath(os.path.dirname(path) or "."), os.path.basename(path))
        if event == "open":
            where = os.path.realpath(path)
        inside = os.path.commonpath([where, self.root]) == str(self.root)
        if (not inside or where.startswith(str(self._canary))) and not where.startswith(_HARMLESS):
            self.offences.append(f"{event} of {where}, outside its folder")
            raise PermissionError(errno.EPERM, "not in a test", where)  # so that nothing comes of it


def _census(folder):
    return sorted((p.name, p.lstat().st_mtime_ns, p.lstat().st_size) for p in (folder, *folder.rglob("*")))


def _remove(scratch):
    """Remove a scratch folder, whatever its permissions are by now."""
    shutil.rmtree(scratch, ignore_errors=True)
    if scratch.exists():
        for folder, _, _ in os.walk(scratch):
            os.chmod(folder, 0o700)
        shutil.rmtree(scratch)


def _too_slow(number, frame):
    raise TooSlow


def start_of_memory() -> int:
    """Let the process's peak begin anew, and return what it takes now, in bytes."""
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return peak_of_memory()
    return _status("VmRSS")


def peak_of_memory() -> int:
    """The most bytes of memory the process has taken since `start_of_memory`."""
    return _status("VmHWM")


def _status(name: str) -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(name):
            return int(line.split()[1]) * 1024
    raise RuntimeError(f"/proc/self/status has no {name}")
