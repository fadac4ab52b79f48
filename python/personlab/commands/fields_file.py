"""Reads files of fields as the commands take them: of one image each, of a limited size."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from personlab.commands.network import required
from personlab.io.image_header import check_pixels
from personlab.methods import DEFAULT_METHOD, get_method

if TYPE_CHECKING:
    from personlab.methods import Method


def read_fields(path: str, method: str | Method = DEFAULT_METHOD, *, masks: bool = False) -> Any:
    """Read the fields of the one image in a file.

    Args:
        path: of the file.
        method: whose fields they are.
        masks: whether they have to have those that masks are decoded from.

    Raises:
        OSError: no such file.
        UsageError: a method whose fields are in no files.
        ValueError: a file of another kind, of several images, or of too many pixels.
    """
    fields = required(get_method(method), "load", "files of fields")(Path(path), masks)
    check_pixels(fields.image_size or fields.input_size, f"{path}: image_size")
    return fields
