"""What stages take and give beside arrays, and on which backend they work."""

from __future__ import annotations

from typing import Any, Literal, NamedTuple, get_args

import numpy as np
from numpy.typing import NDArray

from personlab.arrays.device import all_on_device
from personlab.arrays.host import FloatArray, as_numbers, check_shape, to_numpy

Backend = Literal["cpu", "cuda", "reference"]
Floats = NDArray[Any]


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


def choose_backend(backend: Backend | None, **arrays: Any) -> Backend:
    """The backend that was asked for, or else the one for where the arrays lie; those that are None count for nothing.

    Raises:
        TypeError: the arrays lie where that backend does not work, or some on a device and some not.
        ValueError: no backend.
    """
    if backend is not None and backend not in get_args(Backend):
        raise ValueError(f"backend: expected one of {', '.join(get_args(Backend))}, got {backend!r}")
    on_device = all_on_device(**arrays)
    if backend is None:
        return "cuda" if on_device else "cpu"
    if on_device != (backend == "cuda"):
        here, there = ("device", "host") if on_device else ("host", "device")
        name = next(name for name, value in arrays.items() if value is not None)
        raise TypeError(
            f"{name}: expected {there} memory for backend {backend!r}, got {here} memory; "
            f"move it there first, or leave `backend` out"
        )
    return backend


def parts_of(value: Any, name: str, kind: type[Peaks | Groups]) -> tuple[Any, ...]:
    """The arrays of a named tuple, or of a tuple of as many.

    Raises:
        TypeError: neither.
    """
    if not isinstance(value, (tuple, list)) or len(value) != len(kind._fields):
        got = f"{len(value)} items" if isinstance(value, (tuple, list)) else type(value).__name__
        raise TypeError(f"{name}: expected {kind.__name__} or a tuple ({', '.join(kind._fields)}), got {got}")
    return tuple(value)


def check_peaks(keypoints: Any, positions: Any, scores: Any, n_keypoints: int) -> tuple[Any, Any, Any]:
    """The arrays of `Peaks` as NumPy arrays: types from 0 to K - 1, and for each a position and a score.

    Raises:
        TypeError: no integers, or no numbers.
        ValueError: another shape, or a keypoint type out of range.
    """
    keypoints = to_numpy(keypoints, "peaks.keypoints")
    positions, scores = as_numbers(positions, "peaks.positions"), as_numbers(scores, "peaks.scores")
    check_shape(keypoints, "peaks.keypoints", (None,), "(N,)")
    check_shape(positions, "peaks.positions", (len(keypoints), 2), "(N, 2)")
    check_shape(scores, "peaks.scores", (len(keypoints),), "(N,)")
    if keypoints.dtype.kind not in "iu":
        raise TypeError(f"peaks.keypoints: expected integers, got {keypoints.dtype}")
    if keypoints.size and not 0 <= keypoints.min() <= keypoints.max() < n_keypoints:
        outside = keypoints[(keypoints < 0) | (keypoints >= n_keypoints)][0]
        raise ValueError(f"peaks.keypoints: expected 0..{n_keypoints - 1}, got {outside}")
    return keypoints, positions, scores


def check_finite(expected: str, *arrays: FloatArray) -> None:
    """Refuse NaN and infinity, which numbers too large for float32 have become.

    Args:
        expected: how the error begins: what was to be finite.
        arrays: float32.

    Raises:
        ValueError: some are not finite.
    """
    if not all(np.isfinite(array).all() for array in arrays):
        raise ValueError(f"{expected}, got NaN or infinity")
