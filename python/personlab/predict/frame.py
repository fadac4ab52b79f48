"""One image on its way through the stages of prediction, its times and its mishap, if any."""

from __future__ import annotations

import os
from contextlib import contextmanager
from dataclasses import dataclass, field
from time import perf_counter
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy as np
    from numpy.typing import NDArray

    from personlab.methods.personlab.device_fields import DeviceFields
    from personlab.methods.personlab.fields import Fields
    from personlab.predict.prediction import Prediction


@dataclass
class Item:
    """An image and what the stages have made of it so far."""

    source: Any = None
    image: Any = None  # (h, w, 3) uint8 RGB
    size: tuple[int, int] = (0, 0)  # (w, h)
    inputs: list[NDArray[np.uint8]] = field(default_factory=list)  # (H, W, 3), one for each scale
    fields: Fields | DeviceFields | None = None
    prediction: Prediction | None = None
    error: Exception | None = None
    damage: list[str] = field(default_factory=list)  # of the file, one line where there is any
    notes: list[str] = field(default_factory=list)  # to be warned of where the result is taken
    times: dict[str, float] = field(default_factory=dict)  # ms

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Add up the time the block takes, and keep the exception that ends it until the result is taken."""
        start = perf_counter()
        try:
            yield
        except Exception as error:  # noqa: BLE001
            self.error = error
        self.times[name] = self.times.get(name, 0.0) + 1e3 * (perf_counter() - start)

    @property
    def name(self) -> str:
        """What messages call the image."""
        return str(self.source) if isinstance(self.source, (str, os.PathLike)) else "image"
