"""Work on the items of a loop that a thread of its own does, while the loop fetches the next items."""

from __future__ import annotations

import threading
from collections import deque
from concurrent.futures import CancelledError, ThreadPoolExecutor
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Iterator
    from concurrent.futures import Future

A = TypeVar("A")
B = TypeVar("B")


def in_background(
    function: Callable[[A], B], items: Iterable[A], *, ahead: int = 2
) -> Generator[tuple[A, B], None, None]:
    """Yield each item and what `function` returns for it, in order; the function runs in a thread.

    An exception of the function is raised in the turn of its item, and the function is not called again. Where `items`
    raises (Ctrl-C, too), the call in progress is finished, and what is finished is yielded first. `close` waits for the
    call in progress.

    Args:
        function: called for one item after the other.
        items: fetched in the calling thread.
        ahead: items that may wait for the function.
    """
    ended = threading.Event()

    def call(item: A) -> B:
        if ended.is_set():
            raise CancelledError
        try:
            return function(item)
        except BaseException:
            ended.set()
            raise

    pending: deque[tuple[A, Future[B]]] = deque()
    executor = ThreadPoolExecutor(1, thread_name_prefix="personlab background")
    try:
        for item in items:
            pending.append((item, executor.submit(call, item)))
            yield from _results(pending, ahead)
        yield from _results(pending, 0)
    except GeneratorExit:
        raise
    except BaseException:
        ended.set()
        executor.shutdown()
        while pending and pending[0][1].exception() is None:
            item, future = pending.popleft()
            yield item, future.result()
        raise
    finally:
        ended.set()
        executor.shutdown()


def _results(pending: deque[tuple[A, Future[B]]], ahead: int) -> Iterator[tuple[A, B]]:
    """Yield what is finished, and wait until at most so many items are left."""
    while len(pending) > ahead or (pending and pending[0][1].done()):
        item, future = pending[0]
        result = future.result()  # Ctrl-C here leaves the item to the caller
        pending.popleft()
        yield item, result
