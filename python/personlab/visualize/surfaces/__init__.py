"""The drawing surfaces: lines, discs and letters by the imaging library, on (H, W, 3) uint8 RGB arrays."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from personlab.io.imaging import imaging_library

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Image = NDArray[np.uint8]  # (H, W, 3) RGB
    Colour = tuple[int, int, int]
    Point = tuple[float, float]  # x, y pixels, finite; may lie far outside of the image


class Surface(Protocol):
    """What drawings ask of a library; the files of this folder implement it. All of them draw on `image` itself."""

    def line(self, image: Image, start: Point, end: Point, colour: Colour, width: int) -> None:
        """Draw a smooth line with round ends, `width` pixels wide."""

    def disc(self, image: Image, centre: Point, radius: float, colour: Colour) -> None:
        """Draw a smooth, filled disc."""

    def ring(self, image: Image, centre: Point, radius: float, colour: Colour, width: int) -> None:
        """Draw a smooth circle, `width` pixels wide."""

    def text_size(self, text: str, scale: float) -> tuple[int, int, int]:
        """Return the width of a text, the height of its capital letters and the depth below the baseline, pixels.

        At a scale of 1, capital letters are about 9 pixels high.
        """

    def text(self, image: Image, text: str, left: int, baseline: int, colour: Colour, scale: float) -> None:
        """Write a text from column `left` on, its letters on row `baseline`."""


def surface() -> Surface:
    """Return the surface of `personlab.io.imaging.imaging_library`."""
    if imaging_library().NAME == "opencv":
        from personlab.visualize.surfaces import opencv

        return opencv
    from personlab.visualize.surfaces import pillow

    return pillow
