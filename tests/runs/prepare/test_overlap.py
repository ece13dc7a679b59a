"""Work in threads: in order, bounded, and over when nobody wants more."""

import threading
import time

import pytest

from rcig_cli.runs.prepare.overlap import aside, overlapped


class Enough(Exception):
    pass


def never():
    pass


@pytest.mark.parametrize("workers", [0, 1, 4])
def test_results_come_in_the_order_of_the_items(workers):
    def slow_first(number):
        time.sleep(0.02 if number % 4 == 0 else 0)
        return number * number

    assert list(overlapped(range(20), slow_first, workers=workers)) == [n * n for n in range(20)]


def test_no_more_is_read_than_can_be_held():
    read = []
    numbers = (read.append(n) or n for n in range(100))
    results = overlapped(numbers, lambda n: n, workers=2)
    assert next(results) == 0
    time.sleep(0.3)
    assert len(read) <= 1 + 2 + 2  # taken, in the queue or with a worker, and one in the reader's hand
    results.close()


@pytest.mark.parametrize("workers", [0, 3])
@pytest.mark.parametrize("where", ["items", "function"])
def test_an_error_comes_in_its_place_and_no_thread_is_left(workers, where):
    before = set(threading.enumerate())

    def items():
        yield from range(5)
        if where == "items":
            raise TimeoutError("the fifth")

    def function(number):
        if where == "function" and number == 4:
            raise TimeoutError("the fifth")
        return number

    found = []
    with pytest.raises(TimeoutError, match="the fifth"):
        found.extend(overlapped(items(), function, workers=workers))
    assert found == list(range(5 if where == "items" else 4))
    assert set(threading.enumerate()) <= before


def test_closed_in_the_middle_it_closes_the_source_and_leaves_no_thread():
    before, closed = set(threading.enumerate()), []

    def items():
        try:
            yield from range(10**9)
        finally:
            closed.append(True)

    results = overlapped(items(), lambda n: n, workers=2)
    assert next(results) == 0
    results.close()
    assert closed == [True]
    assert set(threading.enumerate()) <= before


def test_one_looks_while_one_waits():
    looks = []

    def look():
        looks.append(time.monotonic())
        if len(looks) > 4:
            raise Enough

    waiting = threading.Event()
    began = time.monotonic()
    with pytest.raises(Enough):
        aside(waiting.wait, look)
    assert time.monotonic() - began < 5
    waiting.set()
    looks.clear()
    with pytest.raises(Enough):
        list(overlapped(range(3), lambda _: time.sleep(1), workers=1, look=look))


def test_what_is_called_aside_returns_or_raises():
    assert aside(lambda: 7, never) == 7
    with pytest.raises(ZeroDivisionError):
        aside(lambda: 1 // 0, never)
