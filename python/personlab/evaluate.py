"""How good poses and masks are: COCO's average precision, through pycocotools, and the most a network could reach."""

from __future__ import annotations

import contextlib
import io
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from personlab._arrays import as_integer
from personlab.decode import decode_masks, decode_poses
from personlab.options import DecodeOptions, MaskOptions
from personlab.poses import Poses
from personlab.skeleton import COCO_PERSON, Skeleton
from personlab.targets import encode_targets

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    from personlab.data.coco import People

EVERY_POSE = DecodeOptions(min_score=0.0, peak_threshold=0.01)  # average precision counts weak poses, too


@dataclass(frozen=True, kw_only=True)
class Precision:
    """COCO's summary of one evaluation; -1 where there was nothing to find."""

    ap: float  # mean over the thresholds 0.50, 0.55 .. 0.95 of OKS or IoU
    ap50: float
    ap75: float
    recall: float  # mean over the same thresholds


def load_annotations(path: str) -> COCO:
    """COCO's index of an annotation file, without its chatter on stdout.

    Where an annotation does not say so, it is no crowd, its box is its area, and its labelled keypoints are counted.

    Raises:
        FileNotFoundError: no such file.
    """
    from pycocotools.coco import COCO

    with contextlib.redirect_stdout(io.StringIO()):
        index = COCO(path)
    for annotation in index.anns.values():  # what pycocotools cannot do without, and files other than COCO's may lack
        annotation.setdefault("iscrowd", 0)
        if annotation.get("keypoints"):
            annotation.setdefault("num_keypoints", sum(v > 0 for v in annotation["keypoints"][2::3]))
        if "area" not in annotation:
            annotation["area"] = float(np.prod(annotation["bbox"][2:]))
    return index


def has_outlines(annotations: COCO) -> bool:
    """Whether anybody has a mask to compare with."""
    return any(annotation.get("segmentation") for annotation in annotations.anns.values())


def person_category(annotations: COCO, name: str = "person") -> dict[str, Any]:
    """The category of people: the one of that name, else the first with keypoints.

    Raises:
        ValueError: neither is there.
    """
    categories: list[dict[str, Any]] = list(annotations.cats.values())
    for category in categories:
        if category.get("name") == name:
            return category
    for category in categories:
        if category.get("keypoints"):
            return category
    raise ValueError(f"expected annotations with a category {name}, or one with keypoints, got neither")


def keep_labelled(annotations: COCO) -> COCO:
    """The pictures in which somebody has a labelled keypoint; those without would count every person found as wrong."""
    from pycocotools.coco import COCO

    labelled = {a["image_id"] for a in annotations.anns.values() if any(a.get("keypoints", [])[2::3])}
    kept = COCO()
    kept.dataset = {
        **annotations.dataset,
        "images": [image for image in annotations.dataset["images"] if image["id"] in labelled],
        "annotations": [a for a in annotations.dataset["annotations"] if a["image_id"] in labelled],
    }
    with contextlib.redirect_stdout(io.StringIO()):
        kept.createIndex()
    return kept


def mask_results(
    poses: Poses, masks: NDArray[np.bool_], image_id: int, *, scores: NDArray[np.float32] | None = None
) -> list[dict[str, Any]]:
    """One COCO segmentation result for each pose and its mask (P, H, W), run-length encoded.

    Args:
        poses: P of them.
        masks: (P, H, W).
        image_id: of the picture.
        scores: (P,) mask scores, as `decode_masks` returns them; those of the poses where left out.
    """
    from pycocotools import mask as coco_mask

    image_id = as_integer(image_id, "image_id")
    results = []
    for score, mask in zip(poses.scores if scores is None else scores, masks, strict=True):
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


def coco_evaluation(
    annotations: COCO,
    results: Sequence[dict[str, Any]],
    kind: Literal["keypoints", "segm"],
    *,
    sigmas: Sequence[float] | None = None,
    category: str = "person",
) -> COCOeval:
    """COCO's evaluation of results for persons, not run yet; arguments as `average_precision` takes them."""
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    number = person_category(annotations, category)["id"]
    with contextlib.redirect_stdout(io.StringIO()):
        if results:
            found = annotations.loadRes([{**r, "category_id": number} for r in results])
        else:  # which loadRes takes for an error
            found = COCO()
            found.dataset = {**annotations.dataset, "annotations": []}
            found.createIndex()
        evaluation = COCOeval(annotations, found, kind)
    evaluation.params.catIds = [number]
    if kind == "keypoints" and sigmas is not None:
        evaluation.params.kpt_oks_sigmas = np.asarray(sigmas)
    return evaluation


def average_precision(
    annotations: COCO,
    results: Sequence[dict[str, Any]],
    kind: Literal["keypoints", "segm"],
    *,
    sigmas: Sequence[float] | None = None,
    category: str = "person",
) -> Precision:
    """COCO's average precision of results for persons over all pictures of an annotation file.

    Args:
        annotations: what `load_annotations` gave.
        results: COCO result dicts, from `Poses.to_coco` for keypoints or `mask_results` for segmentation; counted as
            of `person_category`, whatever its number.
        kind: what to compare.
        sigmas: OKS sigmas of the skeleton; COCO's where left out.
        category: name of the category, as `person_category` takes it.
    """
    if not results:
        return Precision(ap=0.0, ap50=0.0, ap75=0.0, recall=0.0)
    evaluation = coco_evaluation(annotations, results, kind, sigmas=sigmas, category=category)
    with contextlib.redirect_stdout(io.StringIO()):
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    stats = evaluation.stats
    recall = stats[5] if kind == "keypoints" else stats[8]
    return Precision(ap=float(stats[0]), ap50=float(stats[1]), ap75=float(stats[2]), recall=float(recall))


def decode_ceiling(
    people: People,
    *,
    stride: int,
    skeleton: Skeleton = COCO_PERSON,
    options: DecodeOptions,
    mask_options: MaskOptions,
) -> tuple[Poses, NDArray[np.bool_], NDArray[np.float32]]:
    """What decoding makes of a network that says exactly what the annotations of one picture do.

    Args:
        people: annotations of a picture of H x W pixels, which is widened to a multiple of the stride plus 1.
        stride: pixels from cell to cell of the network imagined.
        skeleton: keypoints and edges.
        options: how poses are decoded.
        mask_options: how masks are.

    Returns:
        the poses, their masks (P, H, W), in the picture's pixels, and the scores of these (P,).
    """
    height, width = people.crowd.shape
    size = tuple(-(-(side - 1) // stride) * stride + 1 for side in (height, width))

    def widened(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
        wide = np.zeros((*mask.shape[:-2], *size), bool)
        wide[..., :height, :width] = mask
        return wide

    fields = encode_targets(
        people.keypoints,
        widened(people.masks),
        size=(size[0], size[1]),
        stride=stride,
        skeleton=skeleton,
        disk_radius=options.disk_radius,
        crowd=widened(people.crowd),
    ).to_fields()
    poses = decode_poses(
        fields.heatmaps, fields.short_offsets, fields.mid_offsets, stride=stride, skeleton=skeleton, options=options
    )
    assert isinstance(poses, Poses)
    assert fields.segmentation is not None
    masks, scores = decode_masks(
        poses,
        fields.segmentation,
        fields.long_offsets,
        short_offsets=fields.short_offsets,
        stride=stride,
        size=(size[0], size[1]),
        options=mask_options,
        return_scores=True,
    )
    return poses, masks[:, :height, :width], scores


def evaluate_ceiling(
    pictures: Mapping[int, People],
    *,
    stride: int,
    skeleton: Skeleton = COCO_PERSON,
    options: DecodeOptions | None = None,
    mask_options: MaskOptions | None = None,
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """COCO keypoint and segmentation results of `decode_ceiling` over pictures by image id.

    Options left out are the defaults with every pose kept, for average precision counts low scores too.
    """
    keypoints: list[dict[str, Any]] = []
    segmentations: list[dict[str, Any]] = []
    for image_id, people in pictures.items():
        poses, masks, scores = decode_ceiling(
            people,
            stride=stride,
            skeleton=skeleton,
            options=options or DecodeOptions(hough_stride=1, min_score=0.0),
            mask_options=mask_options or MaskOptions(),
        )
        keypoints += poses.to_coco(image_id)
        segmentations += mask_results(poses, masks, image_id, scores=scores)
    return keypoints, segmentations
