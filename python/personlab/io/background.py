"""Runs an iterator in a thread that can be left behind: what reads a network may wait long, and cannot be woken."""

from __future__ import annotations

import queue
import threading
from typing import TYPE_CHECKING, Any, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

T = TypeVar("T")
_POLL = 0.1  # seconds after which a waiting thread looks whether it is still wanted
_AHEAD = 2  # items that wait for the reader
_END = object()


class Background(Generic[T]):
    """Iterates over the items of `source`, which runs in another thread; `stop` ends the iteration at once.

    An exception of the source is raised where the items are read.
    """

    def __init__(self, source: Iterable[T]) -> None:
        self._items: queue.Queue[tuple[Any, BaseException | None]] = queue.Queue(_AHEAD)
        self._stopped = threading.Event()
        # A daemon: the program may end while the thread waits for a network, where it holds nothing to be written.
        threading.Thread(
            target=_run, args=(source, self._items, self._stopped), name="personlab source", daemon=True
        ).start()

    def __iter__(self) -> Iterator[T]:
        return self

    def __next__(self) -> T:
        while not self._stopped.is_set() and threading.main_thread().is_alive():
            try:
                item, error = self._items.get(timeout=_POLL)
            except queue.Empty:
                continue
            if error is not None or item is _END:
                self._stopped.set()
            if error is not None:
                raise error
            if item is not _END:
                return item  # type: ignore[no-any-return]
        raise StopIteration

    def stop(self) -> None:
        """End the iteration, and the thread as soon as it notices."""
        self._stopped.set()


def _run(source: Iterable[Any], items: queue.Queue[Any], stopped: threading.Event) -> None:
    """Queue the items; holds no reference to the `Background`."""
    last: tuple[Any, BaseException | None] = (_END, None)
    try:
        for item in source:
            if not _put(items, (item, None), stopped):
                break
    except BaseException as error:  # noqa: BLE001  # raised again where the items are read
        last = (_END, error)
    finally:
        close = getattr(source, "close", None)
        if close is not None:
            close()
    _put(items, last, stopped)


def _put(items: queue.Queue[Any], item: Any, stopped: threading.Event) -> bool:
    while not stopped.is_set():
        try:
            items.put(item, timeout=_POLL)
        except queue.Full:
            continue
        return True
    return False
