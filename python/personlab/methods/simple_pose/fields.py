"""The maps of one image, and where their cells lie on it."""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from personlab.arrays.host import as_field
from personlab.arrays.shapes import check_shape
from personlab.io.files import write_whole
from personlab.methods.simple_pose.grid import MapGrid

if TYPE_CHECKING:
    import os

    from personlab.arrays.array import FloatArray

_MAPS, _SIZES = ("keypoints", "limbs"), ("input_size", "size")
_SHOWN = 10  # names in an error message


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
    def arguments(self) -> tuple[tuple[Any, Any], dict[str, Any]]:
        """Maps of keypoints and limbs, and the keywords for their grid, as `decode_simple_pose` takes them."""
        grid, inner = self.grid, self.grid.input_size
        where: dict[str, Any] = {"stride": grid.stride, "input_size": inner, "size": grid.size}
        if not self.others:
            return (self.keypoints, self.limbs), where
        scales = (self, *self.others)
        where["input_size"] = [one.grid.input_size for one in scales]
        return ([one.keypoints for one in scales], [one.limbs for one in scales]), where

    @property
    def image_scale(self) -> tuple[float, float]:
        """(sx, sy) from the pixels of decoded people to those of the image: they are the same."""
        return 1.0, 1.0

    @property
    def image_size(self) -> tuple[int, int]:
        """(w, h) of the image, pixels."""
        return self.grid.size[1], self.grid.size[0]

    def with_image_size(self, image_size: tuple[int, int]) -> SimplePoseFields:
        """Return the maps of an image of (w, h) pixels.

        Raises:
            ValueError: their image has another size.
        """
        if tuple(image_size) != self.image_size:
            raise ValueError(f"image_size: expected {self.image_size}, got {image_size}")
        return self

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

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> SimplePoseFields:
        """Read the maps of one image from an .npz file.

        The file has `keypoints` (K, h, w) and `limbs` (L, h, w), or both with a leading axis 1, `stride`, and
        optionally `input_size`, (H, W) of the part of the network input that shows the image, and `size`, (H, W) of the
        image.

        Raises:
            FileNotFoundError: no such file.
            ValueError: not such a file, or an array is missing or has the wrong shape or element type.
        """
        from personlab.io.npz import read_arrays  # and with it zipfile

        try:
            arrays, names = read_arrays(Path(path), (*_MAPS, "stride", *_SIZES), "an .npz file of maps")
            missing = [name for name in (*_MAPS, "stride") if name not in arrays]
            if missing:
                got = ", ".join(names[:_SHOWN]) or "none"
                raise ValueError(f"expected an array {missing[0]!r}, got {got}")  # noqa: TRY301
            check_shape(arrays["stride"], "stride", (), "of one number")
            for name in _SIZES:
                if name in arrays:
                    check_shape(arrays[name], name, (2,), "(H, W)")
            maps = {name: as_field(arrays[name], name) for name in _MAPS}
            if maps["keypoints"].ndim == 4:
                check_shape(maps["limbs"], "limbs", (len(maps["keypoints"]), None, None, None), "(N, L, h, w)")
                if len(maps["keypoints"]) != 1:
                    raise ValueError(  # noqa: TRY301
                        f"expected the maps of one image, got a batch of {len(maps['keypoints'])}"
                    )
                maps = {name: array[0] for name, array in maps.items()}
            check_shape(maps["keypoints"], "keypoints", (None, None, None), "(K, h, w)")
            sizes = {name: arrays[name].tolist() if name in arrays else None for name in _SIZES}
            grid = MapGrid.of(maps["keypoints"], "keypoints", arrays["stride"].item(), **sizes)
            return cls(keypoints=maps["keypoints"], limbs=maps["limbs"], grid=grid)
        except (TypeError, ValueError) as error:
            raise ValueError(f"{path}: {error}") from None
