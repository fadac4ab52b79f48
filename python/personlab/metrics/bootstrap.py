"""Bootstrap intervals of differences in average precision: images are resampled, matches computed once."""

from __future__ import annotations

import contextlib
import io
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np

from personlab.arrays.numbers import as_integer, as_number
from personlab.metrics.coco import Precision, coco_evaluation

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray
    from pycocotools.coco import COCO

_STATISTICS = ("ap", "ap50", "ap75")


class Difference(NamedTuple):
    """A statistic of one set of results minus that of another, with a percentile interval."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:+.3f} [{self.low:+.3f}, {self.high:+.3f}]"


@dataclass(frozen=True, eq=False, kw_only=True)
class Matches:
    """COCO's matches of D results, best first, with the people of I images at T thresholds."""

    image_ids: NDArray[np.int64]  # (I,)
    people: NDArray[np.int64]  # (I,) number of annotated people of each image that count
    images: NDArray[np.int64]  # (D,) index into image_ids
    scores: NDArray[np.float64]  # (D,)
    hits: NDArray[np.bool_]  # (T, D) true positives
    misses: NDArray[np.bool_]  # (T, D) false positives; matches of crowds and of unlabelled people are neither
    thresholds: NDArray[np.float64]  # (T,) of OKS or IoU
    recalls: NDArray[np.float64]  # (R,) where precision is sampled

    def average_precision(self, weights: NDArray[Any] | None = None) -> Precision:
        """Return COCO's summary with image i counted `weights[i]` times; once where weights are left out.

        Raises:
            ValueError: weights of another shape.
        """
        if weights is None:
            weights = np.ones(len(self.image_ids))
        if weights.shape != self.image_ids.shape:
            raise ValueError(f"weights: expected shape {self.image_ids.shape}, got {weights.shape}")
        people = float(weights @ self.people)
        if not people:
            return Precision(ap=-1.0, ap50=-1.0, ap75=-1.0, recall=-1.0)
        weight = weights[self.images].astype(float)
        hits, misses = (np.cumsum(kind * weight, axis=1) for kind in (self.hits, self.misses))
        precision = hits / (hits + misses + np.spacing(1))
        envelope = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
        envelope = np.pad(envelope, ((0, 0), (0, 1)))  # precision 0 at recalls above the highest
        read = np.array(
            [row[np.searchsorted(hit / people, self.recalls)] for row, hit in zip(envelope, hits, strict=True)]
        ).mean(axis=1)
        recall = hits[:, -1] / people if hits.shape[1] else np.zeros(len(read))
        return Precision(
            ap=float(read.mean()), ap50=self._at(read, 0.5), ap75=self._at(read, 0.75), recall=float(recall.mean())
        )

    def _at(self, values: NDArray[np.float64], threshold: float) -> float:
        near = np.isclose(self.thresholds, threshold)
        return float(values[near][0]) if near.any() else -1.0


def find_matches(
    annotations: COCO,
    results: Sequence[dict[str, Any]],
    kind: Literal["keypoints", "segm"],
    *,
    sigmas: Sequence[float] | None = None,
    category: str = "person",
    thresholds: Sequence[float] | None = None,
) -> Matches:
    """Match results with people of all sizes by COCO's evaluation.

    Args:
        annotations: as `personlab.metrics.coco.load_annotations` returns them.
        results: COCO result dicts.
        kind: what is compared.
        sigmas: OKS sigmas of the skeleton; COCO's where left out.
        category: name or number of the category.
        thresholds: of OKS or IoU; 0.50, 0.55 .. 0.95 where left out.
    """
    evaluation = coco_evaluation(annotations, results, kind, sigmas=sigmas, category=category)
    parameters = evaluation.params
    parameters.areaRng, parameters.areaRngLbl = [[0, 1e10]], ["all"]
    if thresholds is not None:
        parameters.iouThrs = np.asarray(thresholds, float)
    with contextlib.redirect_stdout(io.StringIO()):
        evaluation.evaluate()
    limit, count = parameters.maxDets[-1], len(parameters.iouThrs)
    image_ids = np.asarray(parameters.imgIds, np.int64)
    people = np.zeros(len(image_ids), np.int64)
    images, scores = [np.zeros(0, np.int64)], [np.zeros(0)]
    matched, ignored = [np.zeros((count, 0), bool)], [np.zeros((count, 0), bool)]
    for n, match in enumerate(evaluation.evalImgs):
        if match is None:  # neither people nor results
            continue
        people[n] = np.count_nonzero(np.asarray(match["gtIgnore"]) == 0)
        scores.append(np.asarray(match["dtScores"][:limit], float))
        images.append(np.full(len(scores[-1]), n))
        matched.append(np.asarray(match["dtMatches"][:, :limit]) != 0)
        ignored.append(np.asarray(match["dtIgnore"][:, :limit]).astype(bool))
    score = np.concatenate(scores)
    order = np.argsort(-score, kind="mergesort")  # stable, as COCO's evaluation sorts
    hit, skip = (np.concatenate(parts, axis=1)[:, order] for parts in (matched, ignored))
    return Matches(
        image_ids=image_ids,
        people=people,
        images=np.concatenate(images)[order],
        scores=score[order],
        hits=hit & ~skip,
        misses=~hit & ~skip,
        thresholds=np.asarray(parameters.iouThrs),
        recalls=np.asarray(parameters.recThrs),
    )


def resample_images(count: int, *, resamples: int = 1000, seed: int = 0) -> NDArray[np.int64]:
    """Return (resamples, count): how often each image occurs in sets of `count` images drawn with replacement."""
    count, resamples = as_integer(count, "count", 1), as_integer(resamples, "resamples", 1)
    return np.random.default_rng(seed).multinomial(count, np.full(count, 1 / count), size=resamples)


def bootstrap(matches: Matches, weights: NDArray[Any]) -> NDArray[np.float64]:
    """Return (B, 3): AP, AP50 and AP75 under each row of weights (B, I); NaN where no person has a weight."""
    summaries = [matches.average_precision(row) for row in weights]
    values = np.array([[getattr(summary, name) for name in _STATISTICS] for summary in summaries])
    return np.where(values < 0, np.nan, values)


def compare(
    after: Matches, before: Matches, *, resamples: int = 1000, seed: int = 0, level: float = 0.95
) -> dict[str, Difference]:
    """Compute `after` minus `before` of "ap", "ap50" and "ap75" by a paired bootstrap over images.

    Both use the same images in each resample: the difficulty of images cancels out.

    Raises:
        ValueError: the images differ, or a value is out of range.
    """
    if not np.array_equal(after.image_ids, before.image_ids):
        raise ValueError(f"after: expected the {len(before.image_ids)} images of `before`, got others")
    level = as_number(level, "level", 0, 1)
    weights = resample_images(len(before.image_ids), resamples=resamples, seed=seed)
    return differences(
        (after.average_precision(), bootstrap(after, weights)),
        (before.average_precision(), bootstrap(before, weights)),
        level=level,
    )


def differences(
    after: tuple[Precision, NDArray[np.float64]],
    before: tuple[Precision, NDArray[np.float64]],
    *,
    level: float = 0.95,
) -> dict[str, Difference]:
    """Compute what `compare` returns from summaries and their `bootstrap` under the same weights."""
    tails = 50 * (1 - level)
    low, high = np.nanpercentile(after[1] - before[1], [tails, 100 - tails], axis=0)
    return {
        name: Difference(getattr(after[0], name) - getattr(before[0], name), float(low[n]), float(high[n]))
        for n, name in enumerate(_STATISTICS)
    }
