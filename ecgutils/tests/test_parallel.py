"""Rows in order, the caller's threads left as they were."""

import cv2
import pytest

from ecgutils.files import OutOfTime
from ecgutils.parallel import for_each, one_thread


def square(x):
    return x * x, cv2.getNumThreads()


@pytest.mark.parametrize("workers", [1, 2])
def test_results_come_in_the_rows_order_from_single_threaded_workers(workers):
    assert list(for_each(square, ((i,) for i in range(5)), workers)) == [(i * i, 1) for i in range(5)]


def test_threads_are_restored_even_when_a_row_fails():
    before = cv2.getNumThreads()
    with pytest.raises(ZeroDivisionError), one_thread():
        _ = 1 / 0
    assert cv2.getNumThreads() == before
    list(for_each(square, [(1,)]))
    assert cv2.getNumThreads() == before


@pytest.mark.parametrize("workers", [1, 2])
def test_when_the_time_is_up_no_result_is_lost(workers, monkeypatch):
    results = for_each(square, ((i,) for i in range(9)), workers)
    assert [next(results)[0], next(results)[0]] == [0, 1]
    monkeypatch.setenv("ECG_DEADLINE", "1")
    with pytest.raises(OutOfTime, match="The time is up before the last records or images"):
        next(results)


@pytest.mark.parametrize("workers", [1, 2])
def test_rows_may_come_from_workers_too_and_not_far_ahead(workers):
    drawn = []

    def numbers():
        for i in range(50):
            drawn.append(i)
            yield (i,)

    results = for_each(square, ((one[0],) for one in for_each(square, numbers(), workers)), workers)
    assert next(results)[0] == 0
    assert len(drawn) <= 20
    assert [result[0] for result in results] == [i**4 for i in range(1, 50)]


def test_no_workers_are_refused():
    with pytest.raises(ValueError, match="workers is 0"):
        for_each(square, [(1,)], workers=0)
