"""Work in threads while the main thread stays responsive to signals.

NumPy, Pillow, zstd and the disk all release Python's lock, so that reading, computing and writing overlap.
"""

from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")

_POLL_EVERY = 0.1  # seconds
_CLOSE_WITHIN = 5.0  # seconds that a source may take to finish the batch that it is reading


def overlapped(
    items: Iterable[Item],
    function: Callable[[Item], Result],
    *,
    workers: int,
    poll: Callable[[], None] = lambda: None,
) -> Generator[Result, None, None]:
    """Map a function over items: one thread reads them, others compute; results keep the items' order.

    At most ``workers + 2`` items and results are held at a time.  Closing the generator ends the threads.

    Parameters
    ----------
    items
        Read in one thread.
    function
        Called in several threads at once.
    workers
        Number of threads that compute.
    poll
        Called before each result, and every 0.1 s while one is waited for; it may raise.

    Raises
    ------
    Exception
        An error of the items or the function, when its result is due.
    """
    iterator = iter(items)
    reader = ThreadPoolExecutor(1, thread_name_prefix="reader")
    pool = ThreadPoolExecutor(workers, thread_name_prefix="worker")

    def read() -> Future[Result] | None:
        for item in iterator:
            return pool.submit(function, item)
        return None

    pending = deque(reader.submit(read) for _ in range(workers + 1))
    try:
        while (result := _result(pending.popleft(), poll)) is not None:
            pending.append(reader.submit(read))
            yield _result(result, poll)
    finally:
        for each in pending:
            each.cancel()
        if isinstance(iterator, Generator):
            wait([reader.submit(iterator.close)], timeout=_CLOSE_WITHIN)
        for executor in (reader, pool):
            executor.shutdown(wait=False, cancel_futures=True)


def in_background(function: Callable[[], Result], poll: Callable[[], None]) -> Result:
    """Call a function that takes minutes in a thread, and poll meanwhile.

    If ``poll`` raises, the thread continues, but its result is dropped.  A normal exit of the interpreter
    waits for the thread; a process that has to end earlier must call `os._exit`, as the command line does.
    (The interpreter would not wait for a daemon thread, but destructors of libraries would run while it
    computes, and that of OpenBLAS would block for ever.)

    Parameters
    ----------
    function
        Without arguments.
    poll
        Called every 0.1 s.
    """
    executor = ThreadPoolExecutor(1, thread_name_prefix="background")
    future = executor.submit(function)
    executor.shutdown(wait=False)
    return _result(future, poll)


def _result(future: Future[Result], poll: Callable[[], None]) -> Result:
    poll()
    while not wait([future], timeout=_POLL_EVERY).done:
        poll()
    return future.result()
