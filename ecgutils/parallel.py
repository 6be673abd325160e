"""Work on many independent rows: in order, in several processes, each with one thread of OpenCV and of BLAS."""

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from functools import cache
from typing import Any, TypeVar

import cv2
from joblib import Parallel, delayed
from threadpoolctl import ThreadpoolController

from ecgutils.files import check_time

T = TypeVar("T")
_blas = cache(ThreadpoolController)  # looks through all loaded libraries: once a process


@contextmanager
def one_thread() -> Iterator[None]:
    """OpenCV and BLAS at one thread inside, as they were afterwards.

    Several processes would fight for the cores otherwise; and the number of BLAS threads changes its rounding, so that
    pixels would depend on it.
    """
    before = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        with _blas().limit(limits=1, user_api="blas"):
            yield
    finally:
        cv2.setNumThreads(before)


def for_each(function: Callable[..., T], rows: Iterable[tuple[Any, ...]], workers: int = 1, **how: Any) -> Iterator[T]:
    """`function(*row)` of each row, in the rows' order, yielded as they come; `rows` may be a generator.

    workers : processes; 1 works in this one, -1 is one per core; 0 raises ValueError. how : more of `joblib.Parallel`,
        whose active back end (`joblib.parallel_config`) takes the calls.

    OutOfTime, when $ECG_DEADLINE passes, comes after a result, which the caller has kept. RuntimeError: one was killed.
    """
    if workers == 0:
        raise ValueError("workers is 0; give at least 1, or -1 for one per core.")
    calls = (delayed(_alone)(function, row) for row in rows)
    return _in_time(Parallel(n_jobs=workers, return_as="generator", **how)(calls))


def _in_time(results: Iterator[T]) -> Iterator[T]:
    try:
        for result in results:
            yield result
            check_time("the last records or images")
    except BrokenProcessPool:
        todo = "repeat the command with fewer --workers (run: --set workers=1); what is done is kept"
        raise RuntimeError(f"A worker process was killed, most often because memory ran out: {todo}.") from None


def _alone(function: Callable[..., T], row: tuple[Any, ...]) -> T:
    with one_thread():
        return function(*row)
