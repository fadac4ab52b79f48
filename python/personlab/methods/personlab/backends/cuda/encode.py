"""Training targets on a GPU."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from personlab.arrays.stream import address_of
from personlab.methods.personlab.backends.cuda.views import device_skeleton

if TYPE_CHECKING:
    from personlab.arrays.array import DeviceArray
    from personlab.skeleton import Skeleton

_TARGETS = {  # channels of each array, and its element type
    "heatmaps": ("K", "float32"),
    "short_offsets": ("K2", "float32"),
    "mid_offsets": ("E2", "float32"),
    "segmentation": ("1", "float32"),
    "long_offsets": ("K2", "float32"),
    "heatmap_valid": ("1", "bool"),
    "short_valid": ("K", "bool"),
    "mid_valid": ("E", "bool"),
    "segmentation_valid": ("1", "bool"),
    "long_valid": ("K", "bool"),
}


def encode_targets(
    keypoints: DeviceArray,
    masks: DeviceArray | None,
    crowd: DeviceArray | None,
    *,
    size: tuple[int, int],
    stride: int,
    skeleton: Skeleton,
    disk_radius: float,
) -> dict[str, Any]:
    """Returns the arrays of `personlab.Targets` by name.

    Raises:
        TypeError: keypoints that are not float32, and not torch's numbers either, which torch converts.
    """
    keypoints = _float32_of(keypoints)
    stream = keypoints.stream
    h, w = ((n - 1) // stride + 1 for n in size)
    k, e = skeleton.n_keypoints, skeleton.n_edges
    channels = {"1": (1,), "K": (k,), "K2": (k, 2), "E": (2 * e,), "E2": (2 * e, 2)}
    arrays = {name: stream.empty((*channels[key], h, w), element) for name, (key, element) in _TARGETS.items()}
    people = keypoints.shape[0]
    scratch_size = stream.native.target_scratch_bytes(n_people=people, n_keypoints=k, height=h, width=w)
    scratch = stream.empty((scratch_size,), "uint8")
    for array in arrays.values():
        stream.keep_alive(array, keypoints, masks, crowd)
    stream.native.encode_targets(
        keypoints=keypoints.pointer, has_masks=masks is not None, masks=0 if masks is None else masks.pointer,
        crowd=0 if crowd is None else crowd.pointer, n_people=people, size=size,
        skeleton=device_skeleton(stream, skeleton), stride=stride, disk_radius=disk_radius,
        scratch=address_of(scratch), **{name: address_of(array) for name, array in arrays.items()},
        device=stream.device, stream=stream.stream,
    )  # fmt: skip
    return arrays


def _float32_of(keypoints: DeviceArray) -> DeviceArray:
    torch, owner = keypoints.stream.torch, keypoints.owner
    if torch is not None and isinstance(owner, torch.Tensor):
        if owner.is_complex() or owner.dtype is torch.bool:
            raise TypeError(f"keypoints: expected numbers, got {owner.dtype}")
        owner = owner.float()
        return replace(keypoints, pointer=owner.data_ptr(), element="float32", owner=owner)
    if keypoints.element != "float32":
        raise TypeError(f"keypoints: expected float32 on a device, got {keypoints.element}")
    return keypoints
