"""Draws everything about one decoding: each field, each step and the result."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import numpy as np

from personlab.arrays.numbers import as_integer
from personlab.io.images import as_image
from personlab.io.imaging import fit
from personlab.methods.personlab import stages
from personlab.methods.personlab.decode import decode_masks, decode_poses
from personlab.methods.personlab.draw.decoding import draw_explanation, draw_order
from personlab.methods.personlab.draw.fields import draw_heatmap, draw_hough, draw_segmentation
from personlab.methods.personlab.draw.offsets import draw_long_offsets, draw_mid_offsets, draw_short_offsets
from personlab.methods.personlab.explain import explain_poses
from personlab.methods.personlab.image_fields import check_image_fields
from personlab.options import DecodeOptions
from personlab.skeleton import COCO_PERSON, Skeleton
from personlab.visualize.canvas import canvas
from personlab.visualize.people import draw_masks, draw_poses

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from personlab.methods.personlab.fields import Fields
    from personlab.poses import Poses
    from personlab.visualize.canvas import Image

_DEFAULTS = DecodeOptions()


def fields_gallery(
    fields: Fields,
    image: Image | None = None,
    poses: Poses | None = None,
    masks: NDArray[np.bool_] | None = None,
    *,
    options: DecodeOptions = _DEFAULTS,
    skeleton: Skeleton = COCO_PERSON,
    explanations: int = 3,
    longest_side: int = 1600,
) -> dict[str, Image]:
    """Draw each field, each step of decoding and its result; return the images by name, fit for file names.

    The names are "heatmaps", "heatmap_<keypoint>" for each type, "hough", "short_offsets", "short_offsets_wheel",
    "mid_offsets", "mid_offsets_wheel", "order", "poses", "explanation_1" and so on, and, for fields with masks,
    "segmentation", "long_offsets", "long_offsets_arrows" and "masks". With PoseNet's decoder, "hough" is
    missing.

    Args:
        fields: of one image.
        image: (H, W, 3) uint8 RGB; a grey stand-in (`canvas`) where left out.
        poses: in pixels of `image`; decoded from the fields where left out.
        masks: (P, H, W) bool; decoded where `poses` are left out, too, and the fields have masks.
        options: of decoding.
        skeleton: keypoints and edges of the fields.
        explanations: max number of poses that are explained, best first.
        longest_side: max side of the drawings, pixels; a larger image is shrunk.

    Raises:
        TypeError: an argument of the wrong type.
        ValueError: an argument of the wrong shape, fields of a batch or fields of another skeleton.
    """
    count = check_image_fields(fields)
    background = canvas(fields) if image is None else as_image(image)
    height, width = background.shape[:2]
    heat, short, mid, stride = fields.heatmaps, fields.short_offsets, fields.mid_offsets, fields.stride
    if poses is None:
        decoded: Any = decode_poses(heat, short, mid, stride=stride, skeleton=skeleton, options=options)
        poses = decoded.scaled(*_scale(fields, background))
        if masks is None and fields.segmentation is not None and fields.long_offsets is not None:
            decoded_masks: Any = decode_masks(
                decoded, fields.segmentation, fields.long_offsets,
                short_offsets=short, stride=stride, size=(height, width),
            )  # fmt: skip
            masks = decoded_masks
    small, sx, sy = _shrink(background, as_integer(longest_side, "longest_side", 1))
    masks = None if masks is None else _shrink_masks(masks, small)
    drawn = {"poses": draw_poses(small, poses.scaled(sx, sy), skeleton=skeleton)}
    if masks is not None:
        drawn["masks"] = draw_masks(small, masks)
    drawn |= _field_images(small, fields, skeleton, options)
    explained = [e.scaled(*_scale(fields, small)) for e in explain_poses(fields, skeleton=skeleton, options=options)]
    drawn["order"] = draw_order(small, explained)
    ranked = sorted((e for e in explained if e.rank is not None), key=lambda e: e.rank or 0)
    for number, explanation in enumerate(ranked[: as_integer(explanations, "explanations", 0)], 1):
        drawn[f"explanation_{number}"] = draw_explanation(small, explanation)
    for k in range(count):
        name = re.sub(r"[^\w-]+", "_", skeleton.names[k])
        drawn[f"heatmap_{name}"] = draw_heatmap(small, heat[k], title=skeleton.names[k])
    return drawn


def _field_images(image: Image, fields: Fields, skeleton: Skeleton, options: DecodeOptions) -> dict[str, Image]:
    """Draw all fields but the single heatmaps."""
    drawn = {"heatmaps": draw_heatmap(image, fields.heatmaps)}
    if options.decoder != "posenet":
        hough = stages.hough_vote(fields.heatmaps, fields.short_offsets, stride=fields.stride, options=options)
        peaks = stages.find_peaks(hough, options=options)
        drawn["hough"] = draw_hough(image, hough, options.hough_stride, peaks=peaks, input_size=fields.input_size)
    drawn["short_offsets"] = draw_short_offsets(image, fields)
    drawn["short_offsets_wheel"] = draw_short_offsets(image, fields, style="wheel")
    drawn["mid_offsets"] = draw_mid_offsets(image, fields, skeleton=skeleton)
    drawn["mid_offsets_wheel"] = draw_mid_offsets(image, fields, style="wheel", skeleton=skeleton)
    if fields.segmentation is not None:
        drawn["segmentation"] = draw_segmentation(image, fields.segmentation)
    if fields.long_offsets is not None:
        drawn["long_offsets"] = draw_long_offsets(image, fields, skeleton=skeleton)
        drawn["long_offsets_arrows"] = draw_long_offsets(image, fields, style="arrows", skeleton=skeleton)
    return drawn


def _scale(fields: Fields, image: Image) -> tuple[float, float]:
    """Return (sx, sy) from input pixels to pixels of `image`, corner pixel on corner pixel."""
    (height, width), (input_width, input_height) = image.shape[:2], fields.input_size
    return (width - 1) / max(input_width - 1, 1), (height - 1) / max(input_height - 1, 1)


def _shrink(image: Image, longest_side: int) -> tuple[Image, float, float]:
    """Shrink an image to a max side; return it and (sx, sy) from its old pixels to the new ones."""
    height, width = image.shape[:2]
    factor = longest_side / max(height, width, 1)
    if factor >= 1:
        return image, 1.0, 1.0
    w, h = max(1, round(width * factor)), max(1, round(height * factor))
    return fit(image, (w, h)), (w - 1) / max(width - 1, 1), (h - 1) / max(height - 1, 1)


def _shrink_masks(masks: NDArray[np.bool_], image: Image) -> NDArray[np.bool_]:
    """Sample masks at every pixel of `image`, which is not larger than they are."""
    (height, width), (h, w) = masks.shape[1:], image.shape[:2]
    rows = np.rint(np.linspace(0, max(height - 1, 0), h)).astype(np.intp)
    columns = np.rint(np.linspace(0, max(width - 1, 0), w)).astype(np.intp)
    return masks if (height, width) == (h, w) else masks[:, rows[:, None], columns]
