"""The five output arrays of a PersonLab network, and the adapters of other layouts."""

from __future__ import annotations

import io
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from personlab.arrays.host import as_field, take_on_host
from personlab.arrays.numbers import as_integer, as_number, as_size
from personlab.arrays.shapes import check_shape
from personlab.io.files import write_whole
from personlab.skeleton import COCO_PERSON

if TYPE_CHECKING:
    import os

    from personlab.arrays.array import FloatArray

FIELD_NAMES = ("heatmaps", "short_offsets", "mid_offsets", "segmentation", "long_offsets")
_NUMBERS = ("stride", "image_size", "disk_radius")
_SHOWN = 10  # names in an error message


@dataclass(frozen=True, eq=False, kw_only=True)
class Fields:
    """The outputs of a network for one image (or, with a leading axis, for a batch) on a grid of h x w cells.

    Args:
        heatmaps: (K, h, w) logits of "within R pixels of a keypoint of type k".
        short_offsets: (K, 2, h, w) (dx, dy) from a cell to the nearest keypoint of type k, input pixels.
        mid_offsets: (2E, 2, h, w) (dx, dy) along each directed edge from its source keypoint to its target.
        segmentation: (1, h, w) logits of "is a person"; None where the network has no masks.
        long_offsets: (K, 2, h, w) (dx, dy) from a person's pixel to that person's keypoint k; None likewise.
        stride: input pixels from cell to cell.
        image_size: (w, h) of the image that was resized to make the network input, where known.
        disk_radius: R of the network, input pixels, where known.

    Raises:
        TypeError: an argument is no float array.
        ValueError: shapes disagree.
    """

    heatmaps: FloatArray
    short_offsets: FloatArray
    mid_offsets: FloatArray
    segmentation: FloatArray | None = None
    long_offsets: FloatArray | None = None
    stride: int
    image_size: tuple[int, int] | None = None
    disk_radius: float | None = None

    def __post_init__(self) -> None:
        freeze = object.__setattr__
        freeze(self, "stride", as_integer(self.stride, "stride", 1, 4096))
        arrays = {
            n: take_on_host(getattr(self, n), n)
            for n in FIELD_NAMES
            if n in FIELD_NAMES[:3] or getattr(self, n) is not None
        }
        shape = arrays["heatmaps"].shape
        if len(shape) not in (3, 4):
            raise ValueError(f"heatmaps: expected shape (K, h, w) or (N, K, h, w), got {shape}")
        *batch, k, h, w = shape
        axis = "N, " if batch else ""
        expected: dict[str, tuple[tuple[int | None, ...], str]] = {
            "short_offsets": ((*batch, k, 2, h, w), f"({axis}K, 2, h, w)"),
            "mid_offsets": ((*batch, None, 2, h, w), f"({axis}2E, 2, h, w)"),
            "segmentation": ((*batch, 1, h, w), f"({axis}1, h, w)"),
            "long_offsets": ((*batch, k, 2, h, w), f"({axis}K, 2, h, w)"),
        }
        for name, (wanted, meaning) in expected.items():
            if name in arrays:
                check_shape(arrays[name], name, wanted, meaning)
        for name, array in arrays.items():
            freeze(self, name, array.to_float32())
        if self.image_size is not None:
            freeze(self, "image_size", as_size(self.image_size, "image_size", "(w, h)", 1))
        if self.disk_radius is not None:
            freeze(self, "disk_radius", as_number(self.disk_radius, "disk_radius", 1e-3, 4096))

    def __repr__(self) -> str:
        shapes = ", ".join(
            f"{name} {array.shape}" for name in FIELD_NAMES if (array := getattr(self, name)) is not None
        )
        numbers = ", ".join(f"{name} {getattr(self, name)}" for name in ("input_size", *_NUMBERS))
        return f"Fields({shapes}, {numbers})"

    @property
    def input_size(self) -> tuple[int, int]:
        """(W, H) of the network input that the grid lies over, pixels."""
        h, w = self.heatmaps.shape[-2:]
        return max((w - 1) * self.stride + 1, 0), max((h - 1) * self.stride + 1, 0)

    @property
    def image_scale(self) -> tuple[float, float]:
        """(sx, sy) that take input pixels to pixels of the image, corner pixel on corner pixel; 1 where unknown."""
        if self.image_size is None:
            return 1.0, 1.0
        (width, height), (w, h) = self.input_size, self.image_size
        return (w - 1) / max(width - 1, 1), (h - 1) / max(height - 1, 1)

    def with_image_size(self, image_size: tuple[int, int]) -> Fields:
        """Returns these fields as those of an image of (w, h) pixels."""
        return replace(self, image_size=image_size)

    def to_host(self) -> Fields:
        """Returns these fields, as they lie in host memory already."""
        return self

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Fields:
        """Reads an .npz file: the arrays under their names, `stride`, and optionally `image_size` and `disk_radius`.

        Raises:
            FileNotFoundError: no such file.
            ValueError: not such a file, or an array is missing or has the wrong shape or element type.
        """
        try:
            arrays = _read_arrays(Path(path))
            check_shape(arrays["stride"], "stride", (), "of one number")
            arrays["stride"] = arrays["stride"].item()
            if "disk_radius" in arrays:
                check_shape(arrays["disk_radius"], "disk_radius", (), "of one number")
                arrays["disk_radius"] = arrays["disk_radius"].item()
            if "image_size" in arrays:
                check_shape(arrays["image_size"], "image_size", (2,), "(w, h)")
                arrays["image_size"] = arrays["image_size"].tolist()
            return cls(**arrays)
        except (TypeError, ValueError) as error:
            raise ValueError(f"{path}: {error}") from None

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes an .npz file that `load` reads; the file appears whole or not at all.

        Raises:
            FileNotFoundError: the folder does not exist.
            OSError: it cannot be written to.
        """
        arrays: dict[str, Any] = {name: getattr(self, name) for name in FIELD_NAMES if getattr(self, name) is not None}
        arrays["stride"] = np.int32(self.stride)
        arrays["input_size"] = np.array(self.input_size, np.int32)
        if self.image_size is not None:
            arrays["image_size"] = np.array(self.image_size, np.int32)
        if self.disk_radius is not None:
            arrays["disk_radius"] = np.float64(self.disk_radius)
        content = io.BytesIO()
        np.savez_compressed(content, **arrays)
        write_whole(path, content.getvalue())

    def __getitem__(self, index: int) -> Fields:
        """One image of a batch.

        Raises:
            IndexError: out of range, or these fields are no batch.
        """
        if self.heatmaps.ndim != 4:
            raise IndexError("fields: not a batch")
        return replace(self, **{n: getattr(self, n)[index] for n in FIELD_NAMES if getattr(self, n) is not None})

    @classmethod
    def from_tfjs(
        cls,
        heatmaps: Any,
        short_offsets: Any,
        displacement_fwd: Any,
        displacement_bwd: Any,
        segmentation: Any = None,
        long_offsets: Any = None,
        *,
        stride: int,
        image_size: tuple[int, int] | None = None,
    ) -> Fields:
        """Fields from the outputs of Google's published PoseNet and BodyPix networks.

        Args:
            heatmaps: (h, w, K) logits, with or without a leading axis N here and below.
            short_offsets: (h, w, 2K), the block of all dy before the block of all dx.
            displacement_fwd: (h, w, 2E) parent -> child, blocks likewise.
            displacement_bwd: (h, w, 2E) child -> parent, blocks likewise.
            segmentation: (h, w, 1) logits.
            long_offsets: (h, w, 2K), blocks likewise in BodyPix's ONNX and tfjs files.
            stride: input pixels from cell to cell.
            image_size: (w, h) of the image, where known.
        """
        forward = _from_blocks(displacement_fwd, "displacement_fwd")
        backward = _from_blocks(displacement_bwd, "displacement_bwd")
        if forward.shape != backward.shape:
            raise ValueError(
                f"displacement_bwd: expected shape {forward.shape} as the forward one, got {backward.shape}"
            )
        return cls(
            heatmaps=_channels_first(heatmaps, "heatmaps"),
            short_offsets=_from_blocks(short_offsets, "short_offsets"),
            mid_offsets=np.concatenate([forward, backward], axis=-4),
            segmentation=None if segmentation is None else _channels_first(segmentation, "segmentation"),
            long_offsets=None if long_offsets is None else _from_blocks(long_offsets, "long_offsets"),
            stride=stride,
            image_size=image_size,
        )

    @classmethod
    def from_keras(
        cls,
        heatmaps: Any,
        short_offsets: Any,
        mid_offsets: Any,
        segmentation: Any = None,
        long_offsets: Any = None,
        *,
        stride: int,
        image_size: tuple[int, int] | None = None,
    ) -> Fields:
        """Fields from the outputs of the Keras re-implementation of PersonLab (octiapp/KerasPersonLab).

        That port upsamples to the network input inside the network (stride 1) and numbers keypoints and edges its own
        way; the fields returned are numbered as `COCO_PERSON` is.

        Args:
            heatmaps: (h, w, 17) probabilities, with or without a leading axis N here and below.
            short_offsets: (h, w, 34), dx and dy of each keypoint side by side.
            mid_offsets: (h, w, 64), dx and dy side by side, the 16 edges parent -> child and then child -> parent.
            segmentation: (h, w, 1) probabilities.
            long_offsets: (h, w, 34), dx and dy side by side.
            stride: input pixels from cell to cell.
            image_size: (w, h) of the image, where known.

        Raises:
            ValueError: a probability outside 0..1, or the wrong shape.
        """
        keypoint, edge = _keras_numbering()

        def offsets(value: Any, name: str, order: list[int]) -> FloatArray:
            array = _channels_first(value, name)
            if array.shape[-3] != 2 * len(order):
                raise ValueError(f"{name}: expected {2 * len(order)} channels, got shape {np.shape(value)}")
            pairs = array.reshape(*array.shape[:-3], len(order), 2, *array.shape[-2:])
            return np.take(pairs, order, axis=-4)

        heat = _channels_first(heatmaps, "heatmaps")
        if heat.shape[-3] != len(keypoint):
            raise ValueError(f"heatmaps: expected {len(keypoint)} channels, got shape {np.shape(heatmaps)}")
        return cls(
            heatmaps=_logits(np.take(heat, keypoint, axis=-3), "heatmaps"),
            short_offsets=offsets(short_offsets, "short_offsets", keypoint),
            mid_offsets=offsets(mid_offsets, "mid_offsets", edge),
            segmentation=(
                None if segmentation is None else _logits(_channels_first(segmentation, "segmentation"), "segmentation")
            ),
            long_offsets=None if long_offsets is None else offsets(long_offsets, "long_offsets", keypoint),
            stride=stride,
            image_size=image_size,
        )


def _read_arrays(path: Path) -> dict[str, Any]:
    """Returns the arrays of an .npz file that fields are made of, all required ones among them.

    Raises:
        OSError: no such file, or it cannot be read.
        ValueError: not such a file, or an array is missing.
    """
    from personlab.io.npz import read_arrays  # and with it zipfile

    arrays, names = read_arrays(path, (*FIELD_NAMES, *_NUMBERS), "an .npz file of fields")
    missing = [name for name in (*FIELD_NAMES[:3], "stride") if name not in arrays]
    if missing:
        raise ValueError(f"expected an array {missing[0]!r}, got {', '.join(names[:_SHOWN]) or 'none'}")
    return arrays


# The Keras port's keypoint numbers and edges (its config.py), the keypoints by COCO's names.
_KERAS_NAMES = (
    "nose", "right_shoulder", "right_elbow", "right_wrist", "left_shoulder", "left_elbow", "left_wrist", "right_hip",
    "right_knee", "right_ankle", "left_hip", "left_knee", "left_ankle", "right_eye", "left_eye", "right_ear",
    "left_ear",
)  # fmt: skip
_KERAS_EDGES = (
    (0, 14), (0, 13), (0, 4), (0, 1), (14, 16), (13, 15), (4, 10), (1, 7), (10, 11), (7, 8), (11, 12), (8, 9), (4, 5),
    (1, 2), (5, 6), (2, 3),
)  # fmt: skip


def _keras_numbering() -> tuple[list[int], list[int]]:
    """For each keypoint and each directed edge of `COCO_PERSON`, its number in the Keras port."""
    keypoint = [_KERAS_NAMES.index(name) for name in COCO_PERSON.names]
    directed = _KERAS_EDGES + tuple((b, a) for a, b in _KERAS_EDGES)
    edge = [directed.index((keypoint[a], keypoint[b])) for a, b in COCO_PERSON.directed_edges]
    return keypoint, edge


def _logits(probability: FloatArray, name: str) -> FloatArray:
    if probability.size and (np.nanmin(probability) < 0 or np.nanmax(probability) > 1):
        raise ValueError(f"{name}: expected probabilities from 0 to 1, got values outside")
    with np.errstate(divide="ignore"):
        logits: FloatArray = np.log(probability) - np.log1p(-probability)
    return logits


def _channels_first(value: Any, name: str) -> FloatArray:
    array = as_field(value, name)
    if array.ndim not in (3, 4):
        raise ValueError(f"{name}: expected shape (h, w, channels) or (N, h, w, channels), got {array.shape}")
    return np.ascontiguousarray(np.moveaxis(array, -1, -3))


def _from_blocks(value: Any, name: str) -> FloatArray:
    """(..., h, w, 2C), all dy before all dx -> (..., C, 2, h, w) of (dx, dy)."""
    array = _channels_first(value, name)
    if array.shape[-3] % 2:
        raise ValueError(f"{name}: expected an even number of channels, got shape {np.shape(value)}")
    dy, dx = np.split(array, 2, axis=-3)
    return np.stack([dx, dy], axis=-3)
