"""How good poses and masks are: COCO's average precision, through pycocotools."""

from __future__ import annotations

import contextlib
import io
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray
    from pycocotools.coco import COCO

    from personlab.poses import Poses


@dataclass(frozen=True, kw_only=True)
class Precision:
    """COCO's summary of one evaluation; -1 where there was nothing to find."""

    ap: float  # mean over the thresholds 0.50, 0.55 .. 0.95 of OKS or IoU
    ap50: float
    ap75: float
    recall: float  # mean over the same thresholds


def load_annotations(path: str) -> COCO:
    """COCO's index of an annotation file, without its chatter on stdout.

    Raises:
        FileNotFoundError: no such file.
    """
    from pycocotools.coco import COCO

    with contextlib.redirect_stdout(io.StringIO()):
        return COCO(path)


def mask_results(poses: Poses, masks: NDArray[np.bool_], image_id: int) -> list[dict[str, Any]]:
    """One COCO segmentation result for each pose and its mask (P, H, W): run-length encoded, scored as the pose."""
    from pycocotools import mask as coco_mask

    results = []
    for score, mask in zip(poses.scores, masks, strict=True):
        encoded = coco_mask.encode(np.asfortranarray(mask, np.uint8))
        results.append(
            {
                "image_id": image_id,
                "category_id": 1,
                "segmentation": {"size": list(encoded["size"]), "counts": encoded["counts"].decode("ascii")},
                "score": float(score),
            }
        )
    return results


def average_precision(
    annotations: COCO,
    results: Sequence[dict[str, Any]],
    kind: Literal["keypoints", "segm"],
    *,
    sigmas: Sequence[float] | None = None,
) -> Precision:
    """COCO's average precision of results for persons over all pictures of an annotation file.

    Args:
        annotations: what `load_annotations` gave.
        results: COCO result dicts, from `Poses.to_coco` for keypoints or `mask_results` for segmentation.
        kind: what to compare.
        sigmas: OKS sigmas of the skeleton; COCO's where left out.
    """
    from pycocotools.cocoeval import COCOeval

    if not results:
        return Precision(ap=0.0, ap50=0.0, ap75=0.0, recall=0.0)
    with contextlib.redirect_stdout(io.StringIO()):
        evaluation = COCOeval(annotations, annotations.loadRes([dict(r) for r in results]), kind)
        evaluation.params.catIds = [1]
        if kind == "keypoints" and sigmas is not None:
            evaluation.params.kpt_oks_sigmas = np.asarray(sigmas)
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    stats = evaluation.stats
    recall = stats[5] if kind == "keypoints" else stats[8]
    return Precision(ap=float(stats[0]), ap50=float(stats[1]), ap75=float(stats[2]), recall=float(recall))
