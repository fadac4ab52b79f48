"""What a PersonLab network is shown of an image, at several scales and mirrored, and the fields of all views as one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from personlab.io.reduced import size_of
from personlab.io.resize import input_size, resize
from personlab.methods.base import Prepared
from personlab.methods.personlab.device_fields import DeviceFields
from personlab.methods.personlab.fields import Fields

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

    from personlab.io.reduced import ReducedImage
    from personlab.methods.base import Arrays, Setup


class View(NamedTuple):
    """How an image lies in one input of the network."""

    size: tuple[int, int]  # (W, H) pixels
    mirrored: bool


class Way(NamedTuple):
    """The way back from the views of one image."""

    views: tuple[View, ...]  # the finest first
    image_size: tuple[int, int]  # (w, h) pixels


def reduction(image_size: tuple[int, int], setup: Setup) -> float:
    """Return by how much the longest side of an image (w, h) is larger than that of its finest view.

    Less where the other side, which is rounded to the grid, would have to be enlarged by more than a twentieth.
    """
    inputs, factors = setup.inputs, []
    for scale in inputs.scales:
        edge = inputs.long_edge * scale
        size, _ = input_size(image_size, stride=setup.config.stride, long_edge=edge, max_pixels=inputs.max_pixels)
        by_side = [side / (shown - 1) for side, shown in zip(image_size, size, strict=True)]
        factors += [max(image_size) / (max(size) - 1), 1.05 * min(by_side)]
    return min(factors)


def prepare(image: NDArray[np.uint8] | ReducedImage, setup: Setup, notes: list[str]) -> Prepared:
    """Resize an image to each scale, corner pixel on corner pixel, and mirror it.

    Each side becomes the nearest multiple of the stride plus 1.

    Args:
        image: (h, w, 3) uint8 RGB, whole or at a fraction of its size.
        setup: scales, `flip`, the longest side and the largest size.
        notes: receives a line for each input that is made smaller than asked for.
    """
    image_size, inputs = size_of(image), setup.inputs
    sizes = []
    for scale in inputs.scales:
        edge = inputs.long_edge * scale
        size, capped = input_size(image_size, stride=setup.config.stride, long_edge=edge, max_pixels=inputs.max_pixels)
        if capped:
            notes.append(
                f"a network input with a longest side of {edge:g} pixels is made {size[0]} x {size[1]}, "
                f"of at most {inputs.max_pixels} pixels"
            )
        sizes.append(size)
    resized = [resize(image, size) for size in sizes]
    resized.sort(key=lambda pixels: -pixels.shape[0] * pixels.shape[1])  # the grid of the finest is that of all
    shown = [(pixels, mirrored) for pixels in resized for mirrored in ((False, True) if inputs.flip else (False,))]
    return Prepared(
        tuple((pixels[:, ::-1] if mirrored else pixels)[None] for pixels, mirrored in shown),
        Way(tuple(View((pixels.shape[1], pixels.shape[0]), mirrored) for pixels, mirrored in shown), image_size),
    )


def merge(outputs: Iterable[Arrays], ways: Sequence[Way], setup: Setup, to_host: bool) -> list[Fields | DeviceFields]:
    """Merge the views of images that were run together; of one view alone the outputs are left as they are.

    Args:
        outputs: of each view in turn, each with an axis N over the images.
        ways: of the N images, whose views have the same sizes.
        setup: the network's configuration and settings.
        to_host: whether to return fields in host memory, else where the outputs are.
    """
    views = ways[0].views
    own: Iterable[Arrays] = map(_to_host, outputs) if to_host else outputs
    if len(views) == 1:
        (arrays,) = own
    else:
        from personlab.methods.personlab.merge import merge_views

        arrays = merge_views(own, views, setup.config.skeleton)
    return [_fields_of(arrays, n, way, setup) for n, way in enumerate(ways)]


def _to_host(arrays: Arrays) -> Arrays:
    return {name: array if isinstance(array, np.ndarray) else array.cpu().numpy() for name, array in arrays.items()}


def _fields_of(arrays: Arrays, n: int, way: Way, setup: Setup) -> Fields | DeviceFields:
    """Return the fields of image n, with R, without which they would be decoded otherwise."""
    facts: Any = {
        "stride": setup.config.stride,
        "image_size": way.image_size,
        "disk_radius": setup.settings.disk_radius,
    }
    on_host = isinstance(arrays["heatmaps"], np.ndarray)
    own = {name: np.ascontiguousarray(array[n]) if on_host else array[n].contiguous() for name, array in arrays.items()}
    kind: Any = Fields if on_host else DeviceFields
    fields: Fields | DeviceFields = kind(**own, **facts)
    return fields
