"""COCO's average precision of poses and masks, computed by pycocotools, or faster by hotcoco."""

from __future__ import annotations

import contextlib
import io
import math
import warnings
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    from personlab.data.annotations import Annotations

Kind = Literal["keypoints", "segm"]
Evaluator = Literal["pycocotools", "hotcoco"]


@dataclass(frozen=True, kw_only=True)
class Precision:
    """COCO's summary of one evaluation; -1 without annotated people."""

    ap: float  # mean over the thresholds 0.50, 0.55 .. 0.95 of OKS or IoU
    ap50: float
    ap75: float
    recall: float  # mean over the same thresholds


def load_annotations(path: str, *, category: str | None = None) -> COCO:
    """Read an annotation file (`personlab.data.annotations`), and return COCO's index of it.

    Args:
        path: the file.
        category: name or number of the only category to read, as `person_category` takes it; all where left out.

    Raises:
        OSError: the file cannot be read.
        ValueError: the file is not in COCO's format; the message names file, annotation and field.
    """
    from personlab.data.annotations import Content, read_annotations
    from personlab.data.coco import index_annotations

    if category is not None:
        parts = [read_annotations(path, category)]
    else:
        content = Content(path)
        parts = [content.of(one) for one in content.categories]
    for note in dict.fromkeys(note for part in parts for note in part.notes):
        warnings.warn(note, RuntimeWarning, stacklevel=2)
    return index_annotations(parts)


def index_for_scoring(annotations: Annotations, labelled_only: bool) -> COCO:
    """Return COCO's index of checked annotations that have something to score.

    Args:
        annotations: of people.
        labelled_only: leave out the images without labelled keypoints (`Annotations.labelled_images`).

    Raises:
        ValueError: no person has labelled keypoints or an outline.
    """
    from personlab.data.coco import index_annotations

    index = index_annotations([annotations.labelled_images() if labelled_only else annotations])
    if not has_labels(index) and not has_outlines(index):
        raise ValueError(
            f"{annotations.path}: expected annotated images, got {len(index.imgs)} without labelled keypoints or "
            "outlines"
        )
    return index


def has_outlines(annotations: COCO) -> bool:
    """Whether a person, no crowd, has an outline."""
    return any(a.get("segmentation") and not a.get("iscrowd") for a in annotations.anns.values())


def has_labels(annotations: COCO) -> bool:
    """Whether a person, no crowd, has a labelled keypoint."""
    return any(a.get("num_keypoints") and not a.get("iscrowd") for a in annotations.anns.values())


def person_category(annotations: COCO, name: str = "person") -> dict[str, Any]:
    """Return the category of people (`personlab.data.category.choose_category`).

    Raises:
        ValueError: no category fits, or several do.
    """
    from personlab.data.category import choose_category

    counts = Counter(annotation["category_id"] for annotation in annotations.anns.values())
    return dict(choose_category(list(annotations.cats.values()), counts, name))


def coco_evaluation(
    annotations: COCO,
    results: Sequence[dict[str, Any]],
    kind: Kind,
    *,
    sigmas: Sequence[float] | None = None,
    category: str = "person",
) -> COCOeval:
    """Prepare COCO's evaluation of results of people; arguments as for `average_precision`."""
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    number = person_category(annotations, category)["id"]
    if kind == "segm":
        annotations = _with_regions(annotations)
    with contextlib.redirect_stdout(io.StringIO()):
        if results:
            loaded = annotations.loadRes([{**r, "category_id": number} for r in results])
        else:  # loadRes raises for an empty list
            loaded = COCO()
            loaded.dataset = {**annotations.dataset, "annotations": []}
            loaded.createIndex()
        evaluation = COCOeval(annotations, loaded, kind)
    evaluation.params.catIds = [number]
    if kind == "keypoints" and sigmas is not None:
        evaluation.params.kpt_oks_sigmas = np.asarray(sigmas)
    return evaluation


def average_precision(
    annotations: COCO,
    results: Sequence[dict[str, Any]],
    kind: Kind,
    *,
    sigmas: Sequence[float] | None = None,
    category: str = "person",
    evaluator: Evaluator = "pycocotools",
) -> Precision:
    """Compute COCO's average precision of results of people over all images of an annotation file.

    For masks, people without outline are ignored regions: their boxes, grown by a tenth on each side.

    Args:
        annotations: as `load_annotations` returns them.
        results: COCO result dicts, from `Poses.to_coco` for keypoints or `mask_results` for segmentation; their
            category id is replaced by that of `person_category`.
        kind: what is compared.
        sigmas: OKS sigmas of the skeleton; COCO's where left out.
        category: name or number of the category, as `person_category` takes it.
        evaluator: the package that computes it; "hotcoco" returns the same numbers in less time.

    Raises:
        ImportError: the package of `evaluator` is not installed.
        ValueError: another name of an evaluator.
    """
    if evaluator not in get_args(Evaluator):
        raise ValueError(f"evaluator: expected one of {', '.join(get_args(Evaluator))}, got {evaluator!r}")
    if not results:
        return Precision(ap=0.0, ap50=0.0, ap75=0.0, recall=0.0)
    evaluate = summary if evaluator == "pycocotools" else hotcoco_summary
    stats = evaluate(annotations, results, kind, sigmas=sigmas, category=category)
    recall = stats[5] if kind == "keypoints" else stats[8]
    return Precision(ap=float(stats[0]), ap50=float(stats[1]), ap75=float(stats[2]), recall=float(recall))


def summary(
    annotations: COCO,
    results: Sequence[dict[str, Any]],
    kind: Kind,
    *,
    sigmas: Sequence[float] | None = None,
    category: str = "person",
) -> NDArray[np.float64]:
    """Return all figures of COCO's summary, 10 of keypoints or 12 of masks; arguments as for `average_precision`."""
    evaluation = coco_evaluation(annotations, results, kind, sigmas=sigmas, category=category)
    with contextlib.redirect_stdout(io.StringIO()):
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return np.asarray(evaluation.stats, np.float64)


def hotcoco_summary(
    annotations: COCO,
    results: Sequence[dict[str, Any]],
    kind: Kind,
    *,
    sigmas: Sequence[float] | None = None,
    category: str = "person",
) -> NDArray[np.float64]:
    """Return what `summary` does, computed by hotcoco.

    Raises:
        ImportError: hotcoco is not installed.
        ValueError: annotations or results of which the two packages would return different figures.
    """
    import hotcoco

    _check_comparable(annotations, results, kind)
    number = person_category(annotations, category)["id"]
    truth = hotcoco.COCO((_with_regions(annotations) if kind == "segm" else annotations).dataset)
    evaluation = hotcoco.COCOeval(truth, truth.load_res([{**r, "category_id": number} for r in results]), kind)
    evaluation.params.cat_ids = [number]
    if kind == "keypoints" and sigmas is not None:
        evaluation.params.kpt_oks_sigmas = [float(sigma) for sigma in sigmas]
    with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "hotcoco: kpt_oks_sigmas differ")
        evaluation.run()
    return np.asarray(evaluation.stats, np.float64)


def _check_comparable(annotations: COCO, results: Sequence[dict[str, Any]], kind: Kind) -> None:
    """Check for what pycocotools matches in ways of its own, or stops at: hotcoco goes on.

    Raises:
        ValueError: ids of annotations that are 0 or come twice, NaN or infinity, results of other images.
    """
    ids = [entry["id"] for entry in annotations.dataset["annotations"]]
    if 0 in ids or len(set(ids)) < len(ids):
        raise ValueError("annotations: expected ids that differ from each other and from 0 for hotcoco, got others")
    for place, result in enumerate(results):
        if result["image_id"] not in annotations.imgs:
            raise ValueError(f"results[{place}]: expected an image of the annotations, got {result['image_id']}")
        if not math.isfinite(sum(result["keypoints"], result["score"]) if kind == "keypoints" else result["score"]):
            raise ValueError(f"results[{place}]: expected finite numbers, got NaN or infinity")


def _with_regions(annotations: COCO) -> COCO:
    """Return the annotations with ignored regions, as COCO's crowds are, in place of people without outline."""
    from personlab.data.coco import grow_box, index_dataset

    entries = annotations.dataset["annotations"]
    if all(entry.get("segmentation") for entry in entries):
        return annotations
    listed = []
    for entry in entries:
        if entry.get("segmentation"):
            listed.append(entry)
            continue
        image = annotations.imgs[entry["image_id"]]
        rows, columns = grow_box(entry.get("bbox") or [0] * 4, (image["height"], image["width"]))
        left, top, right, bottom = columns.start, rows.start, columns.stop, rows.stop
        if left < right and top < bottom:
            region = [[left, top, right, top, right, bottom, left, bottom]]
            listed.append({**entry, "segmentation": region, "iscrowd": 1})
    return index_dataset({**annotations.dataset, "annotations": listed})
