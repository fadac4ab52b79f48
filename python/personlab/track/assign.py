"""Pairs of rows and columns of a similarity matrix, by SciPy's assignment."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

INSTALL = "tracking needs SciPy: pip install 'personlab[track]'"


def assign(similarity: NDArray[np.float64]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return the pairs (rows, columns) with the largest sum of similarities, without those of similarity 0.

    Raises:
        ImportError: SciPy is missing.
    """
    solve = _solver()
    if not similarity.size:
        return np.zeros(0, np.intp), np.zeros(0, np.intp)
    rows, columns = solve(similarity, maximize=True)
    kept = similarity[rows, columns] > 0
    return rows[kept], columns[kept]


def check_solver() -> None:
    """Check that SciPy is installed.

    Raises:
        ImportError: it is not.
    """
    _solver()


def _solver() -> Any:
    try:
        from scipy.optimize import linear_sum_assignment
    except ImportError:
        raise ImportError(INSTALL) from None
    return linear_sum_assignment
