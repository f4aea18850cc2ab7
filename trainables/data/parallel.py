"""Work on many items in threads, in order, in bounded memory, gathering the errors of bad input.

In: a function and items. Out: its results or DataErrors in the order of the items. Threads do, since decompression,
counting and resampling release Python's lock.
"""

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

from trainables.data.dataset import DataError, Problem

MEMORY_BYTES = 2**29
"""What the files in the making may take at once, as their headers claim; a larger file is decoded alone."""

AHEAD = 8  # items a thread that may be started before the first of them is taken

Progress = Callable[[int, int], None]
Item = TypeVar("Item")
Result = TypeVar("Result")


def available_cores() -> int:
    """Return how many cores this process may use; not every system can tell these from those of the machine."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def in_parallel(
    work: Callable[[Item], Result],
    items: Sequence[Item],
    progress: Progress | None = None,
    cost: Callable[[Item], int] = lambda item: 0,
) -> Iterator[Result | DataError]:
    """Run ``work`` on every item in threads, a few ahead of what is taken, and yield results or errors in order.

    ``cost``: bytes that an item takes from its start until its result is taken. Items that would take more than the
    budget together are not started together; one that takes more alone runs alone.
    """
    num_threads = available_cores()
    waiting: deque[tuple[Future[Result | DataError], int]] = deque()
    done = taken = 0
    with ThreadPoolExecutor(num_threads) as threads:
        try:
            for item in [*items, None]:
                amount = 0 if item is None else cost(item)
                while waiting and (
                    item is None or len(waiting) >= AHEAD * num_threads or taken + amount > MEMORY_BYTES
                ):
                    future, held = waiting.popleft()
                    yield future.result()
                    done, taken = done + 1, taken - held
                    if progress:
                        progress(done, len(items))
                if item is not None:
                    waiting.append((threads.submit(_or_error, work, item), amount))
                    taken += amount
        finally:
            for future, _ in waiting:
                future.cancel()


def _or_error(work: Callable[[Item], Result], item: Item) -> Result | DataError:
    try:
        return work(item)
    except DataError as error:
        return error


def without_errors(results: Iterable[Result | DataError]) -> Iterator[Result]:
    """Yield results until the first error; then only gather the other errors, and raise them all."""
    problems: list[Problem | str] = []
    for result in results:
        if isinstance(result, DataError):
            problems += result.problems or [str(result)]
        elif not problems:
            yield result
    if problems:
        raise DataError(*problems)
