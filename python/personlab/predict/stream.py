"""Stages that work at the same time, each in a thread of its own, on items that keep their order."""

from __future__ import annotations

import queue
import threading
import weakref
from typing import TYPE_CHECKING, Any, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

T = TypeVar("T")
_POLL = 0.1  # seconds after which a waiting thread looks whether it is still wanted
_PATIENCE = 10.0  # seconds that `close` waits for each thread: a source may be waiting for a camera
_END = object()


class _Failed:
    """A stage itself broke, not an item in it."""

    def __init__(self, error: BaseException) -> None:
        self.error = error


class Stream(Generic[T]):
    """An iterator over what stages make of items, in order, while the stages overlap.

    `next` gives the next result, or raises the exception of that item alone: the item after it can still be asked for.
    Leaving early is fine: `close`, the end of a `with` block, and the garbage collector end the threads.

    Args:
        source: the items; read in a thread, ahead of what is asked for by as much as the queues hold.
        stages: each takes an iterator and gives one; each runs in its own thread.
        deliver: turns what the last stage gives into a result, or raises; runs in the thread that calls `next`.
        depth: items that may wait between two stages.
    """

    def __init__(
        self,
        source: Iterable[Any],
        stages: Sequence[Callable[[Iterator[Any]], Iterator[Any]]],
        deliver: Callable[[Any], T],
        *,
        depth: int,
    ) -> None:
        stop = threading.Event()
        items: Iterator[Any] = iter(source)
        self._deliver = deliver
        self._threads = []
        for number, stage in enumerate(stages):
            target: queue.Queue[Any] = queue.Queue(depth)
            # Not daemons, which die inside the network when the program ends; they end by themselves then.
            thread = threading.Thread(target=_work, args=(stage, items, target, stop), name=f"personlab stage {number}")
            self._threads.append(thread)
            items = _taken(target, stop)
        self._items = items
        self._stop = stop
        self._done = False
        weakref.finalize(self, stop.set)
        for thread in self._threads:
            thread.start()

    def __iter__(self) -> Stream[T]:
        return self

    def __next__(self) -> T:
        if self._done:
            raise StopIteration
        try:
            item = next(self._items)
        except BaseException:
            self.close()
            raise
        return self._deliver(item)

    def close(self) -> None:
        """End the threads; what they hold is lost."""
        self._done = True
        self._stop.set()
        for thread in self._threads:
            if thread is not threading.current_thread():
                thread.join(_PATIENCE)

    def __enter__(self) -> Stream[T]:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _work(
    stage: Callable[[Iterator[Any]], Iterator[Any]],
    items: Iterator[Any],
    target: queue.Queue[Any],
    stop: threading.Event,
) -> None:
    """Run one stage to its end; knows nothing of the `Stream`, which can thus be collected."""
    last: Any = _END
    try:
        for item in stage(items):
            if not _put(target, item, stop):
                return
    except BaseException as error:  # noqa: BLE001  # to be raised where the results are taken
        last = _Failed(error)
    _put(target, last, stop)


def _wanted(stop: threading.Event) -> bool:
    return not stop.is_set() and threading.main_thread().is_alive()


def _put(target: queue.Queue[Any], item: Any, stop: threading.Event) -> bool:
    """Whether the item found its place before the stream was given up."""
    while _wanted(stop):
        try:
            target.put(item, timeout=_POLL)
        except queue.Full:
            continue
        return True
    return False


def _taken(source: queue.Queue[Any], stop: threading.Event) -> Iterator[Any]:
    """The items of a queue, up to its end, a failure, or the moment the stream is given up."""
    while _wanted(stop):
        try:
            item = source.get(timeout=_POLL)
        except queue.Empty:
            continue
        if item is _END:
            return
        if isinstance(item, _Failed):
            raise item.error
        yield item
