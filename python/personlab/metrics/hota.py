"""HOTA, Higher Order Tracking Accuracy, of tracks against true identities (Luiten et al., IJCV 2021)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from personlab.arrays.shapes import check_shape

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Frame = tuple[Any, Any, Any]  # true ids (G,), ids of tracks (P,), their similarity (G, P)

ALPHAS: Floats = np.arange(1, 20) / 20
"""(19,) similarities at which a person counts as found: 0.05, 0.1 .. 0.95"""

_MIN_SIMILARITY = 0.5  # of a match, in counting switches
_EPSILON = float(np.finfo(float).eps)


@dataclass(frozen=True, eq=False)
class Hota:
    """HOTA and its parts; arrays hold a value for each of `ALPHAS`."""

    matches: Floats
    """(19,) people who are tracked, over all frames: TP"""
    misses: Floats
    """(19,) people who are not: FN"""
    extras: Floats
    """(19,) tracked people who are none: FP"""
    association: Floats
    """(19,) AssA: mean over the matches of the overlap in time of the true and the found identity"""
    association_recall: Floats
    """(19,) AssRe"""
    association_precision: Floats
    """(19,) AssPr"""
    localization: Floats
    """(19,) LocA: mean similarity of the matches"""

    @property
    def detection(self) -> Floats:
        """(19,) DetA: matches as a share of matches, misses and extras."""
        return self.matches / np.maximum(self.matches + self.misses + self.extras, 1)

    @property
    def detection_recall(self) -> Floats:
        """(19,) DetRe."""
        return self.matches / np.maximum(self.matches + self.misses, 1)

    @property
    def detection_precision(self) -> Floats:
        """(19,) DetPr."""
        return self.matches / np.maximum(self.matches + self.extras, 1)

    @property
    def values(self) -> Floats:
        """(19,) the geometric mean of DetA and AssA."""
        geometric: Floats = np.sqrt(self.detection * self.association)
        return geometric

    @property
    def score(self) -> float:
        """HOTA: the mean over `ALPHAS`, 0 to 1."""
        return float(self.values.mean())


def hota(frames: Iterable[Frame]) -> Hota:
    """Return HOTA of a video.

    Args:
        frames: of each frame the true ids (G,), the ids of tracks (P,), integers of which none occurs twice, and the
            similarity (G, P) of the people, 0 to 1, such as IoU or OKS.

    Raises:
        ImportError: SciPy is missing.
        TypeError, ValueError: a frame holds something else.
    """
    listed = [_checked(number, *frame) for number, frame in enumerate(frames)]
    solve = _solver()
    truth, true_places = _numbered([frame[0] for frame in listed])
    found, places = _numbered([frame[1] for frame in listed])
    true_count, count = np.bincount(true_places, minlength=truth), np.bincount(places, minlength=found)
    alignment = np.zeros((truth, found))
    rows, columns = _split(true_places, [frame[0] for frame in listed]), _split(places, [frame[1] for frame in listed])
    for row, column, (_, _, similarity) in zip(rows, columns, listed, strict=True):
        either = similarity.sum(axis=0) + similarity.sum(axis=1)[:, None] - similarity
        share = np.divide(similarity, either, out=np.zeros_like(similarity), where=either > _EPSILON)
        alignment[np.ix_(row, column)] += share
    alignment /= np.maximum(true_count[:, None] + count - alignment, _EPSILON)
    pairs, reached = [np.zeros(0, np.int64)], [np.zeros(0)]
    for row, column, (_, _, similarity) in zip(rows, columns, listed, strict=True):
        i, j = solve(alignment[np.ix_(row, column)] * similarity, maximize=True)
        pairs.append(row[i] * np.int64(found) + column[j])
        reached.append(similarity[i, j])
    matched, similarities = np.concatenate(pairs), np.concatenate(reached)
    results = np.array([_at(alpha, matched, similarities, true_count, count) for alpha in ALPHAS]).T
    matches, association, recall, precision, localization = results
    return Hota(
        matches, len(true_places) - matches, len(places) - matches, association, recall, precision, localization
    )


def combine_hota(videos: Sequence[Hota]) -> Hota:
    """Return HOTA of several videos together: counts are added, other parts averaged by the matches.

    Raises:
        ValueError: no video.
    """
    if not videos:
        raise ValueError("videos: expected at least one, got none")
    matches = _sum(videos, "matches")

    def mean(name: str) -> Floats:
        total = np.sum([getattr(one, name) * one.matches for one in videos], axis=0)
        averaged: Floats = total / np.maximum(matches, 1)
        return averaged

    return Hota(
        matches, _sum(videos, "misses"), _sum(videos, "extras"),
        mean("association"), mean("association_recall"), mean("association_precision"),
        np.where(matches > 0, mean("localization"), 1.0),
    )  # fmt: skip


def count_switches(frames: Iterable[Frame], *, min_similarity: float = _MIN_SIMILARITY) -> int:
    """Count identity switches (CLEAR MOT): a person is matched with another track than the last time.

    In each frame, a person and the track of the frame before stay together while they are similar enough; the others
    are matched so that the sum of similarities is maximal. Frames without people, or without tracks, are passed over.

    Args:
        frames: as `hota` takes them.
        min_similarity: of a match.

    Raises:
        ImportError: SciPy is missing.
        TypeError, ValueError: a frame holds something else.
    """
    solve = _solver()
    last: dict[int, int] = {}
    before: dict[int, int] = {}
    switches = 0
    for number, frame in enumerate(frames):
        truth, found, similarity = _checked(number, *frame)
        if not similarity.size:
            continue
        stays = np.array([[before.get(one) == other for other in found.tolist()] for one in truth.tolist()], bool)
        score = np.where(
            similarity >= min_similarity - _EPSILON, similarity + 1000.0 * stays.reshape(similarity.shape), 0
        )
        rows, columns = solve(score, maximize=True)
        before = {int(truth[i]): int(found[j]) for i, j in zip(rows, columns, strict=True) if score[i, j] > _EPSILON}
        switches += sum(last.get(one, other) != other for one, other in before.items())
        last |= before
    return switches


def _at(alpha: float, matched: Any, similarities: Floats, true_count: Any, count: Any) -> tuple[float, ...]:
    """Return matches, AssA, AssRe, AssPr and LocA at one similarity."""
    near = similarities >= alpha - _EPSILON
    pairs, together = np.unique(matched[near], return_counts=True)
    total = int(near.sum())
    if not total:
        return 0.0, 0.0, 0.0, 0.0, 1.0
    own, other = true_count[pairs // len(count)], count[pairs % len(count)]
    parts = (together / (own + other - together), together / own, together / other)
    return (float(total), *(float((together * part).sum() / total) for part in parts), float(similarities[near].mean()))


def _sum(videos: Sequence[Hota], name: str) -> Floats:
    total: Floats = np.sum([getattr(one, name) for one in videos], axis=0)
    return total


def _numbered(ids: list[NDArray[np.int64]]) -> tuple[int, NDArray[np.int64]]:
    """Return how many ids there are, and each of all frames as a number from 0."""
    every = np.concatenate([np.zeros(0, np.int64), *ids])
    names, places = np.unique(every, return_inverse=True)
    return len(names), places.astype(np.int64).reshape(-1)


def _split(places: NDArray[np.int64], ids: list[NDArray[np.int64]]) -> list[NDArray[np.int64]]:
    return np.split(places, np.cumsum([len(one) for one in ids])[:-1]) if ids else []


def _checked(number: int, truth: Any, found: Any, similarity: Any) -> tuple[Any, Any, Floats]:
    """Return the arrays of a frame.

    Raises:
        TypeError, ValueError: other ones than `hota` takes.
    """
    ids = []
    for name, value in (("true ids", truth), ("ids", found)):
        array = np.asarray(value)
        if array.size and array.dtype.kind not in "iu":
            raise TypeError(f"{name} of frame {number}: expected integers, got {array.dtype}")
        if array.ndim != 1 or len(np.unique(array)) != array.size:
            raise ValueError(
                f"{name} of frame {number}: expected a list in which none occurs twice, got {array.tolist()}"
            )
        ids.append(array.astype(np.int64))
    alike = np.asarray(similarity, np.float64)
    check_shape(alike, f"similarity of frame {number}", (len(ids[0]), len(ids[1])), "(G, P)")
    if alike.size and not (np.isfinite(alike).all() and alike.min() >= 0 and alike.max() <= 1 + 1e-6):
        raise ValueError(f"similarity of frame {number}: expected numbers from 0 to 1, got others")
    return ids[0], ids[1], alike


def _solver() -> Callable[..., Any]:
    try:
        from scipy.optimize import linear_sum_assignment
    except ImportError:
        raise ImportError("HOTA needs SciPy: pip install 'personlab[track]'") from None
    solve: Callable[..., Any] = linear_sum_assignment
    return solve
