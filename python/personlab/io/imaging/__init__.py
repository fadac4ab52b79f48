"""The table of imaging libraries: OpenCV, or Pillow where OpenCV is not installed, behind the same functions."""

from __future__ import annotations

import os
from functools import cache
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import numpy as np
    from numpy.typing import NDArray

    from personlab.io.reduced import Along

    Field = NDArray[np.float32]  # (H, W)
    Image = NDArray[np.uint8]  # (H, W, 3) RGB
    Size = tuple[int, int]  # (W, H)

_VARIABLE = "PERSONLAB_IMAGE_READER"


class ImagingLibrary(Protocol):
    """What `personlab.io` asks of a library; the files of this folder implement it."""

    NAME: str
    """its name in the table"""

    def decode(self, content: bytes, kind: str, factor: int = 1) -> tuple[Image | None, str]:
        """Decode an image file whose header was checked, turned the way its EXIF orientation says.

        Args:
            content: of the file.
            kind: its format, by `personlab.io.image_header.read_format`.
            factor: 2, 4 or 8 for a JPEG file that is read at such a fraction of its size.

        Returns:
            (H, W, 3) uint8 RGB, or None where nothing can be decoded; and the damage, empty where the file is sound.
        """

    def reads(self, kind: str) -> bool:
        """Return whether the installed build reads a format."""

    def element_type(self, content: bytes) -> str:
        """Return the element type of a TIFF file without 8 or 16 bit channels; empty where it is damaged."""

    def encode(self, image: Image, suffix: str) -> bytes | None:
        """Encode (H, W, 3) uint8 RGB as the file format of an ending; None where it is unknown, or the image empty."""

    def average(self, image: Image, size: Size) -> Image:
        """Shrink to `size` (W, H), border on border: each pixel is the mean of the area that it covers."""

    def sample_field(self, field: Field, size: Size, x: Along, y: Along) -> Field:
        """Sample finite numbers bilinearly at the pixels of an image of `size` (W, H): pixel n lies at k * n + x0."""

    def enlarge(self, image: Image, size: Size) -> Image:
        """Enlarge a drawing to `size` (W, H), border on border and bicubically."""


def _opencv() -> ImagingLibrary:
    from personlab.io.imaging import opencv

    return opencv


def _pillow() -> ImagingLibrary:
    from personlab.io.imaging import pillow

    return pillow


LIBRARIES: Mapping[str, Callable[[], ImagingLibrary]] = {"opencv": _opencv, "pillow": _pillow}  # the fastest first


@cache
def imaging_library() -> ImagingLibrary:
    """Return the first library of the table that can be imported, or the one that PERSONLAB_IMAGE_READER names.

    Raises:
        ImportError: neither can be imported; it names OpenCV.
        ValueError: PERSONLAB_IMAGE_READER names none of the table.
    """
    name = os.environ.get(_VARIABLE)
    if name:
        if name not in LIBRARIES:
            raise ValueError(f"{_VARIABLE}: expected one of {', '.join(LIBRARIES)}, got {name!r}")
        return LIBRARIES[name]()
    try:
        return LIBRARIES["opencv"]()
    except ImportError as error:  # OpenCV may also be installed without the system's libraries that it needs
        try:
            return LIBRARIES["pillow"]()
        except ImportError:
            raise error from None


def fit(image: Image, size: Size) -> Image:
    """Resize a drawing to `size` (W, H), border on border."""
    shrinks = size[0] * size[1] < image.shape[0] * image.shape[1]
    return (imaging_library().average if shrinks else imaging_library().enlarge)(image, size)
