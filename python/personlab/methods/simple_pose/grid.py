"""How cells of maps lie on an image: the network's input shows the image, scaled, with padding below and right."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from personlab import _core
from personlab.arrays.numbers import as_integer, as_size

if TYPE_CHECKING:
    from personlab.arrays.shapes import Shaped

MAX_STRIDE = _core.MAX_MAP_STRIDE  # input pixels


@dataclass(frozen=True, kw_only=True)
class MapGrid:
    """Where the cells of maps lie.

    The centre of cell (i, j) is pixel (x, y) = ((j + 0.5) * stride - 0.5, (i + 0.5) * stride - 0.5) of the network
    input, of which the first `input_size` pixels show the image of `size` pixels.

    Attributes:
        stride: input pixels from cell to cell.
        input_size: (H, W) of the part of the network input that shows the image.
        size: (H, W) of the image, in whose pixels people are.
    """

    stride: int
    input_size: tuple[int, int]
    size: tuple[int, int]

    @classmethod
    def of(cls, maps: Shaped, name: str, stride: int, input_size: object = None, size: object = None) -> MapGrid:
        """Return the grid of maps (..., h, w): the whole input and its pixels where sizes are None.

        Raises:
            TypeError, ValueError: sizes that are none, or do not fit the maps.
        """
        stride = as_integer(stride, "stride", 1, MAX_STRIDE)
        whole = maps.shape[-2] * stride, maps.shape[-1] * stride
        inner = whole if input_size is None else as_size(input_size, "input_size")
        if inner[0] > whole[0] or inner[1] > whole[1]:
            raise ValueError(f"input_size: expected at most the {whole} pixels of {name}, got {inner}")
        outer = inner if size is None else as_size(size, "size")
        if (0 in inner) != (0 in outer):
            raise ValueError(f"size: expected an image that {inner} input pixels can show, got {outer}")
        return cls(stride=stride, input_size=inner, size=outer)
