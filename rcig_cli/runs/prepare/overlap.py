"""Work side by side in threads, in order and in bounded memory.

NumPy, Pillow, zstd and the disk all let other threads run; so reading, computing and writing overlap.
"""

import threading
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager, suppress
from queue import Empty, Full, Queue
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")

_LOOK_EVERY = 0.1  # seconds
_PATIENCE = 5.0  # seconds that a reader may take to notice that nobody wants more


def overlapped(
    items: Iterable[Item],
    function: Callable[[Item], Result],
    *,
    workers: int,
    look: Callable[[], None] = lambda: None,
) -> Generator[Result, None, None]:
    """Map a function over items: a thread reads them, others compute, results come in the items' order.

    At most ``workers + 2`` items and results are held at a time.  Close it, and the threads end.

    Parameters
    ----------
    items
        Read by a thread of their own.
    function
        Called in several threads at once.
    workers
        How many; with 0 all happens in the caller's thread.
    look
        Called before each result, and often while one is waited for; it may raise.

    Raises
    ------
    Exception
        Whatever the items or the function raise, in its place in the order.
    """
    if not workers:
        for item in items:
            look()
            yield function(item)
        return
    with _reading(items, function, workers) as coming:
        while (future := _next(coming, look)) is not None:
            yield _result(future, look)


def aside(function: Callable[[], Result], look: Callable[[], None]) -> Result:
    """Call a function that takes minutes in a thread, and look meanwhile; the thread dies with the process.

    Parameters
    ----------
    function
        Without arguments.
    look
        Called often; if it raises, the function is left to itself.
    """
    future: Future[Result] = Future()

    def call() -> None:
        try:
            future.set_result(function())
        except BaseException as error:
            future.set_exception(error)

    threading.Thread(target=call, daemon=True, name="aside").start()
    return _result(future, look)


def _next(coming: "Queue[Future[Result] | None]", look: Callable[[], None]) -> Future[Result] | None:
    while True:
        look()
        with suppress(Empty):
            return coming.get(timeout=_LOOK_EVERY)


def _result(future: Future[Result], look: Callable[[], None]) -> Result:
    while not wait([future], timeout=_LOOK_EVERY).done:
        look()
    return future.result()


@contextmanager
def _reading(
    items: Iterable[Item], function: Callable[[Item], Result], workers: int
) -> Iterator[Queue[Future[Result] | None]]:
    """Read items ahead; yield the queue of what is computed of them, which ends with None."""
    coming: Queue[Future[Result] | None] = Queue(maxsize=workers + 1)
    unwanted = threading.Event()

    def put(entry: Future[Result] | None) -> None:
        while not unwanted.is_set():
            with suppress(Full):
                coming.put(entry, timeout=_LOOK_EVERY)
                return

    def read() -> None:
        iterator = iter(items)
        try:
            for item in iterator:
                if unwanted.is_set():
                    break
                put(pool.submit(function, item))
            put(None)
        except BaseException as error:
            failed: Future[Result] = Future()
            failed.set_exception(error)
            put(failed)
        finally:
            if isinstance(iterator, Generator):
                iterator.close()

    # The reader may be held up by a disk that doesn't answer, and the process must be able to end.
    reader = threading.Thread(target=read, daemon=True, name="reader")
    with ThreadPoolExecutor(workers, thread_name_prefix="worker") as pool:
        reader.start()
        try:
            yield coming
        finally:
            unwanted.set()
            reader.join(_PATIENCE)
            pool.shutdown(wait=False, cancel_futures=True)
