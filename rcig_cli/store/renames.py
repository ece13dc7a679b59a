"""Two renames that POSIX lacks: one that never replaces, and one that swaps two names at once.

Linux has both as ``renameat2``, macOS as ``renamex_np``.  Some file systems (and older kernels)
have neither; what each function does then is said in its docstring.
"""

import errno
import functools
import os
import sys
from collections.abc import Callable
from pathlib import Path

_LINUX_FLAGS = {"exclusive": 1, "swap": 2}
_MACOS_FLAGS = {"exclusive": 4, "swap": 2}
_AT_FDCWD = -100
_UNSUPPORTED = {errno.ENOSYS, errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP}


def rename_exclusively(source: Path, target: Path) -> None:
    """Rename `source` to `target`, which must not exist.

    Where the kernel can't promise it, `target` is looked for first; a folder with something in it
    is never replaced even then, because a plain rename refuses that.

    Raises
    ------
    FileExistsError
        If there is a `target`.
    """
    if _kernel_rename(source, target, "exclusive"):
        return
    if os.path.lexists(target):
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(target))
    try:
        os.rename(source, target)
    except OSError as error:
        if error.errno != errno.ENOTEMPTY:
            raise
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(target)) from error


def swap(first: Path, second: Path) -> bool:
    """Swap what two names mean, in one step that no reader can see half done.

    Returns
    -------
    bool
        False if this machine or file system can't do it; then nothing has changed.
    """
    return _kernel_rename(first, second, "swap")


def _kernel_rename(source: Path, target: Path, how: str) -> bool:
    """Ask the kernel; False if it doesn't know this kind of rename here."""
    call = _system_call()
    if call is None:
        return False
    code = call(os.fsencode(source), os.fsencode(target), how)
    if code in _UNSUPPORTED:
        return False
    if code:
        raise OSError(code, os.strerror(code), str(source), None, str(target))
    return True


@functools.cache
def _system_call() -> Callable[[bytes, bytes, str], int] | None:
    """Return a function from two paths and a kind of rename to an errno, 0 for success."""
    import ctypes

    libc = ctypes.CDLL(None, use_errno=True)
    if sys.platform == "darwin" and hasattr(libc, "renamex_np"):
        return lambda source, target, how: _errno_of(libc.renamex_np(source, target, _MACOS_FLAGS[how]))
    if hasattr(libc, "renameat2"):
        return lambda source, target, how: _errno_of(
            libc.renameat2(_AT_FDCWD, source, _AT_FDCWD, target, _LINUX_FLAGS[how])
        )
    return None


def _errno_of(status: int) -> int:
    import ctypes

    return ctypes.get_errno() if status else 0
