"""The fields of a whole image as one small array, and what they say of any view of that image."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from personlab.io.resize import input_size
from personlab.methods.personlab.merge import resampled
from personlab.methods.personlab.teaching.layout import PROBABILITIES, WEIGHED_BY, channels, needed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from personlab.data.augment import View
    from personlab.data.grid import Grid
    from personlab.methods.base import Lesson, Setup
    from personlab.methods.personlab.fields import Fields
    from personlab.skeleton import Skeleton

    Floats = NDArray[np.float32]
    Sums = dict[str, tuple[Floats, Floats | float]]

_MAX_LOGIT = 15.0  # a probability of 3e-7: offsets have some weight everywhere
_EDGE = 1e-3  # pixels: cells on the border of the image are on it, however their places are rounded
_MAX_OFFSET = 60_000.0  # image pixels, within float16


def pack(fields: Fields, names: Sequence[str], setup: Setup) -> NDArray[np.float16]:
    """Return what teaches these fields as (h, w, channels): logits, and offsets in pixels of the image.

    The grid is that of scale 1, corner cell on corner pixel of the image; finer ones are resampled to it.

    Args:
        fields: of one image, of known size.
        names: of the fields that are taught.
        setup: of the teacher.
    """
    assert fields.image_size is not None
    (width, height), _ = input_size(
        fields.image_size, stride=setup.config.stride, long_edge=setup.inputs.long_edge,
        max_pixels=setup.inputs.max_pixels,
    )  # fmt: skip
    h, w = (height - 1) // setup.config.stride + 1, (width - 1) // setup.config.stride + 1
    scale = np.array(fields.image_scale, np.float32)[:, None, None]
    parts = []
    for name in needed(names):
        array: Any = getattr(fields, name)
        limit = _MAX_LOGIT if name in PROBABILITIES else _MAX_OFFSET
        values = array if name in PROBABILITIES else array * scale
        values = np.clip(np.nan_to_num(values, nan=0.0), -limit, limit)
        parts.append(resampled(values, (h, w)).reshape(-1, h, w))
    return np.ascontiguousarray(np.concatenate(parts).transpose(1, 2, 0), np.float16)


def show(lessons: Sequence[Lesson], size: tuple[int, int], view: View, grid: Grid) -> dict[str, NDArray[Any]]:
    """Return what teachers say of a view of an image, on the cells of the view.

    Probabilities are read bilinearly. Offsets are, too, each of the four cells weighed by its probability that they are
    meant there, and then turned, scaled and mirrored as the view is. Several teachers of one field are averaged, their
    offsets by these weights.

    Args:
        lessons: of each teacher.
        size: (H, W) of the image, pixels.
        view: the map from the image to its view.
        grid: of the view.

    Returns:
        `taught_NAME` of each field that is taught: probabilities (K or 1, h, w), offsets (K or 2E, 2, h, w) in pixels
        of the view; `taught_NAME_weights` of offsets, the probability that they are meant (K, 2E or 1, h, w); and
        `taught_inside` (1, h, w), whether a cell lies on the image. Weights are 0 elsewhere.
    """
    h, w = ((side - 1) // grid.stride + 1 for side in grid.size)
    points, inside = _points(size, view, (h, w), grid.stride)
    totals: dict[str, list[Any]] = {}
    for lesson in lessons:
        for name, (value, weight) in _read(lesson, points / [max(size[1] - 1, 1), max(size[0] - 1, 1)], grid).items():
            total = totals.setdefault(name, [0.0, 0.0, 0.0])
            for n, term in enumerate((value, weight, 1.0)):
                total[n] = total[n] + lesson.weight * term
    taught: dict[str, NDArray[Any]] = {"taught_inside": inside.reshape(1, h, w)}
    for name, (value, weight, count) in totals.items():
        if name in PROBABILITIES:
            mean = (value / count).astype(np.float32)
            taught[f"taught_{name}"] = _planes(_mirrored(mean, name, view, grid.skeleton), (h, w))
            continue
        offsets = (value / weight[..., None]) @ view.linear.T.astype(np.float32)
        trust = np.where(inside[:, None], weight / count, 0).astype(np.float32)
        taught[f"taught_{name}"] = _planes(_mirrored(offsets, name, view, grid.skeleton), (h, w))
        taught[f"taught_{name}_weights"] = _planes(
            trust if trust.shape[1] == 1 else _mirrored(trust, name, view, grid.skeleton), (h, w)
        )
    return taught


def _points(
    size: tuple[int, int], view: View, cells: tuple[int, int], stride: int
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Return the pixel (x, y) of the image under each cell of a view (n, 2), and whether it is on the image (n,)."""
    y, x = np.mgrid[: cells[0], : cells[1]] * stride
    at = np.stack([x.ravel(), y.ravel()], 1).astype(np.float64)
    points = (at - view.shift) @ np.linalg.inv(view.linear).T
    last = np.array([size[1] - 1, size[0] - 1])
    return points, np.all((points >= -_EDGE) & (points <= last + _EDGE), axis=1)


def _read(lesson: Lesson, places: NDArray[np.float64], grid: Grid) -> Sums:
    """Read what a teacher teaches at n places, given as shares (x, y) of the image.

    Returns:
        By name: probabilities (n, K or 1), and 1; or sums of weighted offsets (n, K or 2E, 2), and of their weights.
    """
    rows, columns, count = lesson.packed.shape
    last = np.array([columns - 1, rows - 1])
    at = np.clip(places * last, 0, last)
    low = np.minimum(at.astype(np.int64), np.maximum(last - 1, 0))
    share, high = (at - low).astype(np.float32), np.minimum(low + 1, last)
    corners = [(x, y) for y in (low, high) for x in (low, high)]
    index = np.stack([y[:, 1] * columns + x[:, 0] for x, y in corners])
    near = [(1 - share[:, 0], share[:, 0]), (1 - share[:, 1], share[:, 1])]
    bilinear = np.stack([near[0][n % 2] * near[1][n // 2] for n in range(4)])[..., None]  # (4, n, 1)
    values = lesson.packed.reshape(-1, count)[index].astype(np.float32)  # (4, n, channels)
    kept = channels(lesson.names, grid.skeleton)
    chance = {name: bilinear / (1 + np.exp(-values[..., kept[name]])) for name in kept if name in PROBABILITIES}
    read: Sums = {}
    for name in lesson.names:
        if name in PROBABILITIES:
            read[name] = chance[name].sum(axis=0), 1.0
            continue
        weight = chance[WEIGHED_BY[name]]
        if name == "mid_offsets":
            weight = weight[..., [source for source, _ in grid.skeleton.directed_edges]]
        pairs = values[..., kept[name]].reshape(*index.shape, -1, 2)
        read[name] = (pairs * weight[..., None]).sum(axis=0), weight.sum(axis=0)
    return read


def _mirrored(values: Floats, name: str, view: View, skeleton: Skeleton) -> Floats:
    """Return fields (n, C, ...) of a view with left and right exchanged, where it is mirrored."""
    if not view.flipped or name == "segmentation":
        return values
    return values[:, list(skeleton.directed_flip if name == "mid_offsets" else skeleton.flip)]


def _planes(values: Floats, cells: tuple[int, int]) -> Floats:
    """(h * w, C, ...) -> (C, ..., h, w)."""
    moved: Floats = np.ascontiguousarray(np.moveaxis(values, 0, -1), np.float32)
    return moved.reshape(*moved.shape[:-1], *cells)
