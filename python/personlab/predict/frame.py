"""One image in the pipeline of prediction: results of the stages, their times, and errors."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from time import perf_counter
from typing import TYPE_CHECKING, Any

from personlab.io.images import StoredImage

if TYPE_CHECKING:
    from personlab.methods.base import Boxes, Prepared
    from personlab.predict.prediction import Prediction


@dataclass
class Frame:
    """An image and the results of the stages so far; each stage drops what no later one reads."""

    source: Any = None
    image: Any = None  # (h, w, 3) uint8 RGB, or a `ReducedImage`
    size: tuple[int, int] = (0, 0)  # (w, h)
    boxes: Boxes | None = None  # of its people, for methods that take them
    prepared: Prepared | None = None
    fields: Any = None  # `Method.fields`, or the like on a GPU
    prediction: Prediction | None = None
    error: Exception | None = None
    damage: list[str] = field(default_factory=list)  # of the file, one line or none
    notes: list[str] = field(default_factory=list)  # warnings that come with the result
    times: dict[str, float] = field(default_factory=dict)  # ms

    def stage(self, name: str) -> _Timed:
        """Add up the time of the block, and keep an exception that ends it for the reader of the result."""
        return _Timed(self, name)

    @property
    def name(self) -> str:
        """Name of the image in messages."""
        return str(self.source) if isinstance(self.source, (str, os.PathLike, StoredImage)) else "image"


class _Timed:
    """A block of a stage; a class, as a generator costs several calls more each time."""

    __slots__ = ("_frame", "_name", "_start")

    def __init__(self, frame: Frame, name: str) -> None:
        self._frame, self._name = frame, name

    def __enter__(self) -> None:
        self._start = perf_counter()

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> bool:
        times = self._frame.times
        times[self._name] = times.get(self._name, 0.0) + 1e3 * (perf_counter() - self._start)
        if isinstance(error, Exception):
            self._frame.error = error
            return True
        return False
