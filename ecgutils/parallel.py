"""Work on many independent rows: in order, in several processes, each with one thread of OpenCV and of BLAS."""

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import CancelledError
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager, suppress
from functools import cache, partial
from itertools import islice
from typing import Any, TypeVar

import cv2
from joblib import cpu_count, effective_n_jobs
from joblib.externals.loky import get_reusable_executor
from threadpoolctl import ThreadpoolController

from ecgutils.files import check_time
from ecgutils.optional import optional

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


def for_each(function: Callable[..., T], rows: Iterable[tuple[Any, ...]], workers: int = 1) -> Iterator[T]:
    """`function(*row)` of each row, in the rows' order, yielded as they come.

    rows : may be a generator, or another `for_each`: the caller's thread draws from it, not far ahead.
    workers : processes; 1 works in this one, -1 is one per core; 0 raises ValueError. Where $ECG_CLUSTER is set its
        workers do it instead, see `join_cluster`.

    OutOfTime, when $ECG_DEADLINE passes, comes after a result, which the caller has kept. RuntimeError: one was killed.
    """
    if workers == 0:
        raise ValueError("workers is 0; give at least 1, or -1 for one per core.")
    processes, call, rows = effective_n_jobs(workers), partial(_alone, function), iter(rows)
    if address := os.environ.get("ECG_CLUSTER"):
        client, lost = join_cluster(address), (CancelledError, optional("distributed").KilledWorker)
        said = "The cluster lost its work: repeat the command to go on; what is done is kept."
        return _in_time(_ahead(partial(client.submit, call, pure=False), rows, partial(_workers, client), lost, said))
    if processes == 1:
        return _in_time(map(call, rows))
    return _in_time(_in_processes(call, rows, processes))


def _in_processes(call: Callable[..., T], rows: Iterator, processes: int) -> Iterator[T]:
    env = {"OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", str(max(1, cpu_count() // processes)))}
    pool = get_reusable_executor(processes, timeout=300, env=env)
    todo = "repeat the command with fewer --workers (run: --set workers=1); what is done is kept"
    said = f"A worker process was killed, most often because memory ran out: {todo}."
    try:
        yield from _ahead(partial(pool.submit, call), rows, lambda: processes, (BrokenProcessPool,), said)
    except KeyboardInterrupt:  # the end would wait for what they are at
        pool.shutdown(kill_workers=True)
        raise


@cache
def join_cluster(address: str) -> Any:
    """The `distributed.Client` of the Dask scheduler at `address`, e.g. "10.0.0.5:8786".

    Its workers need this package, the same folders and one thread each; what a lost one was at, another does again.
    ConnectionError when none answers for 5 s, there is no worker for 20 s, or one has more threads.
    """
    distributed = optional("distributed")
    try:
        distributed.comm.get_address_host_port(address)  # a client that cannot parse it would complain at exit, too
        client = distributed.Client(address, timeout=5, set_as_default=False)
    except (OSError, ValueError) as error:
        raise ConnectionError(f"No Dask scheduler is at {address!r}: start it, or correct this ({error}).") from None
    _workers(client)
    return client


def _workers(client: Any) -> int:
    with suppress(OSError):
        if not (threads := client.nthreads()):
            client.wait_for_workers(1, timeout=20)
            threads = client.nthreads()
        if set(threads.values()) == {1}:  # more would share OpenCV's number of threads
            return len(threads)
    start = f"`dask worker {client.scheduler.address} --nthreads 1`"
    raise ConnectionError(f"The cluster is gone, has no worker, or one of several threads: start them with {start}.")


def _ahead(submit: Callable, rows: Iterator, processes: Callable[[], int], lost: tuple, said: str) -> Iterator:
    """Results of other processes in order, with as many calls under way as keep these at work; what to say of `lost`
    ones."""
    waiting = deque()
    try:
        while waiting.extend(map(submit, islice(rows, max(0, 4 * processes() - len(waiting))))) or waiting:
            while not waiting[0].done():
                with suppress(TimeoutError, CancelledError):
                    waiting[0].exception(timeout=20)
                processes()  # raises where nobody is left to work
            yield waiting.popleft().result()
    except lost:
        raise RuntimeError(said) from None
    finally:
        for future in waiting:
            future.cancel()


def _in_time(results: Iterable[T]) -> Iterator[T]:
    for result in results:
        yield result
        check_time("the last records or images")


def _alone(function: Callable[..., T], row: tuple[Any, ...]) -> T:
    with one_thread():
        return function(*row)
