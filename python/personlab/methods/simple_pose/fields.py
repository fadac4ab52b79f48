"""The maps of one image, and where their cells lie on it."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from personlab.arrays.shapes import check_shape
from personlab.io.files import write_whole

if TYPE_CHECKING:
    import os

    from personlab.arrays.array import FloatArray
    from personlab.methods.simple_pose.grid import MapGrid


@dataclass(frozen=True, eq=False, kw_only=True)
class SimplePoseFields:
    """Maps of the keypoints and limbs of the people of an image, about 0..1.

    Raises:
        ValueError: maps of different sizes.
    """

    keypoints: FloatArray  # (K, h, w)
    limbs: FloatArray  # (L, h, w)
    grid: MapGrid
    others: tuple[SimplePoseFields, ...] = ()  # maps at other scales, where decoding takes each for itself

    def __post_init__(self) -> None:
        check_shape(self.keypoints, "keypoints", (None, None, None), "(K, h, w)")
        check_shape(self.limbs, "limbs", (None, *self.keypoints.shape[1:]), "(L, h, w)")

    @property
    def image_scale(self) -> tuple[float, float]:
        """(sx, sy) from the pixels of decoded people to those of the image: they are the same."""
        return 1.0, 1.0

    def to_host(self) -> SimplePoseFields:
        """Return the maps in host memory, where they are."""
        return self

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the maps of the finest scale, and where they lie, as .npz; the file appears whole or not at all.

        Raises:
            OSError: it cannot be written.
        """
        content, grid = io.BytesIO(), self.grid
        np.savez_compressed(
            content, keypoints=self.keypoints, limbs=self.limbs, stride=grid.stride, input_size=grid.input_size,
            size=grid.size,
        )  # fmt: skip
        write_whole(path, content.getvalue())
