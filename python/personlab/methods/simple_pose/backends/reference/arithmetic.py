"""Sums and logarithms by the very operations of the core: what is near a threshold or tied is decided by the last bit.

A library adds in an order of its own (pairwise, by BLAS, Python's `sum` compensated from 3.12 on) and rounds logarithms
as it likes, by version and processor.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import ArrayLike


def in_order(values: ArrayLike) -> float:
    """The sum of an array that is not empty, from its first element to its last, row by row."""
    return float(np.cumsum(values, dtype=np.float64)[-1])


def logarithm(value: float) -> float:
    """The natural logarithm of a number above 0 to 1e-15, from +, -, * and / alone.

    2 artanh(s) with s = (m - 1) / (m + 1): its series up to s^21, even and odd terms by themselves.
    """
    m, exponent = math.frexp(value)  # m is 0.5 .. 1
    if m < 0.70710678118654752:
        m, exponent = 2 * m, exponent - 1
    s = (m - 1) / (m + 1)
    s2 = s * s
    s4 = s2 * s2
    even = ((((1 / 21 * s4 + 1 / 17) * s4 + 1 / 13) * s4 + 1 / 9) * s4 + 1 / 5) * s4 + 1
    odd = (((1 / 19 * s4 + 1 / 15) * s4 + 1 / 11) * s4 + 1 / 7) * s4 + 1 / 3
    return exponent * 0.69314718055994531 + 2 * s * (even + odd * s2)
