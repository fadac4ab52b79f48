"""From an image and boxes to crops, mirrored ones too, and from the heatmaps of these to those of each person."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from personlab.data.augment import View
from personlab.data.coco import People
from personlab.methods.base import Boxes, Prepared
from personlab.methods.simple_baseline.boxes import CropView, box_fault, crop_affines, grow_boxes
from personlab.methods.simple_baseline.config import STRIDE
from personlab.methods.simple_baseline.crops import crop_people
from personlab.methods.simple_baseline.fields import SimpleBaselineFields
from personlab.methods.simple_baseline.maps import REACH
from personlab.methods.simple_baseline.options import CropOptions

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

    from personlab.data.augment import Augmentation
    from personlab.data.images import Example
    from personlab.methods.base import Arrays, Setup
    from personlab.skeleton import Skeleton

_ROTATED = 0.6  # share of the views that are (section 4; the originals)


class Way(NamedTuple):
    """The way back from the crops of one image."""

    affines: NDArray[np.float64]  # (P, 2, 3) from pixels of the image to those of the crop
    areas: NDArray[np.float64]  # (P,) of the grown boxes, pixels
    scores: NDArray[np.float64]  # (P,) of the boxes
    size: tuple[int, int]  # (H, W) of the image, pixels


def prepare(image: NDArray[np.uint8], setup: Setup, notes: list[str], boxes: Boxes) -> Prepared:
    """Cut the people out of an image, by the boxes that have a size and touch it.

    Args:
        image: (H, W, 3) uint8 RGB.
        setup: size of the crops, padding and whether to show mirrored ones.
        notes: receives a line for each box that is left out.
        boxes: of the people.
    """
    size, kept = (image.shape[0], image.shape[1]), []
    for n, box in enumerate(boxes.boxes):
        fault = box_fault(box, size)
        if fault is None:
            kept.append(n)
        else:
            shown = ", ".join(f"{value:g}" for value in box)
            notes.append(f"box {n} with x, y, w, h = {shown} is left out: it {fault}")
    own, options = boxes.boxes[kept], crop_options(setup)
    affines = crop_affines(own, options=options)
    grown = grow_boxes(own, options=options)
    views = [crop_people(image, affines, options=options)]
    if setup.inputs.flip:
        views.append(_mirrored(image, affines, options))
    way = Way(affines, grown[:, 2] * grown[:, 3], boxes.scores[kept], size)
    return Prepared(tuple(views), way)


def crop_options(setup: Setup) -> CropOptions:
    """Return how people are cut out for a predictor."""
    options = setup.options
    return CropOptions(size=setup.config.input_size, padding=options.padding, threads=options.threads)


def _mirrored(image: NDArray[np.uint8], affines: NDArray[np.float64], options: CropOptions) -> NDArray[np.uint8]:
    """Return crops mirrored about W / 2, where a cell meets one, as training mirrors them."""
    mirrored = affines.copy()
    mirrored[:, 0] *= -1
    mirrored[:, 0, 2] += options.size[1]
    return crop_people(image, mirrored, options=options)


def unflip(maps: NDArray[np.float32], skeleton: Skeleton) -> NDArray[np.float32]:
    """Mirror maps (N, K, h, w) of mirrored crops back: the grid, left and right, and one column to the right."""
    back = maps[:, list(skeleton.flip), :, ::-1].copy()
    back[..., 1:] = back[..., :-1].copy()
    return back


def merge(outputs: Iterable[Arrays], ways: Sequence[Way], setup: Setup, to_host: bool) -> list[SimpleBaselineFields]:
    """Return the heatmaps of each image's people: the mean with those of the mirrored crops, where there are some.

    Args:
        outputs: of each view in turn, of the crops of all images.
        ways: of the images.
        setup: the network's configuration and settings.
        to_host: where to leave them; they are in host memory in any case.
    """
    del to_host
    config = setup.config
    shape = (0, config.skeleton.n_keypoints, *(side // STRIDE for side in config.input_size))
    views = [_heatmaps(arrays, shape) for arrays in outputs]
    maps = views[0]
    if len(views) > 1:
        maps = (maps + unflip(views[1], config.skeleton)) * np.float32(0.5)
    fields, first = [], 0
    for way in ways:
        own = np.ascontiguousarray(maps[first : first + len(way.scores)])
        first += len(way.scores)
        fields.append(
            SimpleBaselineFields(heatmaps=own, affines=way.affines, areas=way.areas, scores=way.scores, size=way.size)
        )
    return fields


def _heatmaps(arrays: Arrays, shape: tuple[int, ...]) -> NDArray[np.float32]:
    if not arrays:
        return np.zeros(shape, np.float32)
    maps: Any = arrays["heatmaps"]
    return np.asarray(maps if isinstance(maps, np.ndarray) else maps.cpu().numpy(), np.float32)


def draw_crop(rng: np.random.Generator, people: People, crop: tuple[int, int], options: Augmentation) -> View:
    """Draw a random view of the one person of an example, by the distributions of the originals.

    The factor on the box is normal around the middle of `Augmentation.scale` with half its range as deviation, and cut
    to it; 60 % of the views are rotated, normally with half of `Augmentation.rotation` as deviation, and up to it.
    """
    low, high = options.scale
    middle, deviation = (low + high) / 2, (high - low) / 2
    factor = min(max(middle + deviation * rng.standard_normal(), low), high)
    degree = 0.0
    if rng.random() <= _ROTATED:
        degree = min(max(options.rotation / 2 * rng.standard_normal(), -options.rotation), options.rotation)
    flip = bool(rng.random() <= options.flip)
    assert people.boxes is not None
    view = CropView(float(factor), float(degree), flip)
    affine = crop_affines(people.boxes, [view], image_width=people.crowd.shape[1], options=CropOptions(size=crop))[0]
    return View(affine[:, :2], affine[:, 2], flip)


def take_crop(example: Example, view: View, crop: tuple[int, int], skeleton: Skeleton) -> Example:
    """Apply a view to an image and its one person; keypoints outside of the crop lose their label."""
    image, people = example
    affine = np.concatenate([view.linear, view.shift[:, None]], axis=1)
    keypoints = people.keypoints.copy()
    points = keypoints[..., :2].astype(np.float64) @ view.linear.T + view.shift
    x, y = points[..., 0], points[..., 1]
    reach = STRIDE * REACH
    outside = (x < -reach) | (x >= crop[1] + reach) | (y < -reach) | (y >= crop[0] + reach)
    outside |= keypoints[..., 2] <= 0
    keypoints[..., :2] = points
    keypoints[outside] = 0
    if view.flipped:
        keypoints = keypoints[:, list(skeleton.flip)]
    empty = np.zeros((len(keypoints), *crop), bool)
    pixels = crop_people(image, affine[None], options=CropOptions(size=crop))[0]
    return type(example)(pixels, People(keypoints, empty, np.zeros(crop, bool)))
