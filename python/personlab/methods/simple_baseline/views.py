"""From an image and boxes to crops, mirrored ones too; from heatmaps of these to fields; and views of training."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from personlab.data.augment import View
from personlab.data.coco import People
from personlab.methods.base import Boxes, Prepared
from personlab.methods.simple_baseline.boxes import box_fault, crop_affines, map_points, random_view
from personlab.methods.simple_baseline.config import STRIDE
from personlab.methods.simple_baseline.crops import crop_people
from personlab.methods.simple_baseline.fields import SimpleBaselineFields
from personlab.methods.simple_baseline.options import CropOptions

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

    from personlab.data.augment import Augmentation
    from personlab.data.images import Example
    from personlab.methods.base import Arrays, Setup
    from personlab.methods.simple_baseline.options import SimpleBaselineOptions
    from personlab.skeleton import Skeleton


class Way(NamedTuple):
    """The way back from the crops of one image."""

    affines: NDArray[np.float64]  # (P, 2, 3) from pixels of the image to those of the crop
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
    options = crop_options(setup.options, setup.config.input_size)
    affines = crop_affines(boxes.boxes[kept], options=options)
    crops = crop_people(image, affines, options=options)
    views = [crops]
    if setup.inputs.flip and options.rules == "original":
        views.append(np.ascontiguousarray(crops[:, :, ::-1]))
    elif setup.inputs.flip:
        mirrored = _mirrored(affines, options.size[1], setup.options.flip_shift)
        views.append(crop_people(image, mirrored, options=options))
    return Prepared(tuple(views), Way(affines, boxes.scores[kept], size))


def crop_options(options: SimpleBaselineOptions, size: tuple[int, int]) -> CropOptions:
    """Return how people are cut out in prediction, in crops of (H, W) = `size`."""
    rules: Any = "default" if options.rules == "default" else "original"
    return CropOptions(size=size, padding=options.padding, threads=options.threads, rules=rules)


def _mirrored(affines: NDArray[np.float64], width: int, shift: int) -> NDArray[np.float64]:
    """Return the maps to mirrored crops of a width in pixels, whose cells meet those that decoding merges them with.

    Cell j of w shows pixel STRIDE j; mirrored back and moved to the right by `shift` columns it is cell
    w - 1 - j + shift. The originals mirror the pixels of a crop, 1 pixel beside that.
    """
    maps = affines.copy()
    maps[:, 0] *= -1
    maps[:, 0, 2] += width - STRIDE * (1 - shift)
    return maps


def merge(outputs: Iterable[Arrays], ways: Sequence[Way], setup: Setup, to_host: bool) -> list[SimpleBaselineFields]:
    """Return the heatmaps of each image's people, and those of the mirrored crops.

    Args:
        outputs: of each view in turn, of the crops of all images.
        ways: of the images.
        setup: the network's configuration and settings.
        to_host: where to leave them; they are in host memory in any case.
    """
    del to_host
    config = setup.config
    shape = (0, config.skeleton.n_keypoints, *(side // STRIDE for side in config.input_size))
    maps, *others = (_heatmaps(arrays, shape) for arrays in outputs)
    fields, first = [], 0
    for way in ways:
        own = slice(first, first + len(way.scores))
        first = own.stop
        fields.append(
            SimpleBaselineFields(
                heatmaps=maps[own], mirrored=others[0][own] if others else None, affines=way.affines,
                scores=way.scores, size=way.size,
            )
        )  # fmt: skip
    return fields


def _heatmaps(arrays: Arrays, shape: tuple[int, ...]) -> NDArray[np.float32]:
    if not arrays:
        return np.zeros(shape, np.float32)
    maps: Any = arrays["heatmaps"]
    return np.asarray(maps if isinstance(maps, np.ndarray) else maps.cpu().numpy(), np.float32)


def draw_crop(rng: np.random.Generator, people: People, crop: tuple[int, int], options: Augmentation) -> View:
    """Draw a random view of the one person of an example, by the distributions of the originals."""
    assert people.boxes is not None
    view = random_view(rng, scale=options.scale, rotation=options.rotation, flip=options.flip)
    affine = crop_affines(people.boxes, [view], image_width=people.crowd.shape[1], options=CropOptions(size=crop))[0]
    return View(affine[:, :2], affine[:, 2], view.flip)


def take_crop(example: Example, view: View, crop: tuple[int, int], skeleton: Skeleton) -> Example:
    """Apply a view to an image and its one person, whose labels stay wherever the keypoints lie."""
    image, people = example
    affine = np.concatenate([view.linear, view.shift[:, None]], axis=1)
    keypoints = people.keypoints.copy()
    keypoints[..., :2] = map_points(keypoints[..., :2], affine)
    keypoints[people.keypoints[..., 2] <= 0] = 0
    if view.flipped:
        keypoints = keypoints[:, list(skeleton.flip)]
    empty = np.zeros((len(keypoints), *crop), bool)
    pixels = crop_people(image, affine[None], options=CropOptions(size=crop))[0]
    return type(example)(pixels, People(keypoints, empty, np.zeros(crop, bool)))
