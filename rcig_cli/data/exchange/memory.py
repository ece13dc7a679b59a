"""A bound on the memory that a library takes while it reads a file that may lie about its sizes."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path

_SIZES = Path("/proc/self/statm")


@contextlib.contextmanager
def memory_bounded(more: int) -> Iterator[None]:
    """Let this process grow by ``more`` bytes at most; beyond that, allocations fail.

    Nothing else may be under way in the process.  Only Linux tells a process its size; elsewhere there is no
    bound.
    """
    with contextlib.ExitStack() as stack:
        with contextlib.suppress(ImportError, OSError, ValueError):
            stack.callback(_lower(more))
        yield


def _lower(more: int) -> Callable[[], None]:
    """Lower the limit; return what raises it again."""
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    wanted = int(_SIZES.read_text().split()[0]) * resource.getpagesize() + more
    set_ones = [limit for limit in (soft, hard) if limit != resource.RLIM_INFINITY]
    resource.setrlimit(resource.RLIMIT_AS, (min([wanted, *set_ones]), hard))
    return lambda: resource.setrlimit(resource.RLIMIT_AS, (soft, hard))
