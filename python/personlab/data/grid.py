"""The grid of cells that training targets are encoded on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from personlab.skeleton import Skeleton


class Grid(NamedTuple):
    """The grid of one view: a network input and its cells."""

    size: tuple[int, int]  # (H, W) of the network input, pixels
    stride: int  # input pixels from cell to cell
    skeleton: Skeleton
    has_masks: bool  # whether the people's masks are annotated


def input_step(config: Any) -> int | None:
    """Return what the sides of inputs of a network are multiples of, pixels; None: of its stride plus 1.

    Args:
        config: of the network; it says so in `input_step`.
    """
    step: int | None = getattr(config, "input_step", None)
    return step


def check_sides(size: tuple[int, int], name: str, *, stride: int, step: int | None) -> None:
    """Check that cells cover a network input of (H, W) = `size` pixels without a rest.

    Raises:
        ValueError: a side is no multiple of `step` or, where that is None, of `stride` plus 1.
    """
    if step is None and any((side - 1) % stride for side in size):
        raise ValueError(f"{name}: expected multiples of the stride {stride} plus 1, got {size}")
    if step is not None and any(side % step for side in size):
        raise ValueError(f"{name}: expected multiples of {step}, got {size}")
