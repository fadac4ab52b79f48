"""Shapes of arrays, wherever these lie, against what was expected; errors name the argument and both shapes."""

from __future__ import annotations

from typing import Protocol

from personlab import _core
from personlab.arrays.numbers import MAX_SIDE

MAX_CELLS = _core.MAX_GRID  # cells, or lattice points, of one plane


class Shaped(Protocol):
    """An array anywhere."""

    @property
    def shape(self) -> tuple[int, ...]:
        """The length of each axis."""


def check_shape(array: Shaped, name: str, expected: tuple[int | None, ...], meaning: str) -> None:
    """Compares a shape with the expected one, in which None stands for any length.

    Raises:
        ValueError: they differ.
    """
    shape = array.shape
    same = len(shape) == len(expected)
    if same:
        for wanted, length in zip(expected, shape, strict=True):
            same = same and (wanted is None or wanted == length)
    if not same:
        axes = ", ".join("any" if wanted is None else str(wanted) for wanted in expected)
        raise ValueError(f"{name}: expected shape {meaning} = ({axes}), got {shape}")


def check_grid(array: Shaped, name: str, stride: int) -> None:
    """Checks that the cells of a grid (..., h, w) can be counted, and the input pixels under it told apart.

    Raises:
        ValueError: too large.
    """
    h, w = array.shape[-2:]
    if (h - 1) * stride >= MAX_SIDE or (w - 1) * stride >= MAX_SIDE:
        raise ValueError(
            f"{name}: expected a grid over at most {MAX_SIDE} input pixels each way, "
            f"got {h} x {w} cells of stride {stride}"
        )
    if h * w >= MAX_CELLS or array.shape[0] >= MAX_CELLS:
        raise ValueError(f"{name}: expected fewer than {MAX_CELLS} cells, and images, got shape {array.shape}")


def check_lattice(array: Shaped, stride: int, step: int, name: str) -> None:
    """Checks that the points every `step` input pixels, the argument `name`, over a grid (..., h, w) can be counted.

    Raises:
        ValueError: too many.
    """
    h, w = array.shape[-2:]
    bottom, right = (h - 1) * stride, (w - 1) * stride
    if (bottom // step + 1) * (right // step + 1) > MAX_CELLS:
        raise ValueError(
            f"{name}: expected at most {MAX_CELLS} lattice points on {bottom + 1} x {right + 1} "
            f"input pixels, got {step}"
        )
