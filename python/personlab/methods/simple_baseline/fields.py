"""The heatmaps of the people of one image, and where the crops lie on it."""

from __future__ import annotations

import io
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from personlab.arrays.host import as_field
from personlab.arrays.shapes import check_shape
from personlab.io.files import write_whole

if TYPE_CHECKING:
    import os

    from numpy.typing import NDArray

    from personlab.arrays.array import FloatArray

_NAMES = ("heatmaps", "affines", "scores", "size")


@dataclass(frozen=True, eq=False, kw_only=True)
class SimpleBaselineFields:
    """Heatmaps of P people of an image, each about 0..1 on the grid of a crop, 4 pixels a cell.

    Raises:
        ValueError: arrays whose shapes disagree.
    """

    heatmaps: FloatArray  # (P, K, h, w)
    affines: NDArray[np.float64]  # (P, 2, 3) from pixels (x, y) of the image to those of the crop
    scores: NDArray[np.float64]  # (P,) of the boxes
    size: tuple[int, int]  # (H, W) of the image
    mirrored: FloatArray | None = None  # (P, K, h, w) of the mirrored crops

    def __post_init__(self) -> None:
        check_shape(self.heatmaps, "heatmaps", (None, None, None, None), "(P, K, h, w)")
        count = len(self.heatmaps)
        check_shape(self.affines, "affines", (count, 2, 3), "(P, 2, 3)")
        check_shape(self.scores, "scores", (count,), "(P,)")
        if self.mirrored is not None:
            check_shape(self.mirrored, "mirrored", self.heatmaps.shape, "(P, K, h, w)")

    @property
    def image_scale(self) -> tuple[float, float]:
        """(sx, sy) from the pixels of decoded people to those of the image: they are the same."""
        return 1.0, 1.0

    @property
    def image_size(self) -> tuple[int, int]:
        """(w, h) of the image, pixels."""
        return self.size[1], self.size[0]

    def with_image_size(self, image_size: tuple[int, int]) -> SimpleBaselineFields:
        """Return the heatmaps for an image of (w, h) pixels, whose crops they are.

        Raises:
            ValueError: their image has another size.
        """
        if tuple(image_size) != self.image_size:
            raise ValueError(f"image_size: expected {self.image_size}, got {image_size}")
        return replace(self)

    def to_host(self) -> SimpleBaselineFields:
        """Return the heatmaps in host memory, where they are."""
        return self

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the heatmaps, and where their crops lie, as .npz; the file appears whole or not at all.

        Raises:
            OSError: it cannot be written.
        """
        content, arrays = io.BytesIO(), {name: getattr(self, name) for name in _NAMES}
        if self.mirrored is not None:
            arrays["mirrored"] = self.mirrored
        np.savez_compressed(content, allow_pickle=False, **arrays)
        write_whole(path, content.getvalue())

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> SimpleBaselineFields:
        """Read the heatmaps of one image from an .npz file that `save` wrote.

        Raises:
            FileNotFoundError: no such file.
            ValueError: not such a file, or an array is missing or has the wrong shape or element type.
        """
        from personlab.io.npz import read_arrays  # and with it zipfile

        try:
            arrays, names = read_arrays(Path(path), (*_NAMES, "mirrored"), "an .npz file of heatmaps")
            missing = [name for name in _NAMES if name not in arrays]
            if missing:
                raise ValueError(f"expected an array {missing[0]!r}, got {', '.join(names[:10]) or 'none'}")  # noqa: TRY301
            check_shape(arrays["size"], "size", (2,), "(H, W)")
            numbers: dict[str, Any] = {name: _finite(arrays[name], name) for name in _NAMES[1:]}
            size: Any = tuple(int(side) for side in numbers.pop("size"))
            names = [name for name in ("heatmaps", "mirrored") if name in arrays]
            maps: dict[str, Any] = {name: as_field(arrays[name], name) for name in names}
            return cls(**maps, size=size, **numbers)
        except (TypeError, ValueError) as error:
            raise ValueError(f"{path}: {error}") from None


def _finite(array: NDArray[Any], name: str) -> NDArray[np.float64]:
    if not (np.issubdtype(array.dtype, np.floating) or np.issubdtype(array.dtype, np.integer)):
        raise TypeError(f"{name}: expected numbers, got {array.dtype}")
    if not np.isfinite(array).all():
        raise ValueError(f"{name}: expected finite numbers, got NaN or infinity among them")
    return array.astype(np.float64)
