"""Training targets: the annotations of an image as the outputs of a perfect network, and as fields that decode back."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from personlab.arrays.shapes import check_shape
from personlab.arrays.take import take
from personlab.methods.personlab.backends import BACKENDS
from personlab.methods.personlab.checks import MASKS, PEOPLE, check_annotations, check_labelled
from personlab.methods.personlab.fields import Fields
from personlab.skeleton import COCO_PERSON, Skeleton

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from personlab.arrays.array import FloatArray
    from personlab.methods.personlab.backends import Backend

    BoolArray = NDArray[np.bool_]

_ELEMENTS = {"keypoints": PEOPLE, "masks": MASKS, "crowd": MASKS}


@dataclass(frozen=True, eq=False, kw_only=True)
class Targets:
    """What a network has to output for one image, and where that counts, on h x w cells (PersonLab, section 4).

    Short- and mid-range offsets also stand where they do not count, so that what is encoded can be decoded: one cell's
    diagonal beyond each disc, for reading between cells inside it, and around an unlabelled keypoint as if it lay on
    the nearest labelled one along the edges, for following the edges past it. Elsewhere they are 0.

    Of annotations on a GPU the arrays lie there: torch tensors where these are torch's, else arrays with
    `__cuda_array_interface__`; `to_fields` is for arrays in host memory.
    """

    heatmaps: FloatArray  # (K, h, w) 1 within R of a labelled keypoint, else 0
    short_offsets: FloatArray  # (K, 2, h, w) input pixels
    mid_offsets: FloatArray  # (2E, 2, h, w) input pixels
    segmentation: FloatArray  # (1, h, w) 1 on any person's mask, else 0
    long_offsets: FloatArray  # (K, 2, h, w) input pixels
    heatmap_valid: BoolArray  # (1, h, w) neither crowd nor a person without labelled keypoints
    short_valid: BoolArray  # (K, h, w) on the keypoint's disc
    mid_valid: BoolArray  # (2E, h, w) on the source's disc, both ends labelled
    segmentation_valid: BoolArray  # (1, h, w) no crowd, and the image has masks
    long_valid: BoolArray  # (K, h, w) on exactly one person's mask, keypoint labelled
    stride: int  # input pixels from cell to cell

    def without_masks(self, region: Any) -> Targets:
        """Returns the targets with segmentation and long-range offsets that do not count in a region of unknown masks.

        Args:
            region: (H, W) bool pixels of the network input: NumPy, or torch where the targets are torch's.

        Raises:
            ValueError: a region of another shape.
        """
        h, w = self.segmentation.shape[-2:]
        check_shape(region, "region", ((h - 1) * self.stride + 1, (w - 1) * self.stride + 1), "(H, W)")
        outside = ~region[:: self.stride, :: self.stride]
        return replace(self, segmentation_valid=self.segmentation_valid & outside, long_valid=self.long_valid & outside)

    def to_fields(self, *, logit: float = 10.0) -> Fields:
        """Returns the fields of a network that outputs exactly this, with logits of +-`logit`."""
        return Fields(
            heatmaps=(self.heatmaps * 2 - 1) * np.float32(logit),
            short_offsets=self.short_offsets,
            mid_offsets=self.mid_offsets,
            segmentation=(self.segmentation * 2 - 1) * np.float32(logit),
            long_offsets=self.long_offsets,
            stride=self.stride,
        )


def encode_targets(
    keypoints: Any,
    masks: Any,
    *,
    size: tuple[int, int],
    stride: int,
    skeleton: Skeleton = COCO_PERSON,
    disk_radius: float = 32.0,
    crowd: Any = None,
) -> Targets:
    """Training targets for one image (PersonLab, section 4): the inverse of decoding.

    Where discs of one keypoint type overlap, the nearest keypoint owns the cell, the first person at equal distance.
    Targets lie where the annotations do. On a GPU the numbers are not looked at: a keypoint that is not finite counts
    as not labelled there, and raises in host memory.

    Args:
        keypoints: (P, K, 3) x, y, v for each person: input pixels, fractions kept; labelled where v > 0.
        masks: (P, H, W) bool or uint8, the pixels of each person; None where there are no masks.
        size: (H, W) of the network input, each a multiple of `stride` plus 1.
        stride: input pixels from cell to cell.
        skeleton: keypoints and edges.
        disk_radius: R, input pixels.
        crowd: (H, W) bool or uint8, pixels that no loss is taken on.

    Raises:
        RuntimeError: arrays on a GPU, and CUDA cannot be used.
        TypeError: an argument of the wrong type, or some arrays on a GPU and some not.
        ValueError: an argument of the wrong shape or range.
    """
    return encode(None, keypoints, masks, crowd, size=size, stride=stride, skeleton=skeleton, disk_radius=disk_radius)


def encode(
    backend: Backend | None,
    keypoints: Any,
    masks: Any,
    crowd: Any,
    *,
    size: Any,
    stride: Any,
    skeleton: Skeleton,
    disk_radius: Any,
) -> Targets:
    """Returns what `encode_targets` does, on a backend that works where the arrays lie; None chooses it."""
    annotations = {"keypoints": keypoints, "masks": masks, "crowd": crowd}
    keypoints, masks, crowd = take(annotations, _ELEMENTS, optional=["masks", "crowd"])
    size, stride, disk_radius = check_annotations(
        keypoints, masks, crowd, size=size, stride=stride, skeleton=skeleton, disk_radius=disk_radius
    )
    people = keypoints.to_float32()
    if keypoints.place == "cpu":  # elsewhere a look at the numbers would wait for them
        check_labelled(people)
    arrays = BACKENDS[backend or keypoints.place].encode_targets(
        people, None if masks is None else masks.contiguous(), None if crowd is None else crowd.contiguous(),
        size=size, stride=stride, skeleton=skeleton, disk_radius=disk_radius,
    )  # fmt: skip
    return Targets(**arrays, stride=stride)
