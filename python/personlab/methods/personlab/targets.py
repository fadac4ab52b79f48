"""Annotations into what a perfect network would say of them: training targets, and fields that decode back."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from personlab import _core
from personlab.arrays.device import DeviceArray, Queue, all_on_device, as_device_array
from personlab.arrays.host import (
    FloatArray,
    as_integer,
    as_number,
    as_numbers,
    as_size,
    check_copy,
    check_shape,
    check_type,
    narrowed,
    to_numpy,
)
from personlab.methods.personlab.backends.cuda import dense as _dense_cuda
from personlab.methods.personlab.fields import Fields
from personlab.skeleton import COCO_PERSON, Skeleton

if TYPE_CHECKING:
    from numpy.typing import NDArray

    BoolArray = NDArray[np.bool_]


@dataclass(frozen=True, eq=False, kw_only=True)
class Targets:
    """What a network is to say of one image, and where that counts, on a grid of h x w cells (PersonLab, section 4).

    Short- and mid-range offsets also stand where they do not count, so that what is encoded can be decoded: one cell's
    diagonal beyond each disc, for reading between cells inside it, and around an unlabelled keypoint as if it lay on
    the nearest labelled one along the edges, for following the edges past it. Elsewhere they are 0.

    Annotations in the memory of a GPU give arrays there: torch tensors where these are torch's, else arrays with
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
    segmentation_valid: BoolArray  # (1, h, w) no crowd, and masks given
    long_valid: BoolArray  # (K, h, w) on exactly one person's mask, keypoint labelled
    stride: int  # input pixels from cell to cell

    def without_masks(self, region: Any) -> Targets:
        """The targets where neither segmentation nor long-range offsets count in a region whose masks are unknown.

        Args:
            region: (H, W) bool pixels of the network input: NumPy, or torch where the targets are torch's.

        Raises:
            ValueError: a region of another shape.
        """
        h, w = self.segmentation.shape[-2:]
        check_shape(region, "region", ((h - 1) * self.stride + 1, (w - 1) * self.stride + 1), "(H, W)")
        known = ~region[:: self.stride, :: self.stride]
        return replace(self, segmentation_valid=self.segmentation_valid & known, long_valid=self.long_valid & known)

    def to_fields(self, *, logit: float = 10.0) -> Fields:
        """The fields of a network that says exactly this, sure of itself by `logit`."""
        return Fields(
            heatmaps=(self.heatmaps * 2 - 1) * np.float32(logit),
            short_offsets=self.short_offsets,
            mid_offsets=self.mid_offsets,
            segmentation=(self.segmentation * 2 - 1) * np.float32(logit),
            long_offsets=self.long_offsets,
            stride=self.stride,
        )


def _as_mask(value: Any, name: str, shape: tuple[int, ...], meaning: str) -> NDArray[np.uint8]:
    array = to_numpy(value, name)
    if array.dtype not in (np.bool_, np.uint8):
        raise TypeError(f"{name}: expected bool or uint8, got {array.dtype}")
    check_shape(array, name, shape, meaning)
    check_copy(array, name)
    return np.require(array, None, ["C", "A"]).view(np.uint8)


def check_annotations(
    keypoints: Any, masks: Any, crowd: Any, *, size: Any, stride: Any, skeleton: Skeleton, disk_radius: Any
) -> tuple[FloatArray, NDArray[np.uint8] | None, NDArray[np.uint8] | None, tuple[int, int], int, float]:
    """The annotations of one image, checked against each other.

    Raises:
        TypeError: an argument of the wrong type.
        ValueError: a wrong shape, a size that no grid of this stride lies over, or a labelled keypoint not finite.
    """
    size, stride, disk_radius = _check_grid(size, stride, skeleton, disk_radius)
    numbers = as_numbers(keypoints, "keypoints")
    check_shape(numbers, "keypoints", (None, skeleton.n_keypoints, 3), "(P, K, 3)")
    people = narrowed(numbers)
    labelled = people[people[..., 2] > 0]
    if not np.isfinite(labelled).all() or np.isnan(people[..., 2]).any():
        raise ValueError("keypoints: expected finite coordinates where v > 0, got NaN or infinity")
    if masks is not None:
        masks = _as_mask(masks, "masks", (len(people), *size), "(P, H, W)")
    if crowd is not None:
        crowd = _as_mask(crowd, "crowd", size, "(H, W)")
    return people, masks, crowd, size, stride, disk_radius


def _check_grid(size: Any, stride: Any, skeleton: Any, disk_radius: Any) -> tuple[tuple[int, int], int, float]:
    check_type(skeleton, "skeleton", Skeleton)
    height, width = size = as_size(size, "size")
    stride = as_integer(stride, "stride", 1, 4096)
    if height < 1 or width < 1 or (height - 1) % stride or (width - 1) % stride:
        raise ValueError(f"size: expected a multiple of the stride {stride} plus 1 each way, got {size}")
    return size, stride, as_number(disk_radius, "disk_radius", 1e-3, 4096)


def _people_on_device(keypoints: Any, queue: Queue, k: int) -> DeviceArray:
    """Keypoints (P, K, 3) float32; torch makes these of other numbers."""
    if queue.torch is not None and isinstance(keypoints, queue.torch.Tensor):
        if keypoints.is_complex() or keypoints.dtype is queue.torch.bool:
            raise TypeError(f"keypoints: expected numbers, got {keypoints.dtype}")
        keypoints = keypoints.float()
    people = as_device_array(keypoints, "keypoints", queue)
    if people.element != "float32":
        raise TypeError(f"keypoints: expected float32 on a device, got {people.element}")
    check_shape(people, "keypoints", (None, k, 3), "(P, K, 3)")
    return people


def _encode_on_device(
    keypoints: Any, masks: Any, crowd: Any, *, size: Any, stride: Any, skeleton: Skeleton, disk_radius: Any
) -> Targets:
    queue = Queue.of(keypoints=keypoints, masks=masks, crowd=crowd)
    size, stride, disk_radius = _check_grid(size, stride, skeleton, disk_radius)
    people = _people_on_device(keypoints, queue, skeleton.n_keypoints)
    if masks is not None:
        masks = queue.take(masks, "masks", ("bool", "uint8"))
        check_shape(masks, "masks", (len(people), *size), "(P, H, W)")
    if crowd is not None:
        crowd = queue.take(crowd, "crowd", ("bool", "uint8"))
        check_shape(crowd, "crowd", size, "(H, W)")
    arrays = _dense_cuda.encode_targets(
        queue, people, masks, crowd, size=size, stride=stride, skeleton=skeleton, disk_radius=disk_radius
    )
    return Targets(**arrays, stride=stride)


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
    Arrays in the memory of a GPU stay there, and so do their targets; nobody looks at their numbers, so that a keypoint
    there that is not finite counts as not labelled instead of being refused.

    Args:
        keypoints: (P, K, 3) x, y, v for each person: input pixels, fractions kept; labelled where v > 0.
        masks: (P, H, W) bool or uint8, the pixels of each person; None where there are no masks.
        size: (H, W) of the network input, each a multiple of `stride` plus 1.
        stride: input pixels from cell to cell.
        skeleton: keypoints and edges.
        disk_radius: R, input pixels.
        crowd: (H, W) bool or uint8, pixels that no loss is taken on.

    Raises:
        RuntimeError: arrays on a GPU, and no module or driver to work there.
        TypeError: an argument of the wrong type, or some arrays on a GPU and some not.
        ValueError: an argument of the wrong shape or range.
    """
    if all_on_device(keypoints=keypoints, masks=masks, crowd=crowd):
        return _encode_on_device(
            keypoints, masks, crowd, size=size, stride=stride, skeleton=skeleton, disk_radius=disk_radius
        )
    people, people_masks, crowd, size, stride, disk_radius = check_annotations(
        keypoints, masks, crowd, size=size, stride=stride, skeleton=skeleton, disk_radius=disk_radius
    )
    arrays = _core.encode_targets(
        keypoints=people, masks=people_masks, crowd=crowd, size=size, stride=stride, skeleton=skeleton.native,
        disk_radius=disk_radius,
    )  # fmt: skip
    return Targets(**arrays, stride=stride)
