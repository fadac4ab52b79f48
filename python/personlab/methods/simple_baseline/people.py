"""From heatmaps of one person at a time to the people of an image, and from people to boxes and heatmaps."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from personlab.methods.simple_baseline.config import STRIDE
from personlab.methods.simple_baseline.maps import draw_maps, find_peaks, suppress
from personlab.poses import Poses

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from personlab.methods.simple_baseline.fields import SimpleBaselineFields
    from personlab.methods.simple_baseline.loss_options import SimpleBaselineLossOptions
    from personlab.methods.simple_baseline.pose_options import SimpleBaselineOptions
    from personlab.skeleton import Skeleton


@dataclass(frozen=True, eq=False)
class HeatmapTargets:
    """What the network should say of one crop."""

    heatmaps: NDArray[np.float32]  # (K, h, w) 0..1
    valid: NDArray[np.float32]  # (K,) 1 where the keypoint is labelled inside the crop, else 0


def encode_person(keypoints: NDArray[Any], size: tuple[int, int], options: SimpleBaselineLossOptions) -> HeatmapTargets:
    """Return the targets of a crop.

    Args:
        keypoints: (K, 3) x, y in pixels of the crop, v > 0 where labelled.
        size: (H, W) of the crop, pixels.
        options: of the targets.
    """
    shape = size[0] // STRIDE, size[1] // STRIDE
    maps = draw_maps(keypoints[:, :2].astype(np.float64) / STRIDE, shape, options.sigma / STRIDE)
    valid = (keypoints[:, 2] > 0).astype(np.float32)
    return HeatmapTargets(maps * valid[:, None, None], valid)


def decode_people(fields: SimpleBaselineFields, skeleton: Skeleton, options: SimpleBaselineOptions) -> Poses:
    """Return the people of an image: keypoints at the peaks, in pixels of the image, rescored and without doubles.

    A person's score is the mean of the values of at least `min_value`, times the score of the box.
    """
    cells, values = find_peaks(fields.heatmaps)
    values = np.clip(values, 0.0, 1.0)
    linear = np.linalg.inv(fields.affines[:, :, :2]) if len(fields.affines) else np.zeros((0, 2, 2))
    points = np.einsum("pij,pkj->pki", linear, cells * STRIDE - fields.affines[:, None, :, 2])
    counted = values > options.min_value
    means = np.where(counted, values, 0).sum(1) / np.maximum(counted.sum(1), 1)
    scores = means * fields.scores
    kept = suppress(points, counted, scores, fields.areas, np.array(skeleton.sigmas), options.nms_oks)
    kept = kept[scores[kept] >= options.min_score][: options.max_poses]
    return Poses(points[kept].astype(np.float32), values[kept].astype(np.float32), scores[kept].astype(np.float32))
