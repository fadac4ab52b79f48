"""Checks that fields are of one image, not of a batch, for drawing and explaining."""

from __future__ import annotations

from typing import Any

from personlab.arrays.numbers import check_type
from personlab.arrays.shapes import check_shape
from personlab.methods.personlab.fields import Fields


def check_image_fields(fields: Any) -> int:
    """Return K, the number of keypoint types, of the fields of one image.

    Raises:
        TypeError: `fields` is no `Fields`.
        ValueError: `fields` is a batch.
    """
    check_type(fields, "fields", Fields)
    check_shape(fields.heatmaps, "fields.heatmaps", (None, None, None), "(K, h, w)")
    return len(fields.heatmaps)
