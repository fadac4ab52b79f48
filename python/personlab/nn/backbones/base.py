"""Interface of backbones for the heads of any method."""

from __future__ import annotations

from abc import ABC, abstractmethod

from torch import Tensor, nn


class Backbone(nn.Module, ABC):
    """Images (N, 3, H, W) -> features on the grid of h = ceil(H / stride) by w = ceil(W / stride) cells."""

    channels: int  # C, of the features
    middle_channels: int  # C', of the features part of the way

    @abstractmethod
    def set_stride(self, stride: int) -> None:
        """Run at another output stride, 8 or 16, with the same weights: strides past it become dilations."""

    @abstractmethod
    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Features (N, C, h, w), and those part of the way (N, C', h, w), of normalised images (N, 3, H, W)."""
