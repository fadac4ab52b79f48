"""One image in the pipeline of prediction: results of the stages, their times, and errors."""

from __future__ import annotations

import os
from contextlib import contextmanager
from dataclasses import dataclass, field
from time import perf_counter
from typing import TYPE_CHECKING, Any

from personlab.io.images import StoredImage

if TYPE_CHECKING:
    from collections.abc import Iterator

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

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Add up the time of the block, and keep an exception that ends it for the reader of the result."""
        start = perf_counter()
        try:
            yield
        except Exception as error:  # noqa: BLE001
            self.error = error
        self.times[name] = self.times.get(name, 0.0) + 1e3 * (perf_counter() - start)

    @property
    def name(self) -> str:
        """Name of the image in messages."""
        return str(self.source) if isinstance(self.source, (str, os.PathLike, StoredImage)) else "image"
