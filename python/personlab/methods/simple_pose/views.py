"""What a Simple Pose network is shown of an image, at several scales and mirrored, and the maps of all views as one."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from personlab.io.imaging import imaging_library
from personlab.io.resize import MAX_SIDE
from personlab.methods.base import Prepared
from personlab.methods.simple_pose.fields import SimplePoseFields
from personlab.methods.simple_pose.grid import MapGrid
from personlab.methods.simple_pose.people import parts_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

    from personlab.methods.base import Arrays, Setup
    from personlab.skeleton import Skeleton

_GREY = 128  # of the padding, 0..255


class View(NamedTuple):
    """How an image lies in one input of the network, at its top left."""

    input_size: tuple[int, int]  # (H, W) of the image in the input, pixels; the rest is padding
    mirrored: bool  # the whole input is


class Way(NamedTuple):
    """The way back from the views of one image."""

    views: tuple[View, ...]  # the finest first
    size: tuple[int, int]  # (H, W) of the image, pixels


def prepare(image: NDArray[np.uint8], setup: Setup, notes: list[str]) -> Prepared:
    """Resize an image to each scale, pad it below and to the right, and mirror it.

    The longest side becomes `long_edge` at scale 1; the height, by the rules of the originals.

    Args:
        image: (H, W, 3) uint8 RGB.
        setup: scales, `flip`, the longest side and the largest size.
        notes: receives a line for each input that is made smaller than asked for.
    """
    size, inputs, step = image.shape[:2], setup.inputs, setup.config.input_step
    original = setup.options.rules != "default"
    sizes = []
    for scale in inputs.scales:
        edge = inputs.long_edge * scale * (max(size) / size[0] if original else 1)
        inner = _inner_size(size, edge, step, inputs.max_pixels)
        if max(inner) < round(edge):
            notes.append(
                f"a network input with a longest side of {edge:g} pixels is made {inner[1]} x {inner[0]}, "
                f"of at most {inputs.max_pixels} pixels"
            )
        sizes.append(inner)
    sizes.sort(key=lambda inner: -inner[0] * inner[1])  # the grid of the finest is that of all
    shown = [
        (pixels[:, ::-1] if mirrored else pixels, View(inner, mirrored))
        for inner in sizes
        for pixels in [_padded(_resized(image, inner, cubic=original), step)]
        for mirrored in ((False, True) if inputs.flip else (False,))
    ]
    return Prepared(tuple(pixels[None] for pixels, _ in shown), Way(tuple(view for _, view in shown), size))


def merge(outputs: Iterable[Arrays], ways: Sequence[Way], setup: Setup, to_host: bool) -> list[SimplePoseFields]:
    """Return the mean of the maps of all views, on the grid of the finest, read from the others by cubic convolution.

    By the rules of the originals the scales stay apart: decoding takes the mean over them at the pixels of the image.

    Args:
        outputs: of each view in turn, each with an axis N over the images.
        ways: of the N images, whose views have the same sizes.
        setup: the network's configuration and settings.
        to_host: where to leave them; they are in host memory in any case.
    """
    del to_host
    skeleton = parts_of(setup.config.skeleton).skeleton
    scales = _mean_of_mirrored(outputs, ways[0].views, skeleton)
    if setup.options.rules == "default" and len(scales) > 1:
        scales = [_mean_of_scales(scales)]
    fields = []
    for n, way in enumerate(ways):
        first, *others = (
            SimplePoseFields(
                keypoints=np.ascontiguousarray(keypoints[n]),
                limbs=np.ascontiguousarray(limbs[n]),
                grid=MapGrid(stride=setup.config.stride, input_size=input_size, size=way.size),
            )
            for keypoints, limbs, input_size in scales
        )
        fields.append(replace(first, others=tuple(others)))
    return fields


class _Scale(NamedTuple):
    """The maps of N images at one scale."""

    keypoints: NDArray[np.float32]  # (N, K, h, w)
    limbs: NDArray[np.float32]  # (N, L, h, w)
    input_size: tuple[int, int]  # (H, W) of the image in the input, pixels


def _mean_of_mirrored(outputs: Iterable[Arrays], views: Sequence[View], skeleton: Skeleton) -> list[_Scale]:
    """Return the maps of each scale: those of the upright view, or the mean with those of the mirrored one after it."""
    scales: list[_Scale] = []
    for view, arrays in zip(views, outputs, strict=True):
        keypoints, limbs = (np.asarray(_on_host(arrays[name]), np.float32) for name in ("keypoints", "limbs"))
        if view.mirrored:
            back = unflip({"keypoints": keypoints, "limbs": limbs}, skeleton)
            upright = scales.pop()
            keypoints = (upright.keypoints + back["keypoints"]) * np.float32(0.5)
            limbs = (upright.limbs + back["limbs"]) * np.float32(0.5)
        scales.append(_Scale(keypoints, limbs, view.input_size))
    return scales


def _mean_of_scales(scales: Sequence[_Scale]) -> _Scale:
    """Return the mean on the grid of the first."""
    first = scales[0]
    total = [np.zeros_like(first.keypoints), np.zeros_like(first.limbs)]
    for scale in scales:
        for i, maps in enumerate((scale.keypoints, scale.limbs)):
            total[i] += resampled(maps, scale.input_size, first.keypoints.shape[-2:], first.input_size)
    keypoints, limbs = (maps * np.float32(1 / len(scales)) for maps in total)
    return _Scale(keypoints, limbs, first.input_size)


def unflip(maps: dict[str, NDArray[np.float32]], skeleton: Skeleton) -> dict[str, NDArray[np.float32]]:
    """Mirror the maps (N, C, h, w) of mirrored inputs back: the grid, left and right keypoints and limbs.

    A limb has no direction in its map: it becomes the limb between the mirrored ends, whichever way that runs.
    """
    limbs = [channel % skeleton.n_edges for channel in skeleton.directed_flip[: skeleton.n_edges]]
    return {
        "keypoints": maps["keypoints"][:, list(skeleton.flip), :, ::-1],
        "limbs": maps["limbs"][:, limbs, :, ::-1],
    }


def resampled(
    maps: NDArray[np.float32],
    input_size: tuple[int, int],
    shape: tuple[int, ...],
    wanted_size: tuple[int, int],
) -> NDArray[np.float32]:
    """Read maps (N, C, h, w), which show an image over `input_size` pixels, on a grid that shows it over others.

    Args:
        maps: of the view.
        input_size: (H, W) of the image in its input, pixels.
        shape: (h', w') of the grid wanted, cells.
        wanted_size: (H', W') of the image in that grid's input, pixels.
    """
    if maps.shape[-2:] == shape and input_size == wanted_size:
        return maps
    from personlab.methods.simple_pose.backends.reference.enlarge import resize_matrix

    down, across = (
        resize_matrix(maps.shape[axis - 2], shape[axis], input_size[axis] / max(wanted_size[axis], 1)).astype(
            np.float32
        )
        for axis in (0, 1)
    )
    read: NDArray[np.float32] = np.matmul(np.matmul(down, maps), across.T)
    return read


def _inner_size(size: tuple[int, int], edge: float, step: int, max_pixels: int) -> tuple[int, int]:
    """Return (H, W) of an image in its input: the longest side becomes `edge`, as far as the input is no larger."""

    def scaled(length: float) -> tuple[int, int]:
        h, w = (max(round(side * length / max(size)), 1) for side in size)
        return h, w

    def pixels(inner: tuple[int, int]) -> int:
        return (-(-inner[0] // step) * step) * (-(-inner[1] // step) * step)

    length = min(edge, MAX_SIDE - step)
    inner = scaled(length)
    while pixels(inner) > max_pixels and length > step:
        length = min(length * (max_pixels / pixels(inner)) ** 0.5, length - step / 2)
        inner = scaled(length)
    return inner


def _resized(image: NDArray[np.uint8], size: tuple[int, int], *, cubic: bool) -> NDArray[np.uint8]:
    """Resize an image to (H, W) pixels, border on border; averages where it shrinks to half or less, unless `cubic`."""
    if image.shape[:2] == size:
        return image
    library = imaging_library()
    shrinks = image.shape[0] >= 2 * size[0] or image.shape[1] >= 2 * size[1]
    resize = library.average if shrinks and not cubic else library.enlarge
    return resize(np.ascontiguousarray(image), size[::-1])


def _padded(image: NDArray[np.uint8], step: int) -> NDArray[np.uint8]:
    height, width = image.shape[:2]
    return np.pad(image, ((0, -height % step), (0, -width % step), (0, 0)), constant_values=_GREY)


def _on_host(array: Any) -> Any:
    return array if isinstance(array, np.ndarray) else array.cpu().numpy()
