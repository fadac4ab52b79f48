"""From the keypoints of annotated people to those that the maps show, the neck among them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from personlab.methods.simple_pose.parts import COCO_PARTS, BodyParts
from personlab.skeleton import COCO_PERSON

if TYPE_CHECKING:
    from typing import Any

    from numpy.typing import NDArray

    from personlab.skeleton import Skeleton

_MEANS = {"neck": ("right_shoulder", "left_shoulder")}  # keypoints of maps that people are not annotated with


def parts_of(skeleton: Skeleton) -> BodyParts:
    """Return what the maps show of people with a skeleton.

    For COCO's keypoints that is the published 18 keypoints and 30 limbs; for others, the skeleton's own keypoints, and
    its edges as limbs.
    """
    if (skeleton.names, skeleton.flip) == (COCO_PERSON.names, COCO_PERSON.flip):
        return COCO_PARTS
    return BodyParts.of(skeleton)


def map_keypoints(keypoints: NDArray[Any], parts: BodyParts) -> NDArray[Any]:
    """Return the keypoints that maps show, of annotated ones.

    Each is the person's keypoint that comes of it. The neck is the mean of the shoulders, labelled where both are, as
    visible as the less visible one. A keypoint that is neither is not labelled.

    Args:
        keypoints: (P, K', 3) x, y, v of the keypoints of `parts.person`, labelled where v > 0.
        parts: of the maps.

    Returns:
        (P, K, 3) of the same type.
    """
    names = parts.skeleton.names
    shown = np.zeros((len(keypoints), len(names), 3), keypoints.dtype)
    shown[:, list(parts.keypoints)] = keypoints
    for k in set(range(len(names))) - set(parts.keypoints):
        ends = _MEANS.get(names[k], ())
        if ends and all(end in parts.person.names for end in ends):
            a, b = (keypoints[:, parts.person.names.index(end)] for end in ends)
            labelled = (a[:, 2] > 0) & (b[:, 2] > 0)
            shown[labelled, k, :2] = (a[labelled, :2] + b[labelled, :2]) / 2
            shown[labelled, k, 2] = np.minimum(a[labelled, 2], b[labelled, 2])
    return shown
