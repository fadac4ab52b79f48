"""The grid of cells that training targets are encoded on."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from personlab.skeleton import Skeleton


class Grid(NamedTuple):
    """The grid of one view: a network input and its cells."""

    size: tuple[int, int]  # (H, W) of the network input, pixels
    stride: int  # input pixels from cell to cell
    skeleton: Skeleton
    has_masks: bool  # whether the people's masks are annotated
