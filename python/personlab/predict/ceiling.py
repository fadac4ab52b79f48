"""The ceiling of a method: average precision of a network that repeats the annotations, for `personlab evaluate`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from personlab.io.results import mask_results
from personlab.methods import get_method
from personlab.predict.dataset import Results
from personlab.skeleton import COCO_PERSON

if TYPE_CHECKING:
    from collections.abc import Mapping

    from personlab.data.coco import People
    from personlab.methods import Method
    from personlab.skeleton import Skeleton


def evaluate_ceiling(
    method: str | Method,
    images: Mapping[int, People],
    *,
    stride: int,
    skeleton: Skeleton = COCO_PERSON,
    long_edge: int | None = None,
    options: Any = None,
    mask_options: Any = None,
) -> Results:
    """Encode the people of each image and decode them again.

    Args:
        method: by name or as a record.
        images: people by image id.
        stride: pixels from cell to cell of the fields.
        skeleton: keypoints and edges of the people.
        long_edge: longest side of the network input, pixels; left to the method if None.
        options: of decoding; those of the method's ceiling if None.
        mask_options: of decoding masks; the method's defaults if None.

    Raises:
        ValueError: a method without a ceiling, or arguments that it refuses.
    """
    record = get_method(method)
    if record.ceiling is None:
        raise ValueError(f"method: expected one with a ceiling, got {record.name}")
    options = record.ceiling.options if options is None else options
    if mask_options is None and record.mask_options is not None:
        mask_options = record.mask_options()
    results = Results()
    for number, people in images.items():
        poses, masks, scores = record.ceiling.decode(
            people, stride=stride, skeleton=skeleton, long_edge=long_edge, options=options, mask_options=mask_options
        )
        results.keypoints += poses.to_coco(number)
        if masks is None or scores is None:
            continue
        if people.unoutlined is not None:  # people without outline decode to empty masks
            filled = masks.any(axis=(1, 2))
            poses, masks, scores = poses[filled], masks[filled], scores[filled]
        results.masks += mask_results(poses, masks, number, scores=scores)
    return results
