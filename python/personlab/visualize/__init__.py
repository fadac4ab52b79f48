"""Drawings of people, of fields and of the steps of decoding, as (H, W, 3) uint8 RGB.

`overlay` draws the result; `fields_gallery` draws one image for each field and each step of decoding. No function
writes to its arguments. Lines, labels and legends scale with the image. Scalars are in viridis, people in Okabe and
Ito's palette: both are readable with any colour vision.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from personlab._lazy import lazy_names
from personlab.io.images import write_image
from personlab.visualize.canvas import canvas, read_image
from personlab.visualize.people import draw_masks, draw_poses, overlay, person_colours, track_colours
from personlab.visualize.sheet import contact_sheet, write_gallery

if TYPE_CHECKING:
    from personlab.methods.personlab.draw.decoding import draw_explanation, draw_order
    from personlab.methods.personlab.draw.fields import draw_heatmap, draw_hough, draw_segmentation
    from personlab.methods.personlab.draw.gallery import fields_gallery
    from personlab.methods.personlab.draw.offsets import draw_long_offsets, draw_mid_offsets, draw_short_offsets
    from personlab.methods.personlab.explain import Explanation, Step, explain_pose, explain_poses, explain_seed

__all__ = [
    "Explanation",
    "Step",
    "canvas",
    "contact_sheet",
    "draw_explanation",
    "draw_heatmap",
    "draw_hough",
    "draw_long_offsets",
    "draw_masks",
    "draw_mid_offsets",
    "draw_order",
    "draw_poses",
    "draw_segmentation",
    "draw_short_offsets",
    "explain_pose",
    "explain_poses",
    "explain_seed",
    "fields_gallery",
    "overlay",
    "person_colours",
    "read_image",
    "track_colours",
    "write_gallery",
    "write_image",
]

_METHOD = "personlab.methods.personlab"

__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "Explanation": f"{_METHOD}.explain",
        "Step": f"{_METHOD}.explain",
        "draw_explanation": f"{_METHOD}.draw.decoding",
        "draw_heatmap": f"{_METHOD}.draw.fields",
        "draw_hough": f"{_METHOD}.draw.fields",
        "draw_long_offsets": f"{_METHOD}.draw.offsets",
        "draw_mid_offsets": f"{_METHOD}.draw.offsets",
        "draw_order": f"{_METHOD}.draw.decoding",
        "draw_segmentation": f"{_METHOD}.draw.fields",
        "draw_short_offsets": f"{_METHOD}.draw.offsets",
        "explain_pose": f"{_METHOD}.explain",
        "explain_poses": f"{_METHOD}.explain",
        "explain_seed": f"{_METHOD}.explain",
        "fields_gallery": f"{_METHOD}.draw.gallery",
    },
)
