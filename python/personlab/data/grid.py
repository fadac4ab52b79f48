"""What training targets are made for: a grid of cells over a network input."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from personlab.skeleton import Skeleton


class Grid(NamedTuple):
    """The grid of one view's targets."""

    size: tuple[int, int]  # (H, W) of the network input, pixels
    stride: int  # input pixels from cell to cell
    skeleton: Skeleton
    has_masks: bool  # whether the people's masks are annotated
