"""A pipeline: stages that overlap, each in one or several threads, over frames that keep their order."""

from __future__ import annotations

import itertools
import queue
import threading
import weakref
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

T = TypeVar("T")
_POLL = 0.1  # seconds after which a waiting thread looks whether the stream is still open
_PATIENCE = 10.0  # seconds that `close` waits for each thread: a source may be waiting for a camera


class Stage(NamedTuple):
    """What is done to frames, and by how many threads."""

    work: Callable[[list[Any]], list[Any]]  # frames -> frames, in their order
    workers: int = 1  # threads that may call `work` at once
    batch: int = 1  # max frames of one call


class Stream(Generic[T]):
    """Iterator over the results of stages, in order, while the stages overlap.

    `next` returns the next result or raises the exception of that frame; the frame after it still follows.
    Leaving early is safe: `close`, the end of a `with` block, and the garbage collector end the threads.

    Args:
        source: the frames; read in threads, one at a time, ahead of the results by as much as the queues hold.
        stages: in their order.
        deliver: turns what the last stage gives into a result, or raises; runs in the thread that calls `next`.
    """

    def __init__(self, source: Iterable[Any], stages: Sequence[Stage], deliver: Callable[[Any], T]) -> None:
        stop = threading.Event()
        feed = _Feed(iter(source))
        self._deliver = deliver
        self._threads = []
        for number, stage in enumerate(stages):
            # What the next stage takes at once, and one frame more, may be finished or in work.
            takers = stages[number + 1] if number + 1 < len(stages) else Stage(stage.work)
            depth = -(-takers.workers * takers.batch // stage.batch) + stage.workers
            target = _Line(depth)
            for _ in range(stage.workers):
                # Not daemons, which die inside the network when the program ends; they end by themselves then.
                thread = threading.Thread(
                    target=_work, args=(stage, feed, target, stop), name=f"personlab stage {number}"
                )
                self._threads.append(thread)
            feed = _Feed(_receive(target, stop))
        self._frames = feed.frames
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
            frame = next(self._frames)
        except BaseException:
            self.close()
            raise
        return self._deliver(frame)

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


@dataclass
class _Feed:
    """The frames that the workers of a stage share."""

    frames: Iterator[Any]
    lock: threading.Lock = field(default_factory=threading.Lock)
    ended: bool = False

    def take(self, count: int) -> list[Any]:
        """Return the next frames, up to so many; none at the end. The caller holds the lock."""
        frames: list[Any] = []
        try:
            frames = list(itertools.islice(self.frames, count))
        finally:
            self.ended = not frames
        return frames


class _Place:
    """The place of one result of a stage in its line: frames, once they are ready, or the error of the stage.

    Waited for by one thread, for which a lock is enough: an event is several calls of Python each time.
    """

    __slots__ = ("_pending", "error", "frames")

    def __init__(self) -> None:
        self.frames: list[Any] | None = None  # none at the end
        self.error: BaseException | None = None
        self._pending = threading.Lock()
        self._pending.acquire()

    def finish(self) -> None:
        """Say that the result is complete."""
        self._pending.release()

    def wait(self, seconds: float) -> bool:
        """Return whether the result is complete; it is taken once."""
        return self._pending.acquire(timeout=seconds)


class _Line:
    """A queue of at most `depth` places, of two that are written in C."""

    __slots__ = ("_free", "_taken")

    def __init__(self, depth: int) -> None:
        self._taken: queue.SimpleQueue[_Place] = queue.SimpleQueue()
        self._free: queue.SimpleQueue[None] = queue.SimpleQueue()
        for _ in range(depth):
            self._free.put(None)

    def put(self, place: _Place, seconds: float) -> bool:
        """Return whether there was, or came to be, a free place."""
        try:
            self._free.get(timeout=seconds)
        except queue.Empty:
            return False
        self._taken.put(place)
        return True

    def get(self, seconds: float) -> _Place:
        """Return the next place.

        Raises:
            queue.Empty: there is none for so long.
        """
        place = self._taken.get(timeout=seconds)
        self._free.put(None)
        return place


def _work(stage: Stage, feed: _Feed, target: _Line, stop: threading.Event) -> None:
    """Work until the frames end; holds no reference to the `Stream`, which can thus be collected.

    A result has its place in the line before its frames are taken: this keeps their order, whoever finishes first.
    """
    while True:
        place = _Place()
        try:
            with feed.lock:
                if feed.ended or not _put(target, place, stop):
                    return
                place.frames = feed.take(stage.batch)
            if place.frames:
                place.frames = stage.work(place.frames)
        except BaseException as error:  # noqa: BLE001  # raised again where the results are read
            place.error = error
        place.finish()


def _is_open(stop: threading.Event) -> bool:
    return not stop.is_set() and threading.main_thread().is_alive()


def _put(target: _Line, place: _Place, stop: threading.Event) -> bool:
    """Return whether the place was queued before the stream was closed."""
    while _is_open(stop):
        if target.put(place, _POLL):
            return True
    return False


def _receive(source: _Line, stop: threading.Event) -> Iterator[Any]:
    """Yield the frames of a queue up to its end, a failure, or the moment the stream is closed."""
    while _is_open(stop):
        try:
            place = source.get(_POLL)
        except queue.Empty:
            continue
        while not place.wait(_POLL):
            if not _is_open(stop):
                return
        if place.error is not None:
            raise place.error
        if not place.frames:
            return
        frames = place.frames[::-1]
        del place  # and with it the frames that were passed on
        while frames:
            yield frames.pop()
