"""A pipeline: stages that overlap, each in a thread, over frames that keep their order."""

from __future__ import annotations

import queue
import threading
import weakref
from typing import TYPE_CHECKING, Any, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

T = TypeVar("T")
_POLL = 0.1  # seconds after which a waiting thread looks whether the stream is still open
_PATIENCE = 10.0  # seconds that `close` waits for each thread: a source may be waiting for a camera
_END = object()


class _Failed:
    """Error of a stage itself, not of a frame in it."""

    def __init__(self, error: BaseException) -> None:
        self.error = error


class Stream(Generic[T]):
    """Iterator over the results of stages, in order, while the stages overlap.

    `next` returns the next result or raises the exception of that frame; the frame after it still follows.
    Leaving early is safe: `close`, the end of a `with` block, and the garbage collector end the threads.

    Args:
        source: the frames; read in a thread, ahead of the results by as much as the queues hold.
        stages: each takes an iterator and gives one; each runs in its own thread.
        deliver: turns what the last stage gives into a result, or raises; runs in the thread that calls `next`.
        depth: frames that may wait between two stages.
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
        frames: Iterator[Any] = iter(source)
        self._deliver = deliver
        self._threads = []
        for number, stage in enumerate(stages):
            target: queue.Queue[Any] = queue.Queue(depth)
            # Not daemons, which die inside the network when the program ends; they end by themselves then.
            thread = threading.Thread(
                target=_work, args=(stage, frames, target, stop), name=f"personlab stage {number}"
            )
            self._threads.append(thread)
            frames = _receive(target, stop)
        self._frames = frames
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


def _work(
    stage: Callable[[Iterator[Any]], Iterator[Any]],
    frames: Iterator[Any],
    target: queue.Queue[Any],
    stop: threading.Event,
) -> None:
    """Run one stage to its end; holds no reference to the `Stream`, which can thus be collected."""
    last: Any = _END
    try:
        for frame in stage(frames):
            if not _put(target, frame, stop):
                return
    except BaseException as error:  # noqa: BLE001  # raised again where the results are read
        last = _Failed(error)
    _put(target, last, stop)


def _is_open(stop: threading.Event) -> bool:
    return not stop.is_set() and threading.main_thread().is_alive()


def _put(target: queue.Queue[Any], frame: Any, stop: threading.Event) -> bool:
    """Return whether the frame was queued before the stream was closed."""
    while _is_open(stop):
        try:
            target.put(frame, timeout=_POLL)
        except queue.Full:
            continue
        return True
    return False


def _receive(source: queue.Queue[Any], stop: threading.Event) -> Iterator[Any]:
    """Yield the frames of a queue up to its end, a failure, or the moment the stream is closed."""
    while _is_open(stop):
        try:
            frame = source.get(timeout=_POLL)
        except queue.Empty:
            continue
        if frame is _END:
            return
        if isinstance(frame, _Failed):
            raise frame.error
        yield frame
