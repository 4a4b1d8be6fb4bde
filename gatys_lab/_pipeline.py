"""Work beside each other in several threads: results come in order, and few things wait, so that memory does not grow.

torch's threads wait for each other in every operation, and wait long where something else has a core. So each thread
here is told how many of them it has, and all together have no more than there are cores.
"""

from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

import torch

T = TypeVar("T")
R = TypeVar("R")


@contextmanager
def own_threads(count: int) -> Iterator[None]:
    """Within the block, this thread's torch works in so many threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def ahead(items: Iterable[T], depth: int = 2) -> Generator[T, None, None]:
    """The same items, each made in another thread while up to `depth` before it wait to be used."""
    iterator, end = iter(items), object()
    with _pool(1, 1) as pool:
        coming = deque(pool.submit(next, iterator, end) for _ in range(depth))
        while (item := coming.popleft().result()) is not end:
            coming.append(pool.submit(next, iterator, end))
            yield item  # type: ignore[misc]


def in_order(
    work: Callable[[T], R], items: Iterable[T], workers: int, threads: int
) -> Generator[tuple[T, R], None, None]:
    """Items and what `work` makes of them, in order; so many are worked at at a time, in so many threads each."""
    with _pool(workers, threads) as pool:
        coming: deque[tuple[T, Future[R]]] = deque()
        for item in items:
            coming.append((item, pool.submit(work, item)))
            if len(coming) > workers:
                yield _done(*coming.popleft())
        while coming:
            yield _done(*coming.popleft())


def _done(item: T, result: Future[R]) -> tuple[T, R]:
    return item, result.result()


@contextmanager
def _pool(workers: int, threads: int) -> Iterator[ThreadPoolExecutor]:
    """What has not begun when the block ends never does; what has is waited for."""
    pool = ThreadPoolExecutor(workers, initializer=torch.set_num_threads, initargs=(threads,))
    try:
        yield pool
    finally:
        pool.shutdown(cancel_futures=True)
