"""ResNet-50, -101 and -152 with atrous convolution, under torchvision's names so that its ImageNet weights fit."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import Tensor, nn
from torch.nn import functional

from personlab.nn.backbones.base import Backbone

if TYPE_CHECKING:
    from collections.abc import Iterator

    from personlab.nn.config import Norm

_DEPTHS = {"resnet50": (3, 4, 6, 3), "resnet101": (3, 4, 23, 3), "resnet152": (3, 8, 36, 3)}
_EXPANSION = 4  # output channels of a block per channel of its 3x3 convolution


def _convolution(inputs: int, outputs: int, kernel: int, *, norm: Norm, stride: int = 1) -> nn.Conv2d:
    padding = (kernel - 1) // 2  # the same on both sides: cell i lies at pixel i * stride whatever the size
    conv = nn.Conv2d(inputs, outputs, kernel, stride=stride, padding=padding, bias=norm == "none")
    nn.init.kaiming_normal_(conv.weight, mode="fan_out", nonlinearity="relu")
    if conv.bias is not None:
        nn.init.zeros_(conv.bias)
    return conv


def _norm(channels: int, norm: Norm) -> nn.Module:
    return nn.BatchNorm2d(channels) if norm == "batch" else nn.Identity()


class Bottleneck(nn.Module):
    """1x1, 3x3 and 1x1 convolution beside a shortcut; the 3x3 one has the stride (ResNet v1.5)."""

    def __init__(self, inputs: int, middle: int, *, norm: Norm, first: bool) -> None:
        super().__init__()
        outputs = middle * _EXPANSION
        self.conv1, self.bn1 = _convolution(inputs, middle, 1, norm=norm), _norm(middle, norm)
        self.conv2, self.bn2 = _convolution(middle, middle, 3, norm=norm), _norm(middle, norm)
        self.conv3, self.bn3 = _convolution(middle, outputs, 1, norm=norm), _norm(outputs, norm)
        # The first block of a layer changes the number of channels: its shortcut has to follow.
        self.downsample = (
            nn.Sequential(_convolution(inputs, outputs, 1, norm=norm), _norm(outputs, norm)) if first else None
        )

    def set_stride(self, stride: int, dilation: int) -> None:
        """Move the 3x3 kernel by other steps and widen it by another dilation."""
        self.conv2.stride = (stride, stride)
        self.conv2.dilation = self.conv2.padding = (dilation, dilation)
        if self.downsample is not None:
            shortcut = self.downsample[0]
            assert isinstance(shortcut, nn.Conv2d)
            shortcut.stride = (stride, stride)

    def forward(self, x: Tensor) -> Tensor:
        """(N, inputs, H, W) -> (N, outputs, ceil(H / stride), ceil(W / stride))."""
        shortcut = x if self.downsample is None else self.downsample(x)
        x = functional.relu(self.bn1(self.conv1(x)))
        x = functional.relu(self.bn2(self.conv2(x)))
        return functional.relu(self.bn3(self.conv3(x)) + shortcut)


def _layer(inputs: int, middle: int, depth: int, *, norm: Norm) -> nn.Sequential:
    first = Bottleneck(inputs, middle, norm=norm, first=True)
    rest = (Bottleneck(middle * _EXPANSION, middle, norm=norm, first=False) for _ in range(depth - 1))
    return nn.Sequential(first, *rest)


class ResNet(Backbone):
    """A 7x7 stem and pooling of stride 4 together, and four layers of bottleneck blocks."""

    def __init__(self, name: str, *, stride: int, norm: Norm) -> None:
        super().__init__()
        depths = _DEPTHS[name]
        self.conv1, self.bn1 = _convolution(3, 64, 7, norm=norm, stride=2), _norm(64, norm)
        self.layer1 = _layer(64, 64, depths[0], norm=norm)
        self.layer2 = _layer(256, 128, depths[1], norm=norm)
        self.layer3 = _layer(512, 256, depths[2], norm=norm)
        self.layer4 = _layer(1024, 512, depths[3], norm=norm)
        self.channels, self.middle_channels = 2048, 1024
        self.set_stride(stride)

    def _layers(self) -> Iterator[nn.Sequential]:
        yield from (self.layer1, self.layer2, self.layer3, self.layer4)

    def set_stride(self, stride: int) -> None:
        """Run at another output stride, 8 or 16: layer4, or layer3 and layer4, widen their kernels instead."""
        reached, dilation = 4, 1  # behind the pooling
        for layer, native in zip(self._layers(), (1, 2, 2, 2), strict=True):
            first = (native, dilation) if reached < stride else (1, dilation)
            if reached < stride:
                reached *= native
            else:
                dilation *= native
            for i, block in enumerate(layer):
                assert isinstance(block, Bottleneck)
                # The first block still reads the finer grid, so that even cells see what a stride would have shown.
                block.set_stride(*(first if i == 0 else (1, dilation)))

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Features (N, 2048, h, w), and those of layer3 (N, 1024, h, w), of normalised images (N, 3, H, W)."""
        x = functional.relu(self.bn1(self.conv1(images)))
        x = functional.max_pool2d(x, 3, stride=2, padding=1)
        middle = self.layer3(self.layer2(self.layer1(x)))
        return self.layer4(middle), middle
