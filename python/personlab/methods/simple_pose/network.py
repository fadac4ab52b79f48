"""The Simple Pose network: maps of keypoints and limbs from the published hourglass or from a small backbone."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from personlab.methods.simple_pose.hourglass import StackedHourglass
from personlab.methods.simple_pose.people import parts_of
from personlab.nn.backbones.mobilenet import MobileNetV1
from personlab.nn.backbones.resnet import ResNet
from personlab.nn.twin import twin
from personlab.settings import Settings

if TYPE_CHECKING:
    from personlab.methods.simple_pose.config import SimplePoseConfig
    from personlab.nn.backbones.base import Backbone

# (mean, deviation) of R, G, B, of pixels 0..255
_NORMALIZATIONS = {
    "minus_one_to_one": ((127.5, 127.5, 127.5), (127.5, 127.5, 127.5)),
    "imagenet": ((123.675, 116.28, 103.53), (58.395, 57.12, 57.375)),
}
_HEAD_CHANNELS = 128  # behind a small backbone
_HEAD_DEVIATION = 0.001  # of the first weights of the last layer: training starts from maps of 0
_GROUP = 16  # channels of a group of the head's norms, which need no statistics of a batch


class Outputs(NamedTuple):
    """Maps for N images on a grid of h x w cells, about 0..1."""

    limbs: Tensor  # (N, L, h, w)
    keypoints: Tensor  # (N, K, h, w)
    stacks: tuple[tuple[Tensor, ...], ...] | None = None
    """in training mode alone: all maps of each stack and scale, (N, L + K + 2, h / 2**j, w / 2**j)"""


class Head(nn.Module):
    """A small decoder: 3x3 convolutions, one a channel, between 1x1 convolutions, and the maps.

    Args:
        channels: of the backbone's features.
        maps: number of maps.
        enlarge: factor by which the grid becomes finer.
    """

    def __init__(self, channels: int, maps: int, *, enlarge: int) -> None:
        super().__init__()
        self.enlarge, width = enlarge, _HEAD_CHANNELS
        self.reduce = nn.Conv2d(channels, width, 1)
        self.depthwise = nn.Conv2d(width, width, 3, padding=1, groups=width)
        self.mix = nn.Conv2d(width, width, 1)
        self.norms = nn.ModuleList(nn.GroupNorm(width // _GROUP, width) for _ in range(2))
        self.maps = nn.Conv2d(width, maps, 1)
        nn.init.normal_(self.maps.weight, std=_HEAD_DEVIATION)
        assert self.maps.bias is not None
        nn.init.zeros_(self.maps.bias)

    def forward(self, features: Tensor) -> Tensor:
        """(N, channels, h, w) -> (N, maps, h * enlarge, w * enlarge)."""
        x = functional.relu(self.norms[0](self.reduce(features)))
        if self.enlarge > 1:
            x = functional.interpolate(x, scale_factor=float(self.enlarge), mode="bilinear", align_corners=False)
        x = functional.relu(self.norms[1](self.mix(self.depthwise(x))))
        device = x.device.type
        if torch.amp.is_autocast_available(device) and torch.is_autocast_enabled(device):
            with torch.autocast(device, enabled=False):  # bfloat16 knows the top of a peak to within 1/256
                return self.maps(x.to(self.maps.weight.dtype))  # type: ignore[no-any-return]
        return self.maps(x)  # type: ignore[no-any-return]


class SimplePose(nn.Module):
    """The Simple Pose network (section 3), randomly initialised.

    Args:
        config: of the network, its attribute `config`. The attribute `settings` says how it is used, where known.
    """

    pixel_mean: Tensor  # (3, 1, 1) of pixels 0..255
    pixel_deviation: Tensor  # (3, 1, 1)

    def __init__(self, config: SimplePoseConfig) -> None:
        super().__init__()
        self.config, self.settings = config, Settings()
        skeleton = parts_of(config.skeleton).skeleton
        self.n_limbs, self.n_keypoints = skeleton.n_edges, skeleton.n_keypoints
        self.posenet: StackedHourglass | None = None  # the name in the published weights
        if config.backbone == "hourglass":
            self.posenet = StackedHourglass(
                stacks=config.stacks, channels=config.channels, increase=config.increase, maps=config.n_maps
            )
            _start(self.posenet)
            return
        self.backbone: Backbone
        if config.backbone == "mobilenet_v1":
            self.backbone = MobileNetV1(width=config.width, stride=config.features, norm=config.norm)
        else:
            self.backbone = ResNet(config.backbone, stride=config.features, norm=config.norm)
        self.head = Head(self.backbone.channels, config.n_maps, enlarge=config.features // config.stride)
        assert config.normalization is not None
        # Facts of the configuration, not weights: they stay out of the state dict.
        for name, values in zip(("pixel_mean", "pixel_deviation"), _NORMALIZATIONS[config.normalization], strict=True):
            self.register_buffer(name, torch.tensor(values)[:, None, None], persistent=False)

    def forward(self, images: Tensor) -> Outputs:
        """Compute the maps of images.

        Args:
            images: (N, 3, H, W) RGB 0..255, any number type; H and W multiples of `config.input_step`.

        Returns:
            The maps, H / stride by W / stride cells; in training mode `Outputs.stacks` as well.

        Raises:
            ValueError: another shape.
        """
        if images.ndim != 4 or images.shape[1] != 3:
            raise ValueError(f"images: expected shape (N, 3, H, W), got {tuple(images.shape)}")
        stacks = self._maps(images)
        limbs, keypoints, _ = torch.split(stacks[-1][0], [self.n_limbs, self.n_keypoints, 2], dim=1)
        return Outputs(limbs, keypoints, tuple(map(tuple, stacks)) if self.training else None)

    def at_stride(self, stride: int) -> SimplePose:
        """Return the network at another output stride: another module that shares parameters and running statistics.

        The features stay at theirs: a backbone at another stride would see the image moved by some pixels, since cells
        of maps lie in the middle of their pixels.

        Raises:
            TypeError: no integer.
            ValueError: a stride that the network does not have.
        """
        other = twin(self)
        other.config = replace(self.config, stride=stride)
        other.settings = replace(self.settings, stride=other.config.stride)
        if self.posenet is None:
            other.head.enlarge = other.config.features // other.config.stride
        return other

    def _maps(self, images: Tensor) -> list[list[Tensor]]:
        if self.posenet is not None:
            weights = self.posenet.pre.conv1.weight.dtype
            kind = torch.promote_types(weights, torch.float32)  # a 16-bit network still reads its pixels in 32 bits
            pixels = (images.to(kind) / 255).to(weights)
            maps: list[list[Tensor]] = self.posenet(pixels.flip(1), every_scale=self.training)  # BGR
            return maps
        weights = self.pixel_mean.dtype
        kind = torch.promote_types(weights, torch.float32)
        centred = images.to(kind) - self.pixel_mean.to(kind)
        features, _ = self.backbone((centred / self.pixel_deviation.to(kind)).to(weights))
        return [[self.head(features)]]


def _start(network: StackedHourglass) -> None:
    """Draw the first weights of an hourglass; training starts from maps of about 0."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, nonlinearity="leaky_relu")
    for module in network.outs.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.normal_(module.weight, std=_HEAD_DEVIATION)
            assert module.bias is not None
            nn.init.zeros_(module.bias)
