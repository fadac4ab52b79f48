"""Reads files of fields as the commands take them: of one image each, of a limited size."""

from __future__ import annotations

from personlab.io.image_header import check_pixels
from personlab.methods.personlab.fields import Fields


def read_fields(path: str) -> Fields:
    """Read the fields of the one image in a file.

    Raises:
        OSError: no such file.
        ValueError: a file of another kind, of several images, or of too many pixels.
    """
    fields = Fields.load(path)
    check_pixels(fields.image_size or fields.input_size, f"{path}: image_size")
    if fields.heatmaps.ndim != 4:
        return fields
    if len(fields.heatmaps) != 1:
        raise ValueError(f"{path}: expected the fields of one image, got a batch of {len(fields.heatmaps)}")
    return fields[0]
