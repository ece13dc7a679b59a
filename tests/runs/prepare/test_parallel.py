"""Work in threads: in order, bounded, and ended with the generator."""

import threading
import time

import pytest

from rcig_cli.runs.prepare.parallel import in_background, overlapped


class Enough(Exception):
    pass


def ended(before):
    """Whether no thread is left that wasn't there before; threads that finish get a moment."""
    deadline = time.monotonic() + 5
    while set(threading.enumerate()) - before and time.monotonic() < deadline:
        time.sleep(0.01)
    return set(threading.enumerate()) <= before


@pytest.mark.parametrize("workers", [1, 4])
def test_results_come_in_the_order_of_the_items(workers):
    def slow_first(number):
        time.sleep(0.02 if number % 4 == 0 else 0)
        return number * number

    assert list(overlapped(range(20), slow_first, workers=workers)) == [n * n for n in range(20)]


def test_no_more_is_read_than_may_be_held():
    read = []
    numbers = (read.append(n) or n for n in range(100))
    results = overlapped(numbers, lambda n: n, workers=2)
    assert next(results) == 0
    time.sleep(0.2)
    assert len(read) <= 2 + 2
    results.close()


@pytest.mark.parametrize("where", ["items", "function"])
def test_an_error_comes_in_its_place_and_threads_end(where):
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
        found.extend(overlapped(items(), function, workers=3))
    assert found == list(range(5 if where == "items" else 4))
    assert ended(before)


def test_closing_closes_the_source_and_ends_threads():
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
    assert ended(before)


def test_polling_goes_on_while_a_result_is_waited_for():
    polls, go = [], threading.Event()

    def poll():
        polls.append(time.monotonic())
        if len(polls) > 4:
            raise Enough

    with pytest.raises(Enough):
        in_background(lambda: go.wait(10), poll)
    polls.clear()
    with pytest.raises(Enough):
        list(overlapped(range(3), lambda _: go.wait(10), workers=1, poll=poll))
    go.set()


def test_the_background_returns_or_raises():
    assert in_background(lambda: 7, lambda: None) == 7
    with pytest.raises(ZeroDivisionError):
        in_background(lambda: 1 // 0, lambda: None)
