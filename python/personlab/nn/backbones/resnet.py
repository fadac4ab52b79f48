"""ResNet-18 to -152 with atrous convolution, under torchvision's names so that its ImageNet weights fit."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from torch import Tensor, nn
from torch.nn import functional

from personlab.nn.backbones.base import Backbone

if TYPE_CHECKING:
    from collections.abc import Iterator

    from personlab.nn.config import Norm, Style

_DEPTHS = {
    "resnet18": (2, 2, 2, 2),
    "resnet34": (3, 4, 6, 3),
    "resnet50": (3, 4, 6, 3),
    "resnet101": (3, 4, 23, 3),
    "resnet152": (3, 8, 36, 3),
}
_BASIC = ("resnet18", "resnet34")  # of basic blocks, the others of bottlenecks
_EXPANSION = 4  # output channels of a bottleneck per channel of its 3x3 convolution


def _convolution(inputs: int, outputs: int, kernel: int, *, norm: Norm, stride: int = 1) -> nn.Conv2d:
    padding = (kernel - 1) // 2  # the same on both sides: cell i lies at pixel i * stride whatever the size
    conv = nn.Conv2d(inputs, outputs, kernel, stride=stride, padding=padding, bias=norm == "none")
    nn.init.kaiming_normal_(conv.weight, mode="fan_out", nonlinearity="relu")
    if conv.bias is not None:
        nn.init.zeros_(conv.bias)
    return conv


def _norm(channels: int, norm: Norm) -> nn.Module:
    return nn.BatchNorm2d(channels) if norm == "batch" else nn.Identity()


class Block(nn.Module):
    """Convolutions beside a shortcut, `downsample` where that changes the number of channels or the stride."""

    expansion: int  # output channels per channel of its 3x3 convolutions
    strided: str  # name of the convolution with the stride
    widened: tuple[str, ...]  # names of the 3x3 convolutions
    downsample: nn.Sequential | None

    def set_stride(self, stride: int, dilation: int) -> None:
        """Move the block by other steps and widen its 3x3 kernels by another dilation."""
        convolutions: Any = self._modules
        convolutions[self.strided].stride = (stride, stride)
        for name in self.widened:
            convolutions[name].dilation = convolutions[name].padding = (dilation, dilation)
        if self.downsample is not None:
            shortcut = self.downsample[0]
            assert isinstance(shortcut, nn.Conv2d)
            shortcut.stride = (stride, stride)

    def _shortcut(self, inputs: int, outputs: int, *, norm: Norm, first: bool) -> nn.Sequential | None:
        return nn.Sequential(_convolution(inputs, outputs, 1, norm=norm), _norm(outputs, norm)) if first else None


class BasicBlock(Block):
    """Two 3x3 convolutions; the first one has the stride."""

    expansion, strided, widened = 1, "conv1", ("conv1", "conv2")

    def __init__(self, inputs: int, middle: int, *, norm: Norm, style: Style, first: bool) -> None:
        super().__init__()
        del style  # the same in both
        self.conv1, self.bn1 = _convolution(inputs, middle, 3, norm=norm), _norm(middle, norm)
        self.conv2, self.bn2 = _convolution(middle, middle, 3, norm=norm), _norm(middle, norm)
        # The first layer keeps the number of channels and the grid: its shortcut is the input itself.
        self.downsample = self._shortcut(inputs, middle, norm=norm, first=first and inputs != middle)

    def forward(self, x: Tensor) -> Tensor:
        """(N, inputs, H, W) -> (N, outputs, ceil(H / stride), ceil(W / stride))."""
        shortcut = x if self.downsample is None else self.downsample(x)
        x = functional.relu(self.bn1(self.conv1(x)))
        return functional.relu(self.bn2(self.conv2(x)) + shortcut)


class Bottleneck(Block):
    """1x1, 3x3 and 1x1 convolution; the 3x3 one has the stride (ResNet v1.5), or the first 1x1 (style caffe)."""

    expansion, strided, widened = _EXPANSION, "conv2", ("conv2",)

    def __init__(self, inputs: int, middle: int, *, norm: Norm, style: Style, first: bool) -> None:
        super().__init__()
        outputs = middle * _EXPANSION
        self.strided = "conv1" if style == "caffe" else "conv2"
        self.conv1, self.bn1 = _convolution(inputs, middle, 1, norm=norm), _norm(middle, norm)
        self.conv2, self.bn2 = _convolution(middle, middle, 3, norm=norm), _norm(middle, norm)
        self.conv3, self.bn3 = _convolution(middle, outputs, 1, norm=norm), _norm(outputs, norm)
        # The first block of a layer changes the number of channels: its shortcut has to follow.
        self.downsample = self._shortcut(inputs, outputs, norm=norm, first=first)

    def forward(self, x: Tensor) -> Tensor:
        """(N, inputs, H, W) -> (N, outputs, ceil(H / stride), ceil(W / stride))."""
        shortcut = x if self.downsample is None else self.downsample(x)
        x = functional.relu(self.bn1(self.conv1(x)))
        x = functional.relu(self.bn2(self.conv2(x)))
        return functional.relu(self.bn3(self.conv3(x)) + shortcut)


def resnet_features(trunk: Any, images: Tensor) -> tuple[Tensor, Tensor]:
    """Return features, and those of layer3, of normalised images (N, 3, H, W), from a module with a ResNet's layers."""
    x = functional.relu(trunk.bn1(trunk.conv1(images)))
    x = functional.max_pool2d(x, 3, stride=2, padding=1)
    middle = trunk.layer3(trunk.layer2(trunk.layer1(x)))
    return trunk.layer4(middle), middle


class ResNet(Backbone):
    """A 7x7 stem and pooling of stride 4 together, and four layers of basic blocks or bottlenecks.

    Args:
        name: one of `resnet18`, `resnet34`, `resnet50`, `resnet101`, `resnet152`.
        stride: output stride, input pixels: 8, 16 or 32.
        norm: kind of its normalisation layers.
        style: which convolution of a bottleneck has the stride.
    """

    def __init__(self, name: str, *, stride: int, norm: Norm, style: Style = "pytorch") -> None:
        super().__init__()
        kind: Any = BasicBlock if name in _BASIC else Bottleneck
        self.conv1, self.bn1 = _convolution(3, 64, 7, norm=norm, stride=2), _norm(64, norm)
        inputs = 64
        for number, depth in enumerate(_DEPTHS[name]):
            middle = 64 << number
            outputs = middle * kind.expansion
            blocks = (
                kind(outputs if i else inputs, middle, norm=norm, style=style, first=i == 0) for i in range(depth)
            )
            self.add_module(f"layer{number + 1}", nn.Sequential(*blocks))
            inputs = outputs
        self.channels, self.middle_channels = inputs, inputs // 2
        self.set_stride(stride)

    def _layers(self) -> Iterator[Any]:
        yield from (self.layer1, self.layer2, self.layer3, self.layer4)

    def set_stride(self, stride: int) -> None:
        """Run at another output stride, 8, 16 or 32: past it, layers widen their kernels instead."""
        reached, dilation = 4, 1  # behind the pooling
        for layer, native in zip(self._layers(), (1, 2, 2, 2), strict=True):
            first = (native, dilation) if reached < stride else (1, dilation)
            if reached < stride:
                reached *= native
            else:
                dilation *= native
            for i, block in enumerate(layer):
                # The first block still reads the finer grid, so that even cells see what a stride would have shown.
                block.set_stride(*(first if i == 0 else (1, dilation)))

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Features (N, C, h, w), and those of layer3 (N, C / 2, h, w), of normalised images (N, 3, H, W)."""
        return resnet_features(self, images)
