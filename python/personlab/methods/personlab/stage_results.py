"""What the stages of decoding return beside single arrays."""

from __future__ import annotations

from typing import Any, NamedTuple

from numpy.typing import NDArray

Floats = NDArray[Any]  # float32 on the CPU and on GPUs, float64 of the reference


class Peaks(NamedTuple):
    """N local maxima of the Hough scores, best first."""

    keypoints: NDArray[Any]  # (N,) keypoint type
    positions: Floats  # (N, 2) x, y in input pixels
    scores: Floats  # (N,)


class Groups(NamedTuple):
    """P poses in the order of their seeds."""

    keypoints: Floats  # (P, K, 2) x, y in input pixels
    probabilities: Floats  # (P, K) p_k(y_jk)


class Ranked(NamedTuple):
    """Q poses that are kept of P, best first."""

    kept: NDArray[Any]  # (Q,) which of the P poses
    keypoint_scores: Floats  # (Q, K) s_jk
    scores: Floats  # (Q,)


def parts_of(value: Any, name: str, kind: type[Peaks | Groups]) -> tuple[Any, ...]:
    """Returns the arrays of a named tuple, or of a tuple of as many.

    Raises:
        TypeError: neither.
    """
    if not isinstance(value, (tuple, list)) or len(value) != len(kind._fields):
        got = f"{len(value)} items" if isinstance(value, (tuple, list)) else type(value).__name__
        raise TypeError(f"{name}: expected {kind.__name__} or a tuple ({', '.join(kind._fields)}), got {got}")
    return tuple(value)
