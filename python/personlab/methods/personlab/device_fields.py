"""Fields of one image in the memory of a GPU, where the network wrote them and decoding reads them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from personlab.arrays import cuda_module
from personlab.methods.personlab.fields import FIELD_NAMES, Fields

if TYPE_CHECKING:
    import torch
    from torch import Tensor


def can_decode_on(device: torch.device, n_keypoints: int = 1) -> bool:
    """Return whether the fields of so many keypoints can be decoded on a device, without a copy in host memory."""
    if device.type != "cuda":
        return False
    try:
        return n_keypoints <= int(cuda_module.native().max_keypoints)
    except RuntimeError:
        return False


@dataclass(frozen=True, eq=False, kw_only=True)
class DeviceFields:
    """`personlab.Fields` in tensors."""

    heatmaps: Tensor
    short_offsets: Tensor
    mid_offsets: Tensor
    segmentation: Tensor | None = None
    long_offsets: Tensor | None = None
    stride: int
    image_size: tuple[int, int]
    disk_radius: float | None = None

    @property
    def image_scale(self) -> tuple[float, float]:
        """(sx, sy) that take input pixels to pixels of the image."""
        (h, w), (width, height) = self.heatmaps.shape[-2:], self.image_size
        return (width - 1) / max((w - 1) * self.stride, 1), (height - 1) / max((h - 1) * self.stride, 1)

    def to_host(self) -> Fields:
        """Copy the fields to host memory."""
        arrays = {name: tensor.cpu().numpy() for name in FIELD_NAMES if (tensor := getattr(self, name)) is not None}
        return Fields(**arrays, stride=self.stride, image_size=self.image_size, disk_radius=self.disk_radius)
