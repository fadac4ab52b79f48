"""MobileNetV1 as Google's PoseNet and BodyPix networks have it, so that their published weights fit."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import Tensor, nn
from torch.nn import functional

from personlab.nn.backbones.base import Backbone
from personlab.nn.backbones.mobilenet_layers import MIDDLE_BLOCK, MOBILENET_EPSILON, mobilenet_layers

if TYPE_CHECKING:
    from personlab.nn.config import Norm


def same_padding(size: int, *, kernel: int, stride: int, dilation: int = 1) -> tuple[int, int]:
    """Cells before and after `size` cells, by TensorFlow's rule "SAME": ceil(size / stride) outputs, an odd cell last.

    The kernel has to span its stride, as every one that moves by 2 does. `size` may be a symbol of torch.export.
    """
    last = (size - 1) // stride * stride  # where the last output begins; written so that torch.export sees sizes cancel
    total = last + dilation * (kernel - 1) + 1 - size
    return total // 2, total - total // 2


class ConvUnit(nn.Module):
    """Convolution with TensorFlow's SAME padding, batch norm or a bias, ReLU6."""

    def __init__(self, inputs: int, outputs: int, kernel: int, *, norm: Norm, stride: int = 1, groups: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, kernel, groups=groups, bias=norm == "none")
        self.norm: nn.Module = nn.BatchNorm2d(outputs, eps=MOBILENET_EPSILON) if norm == "batch" else nn.Identity()
        self.set_stride(stride)
        nn.init.kaiming_normal_(self.conv.weight, nonlinearity="relu")
        if self.conv.bias is not None:
            nn.init.zeros_(self.conv.bias)

    def set_stride(self, stride: int, dilation: int = 1) -> None:
        """Move the kernel by other steps and widen it by another dilation."""
        self.conv.stride, self.conv.dilation = (stride, stride), (dilation, dilation)
        # At stride 1 both sides get the same whatever the size: the convolution's own padding, which costs no copy.
        own = dilation * (self.conv.kernel_size[0] - 1) // 2 if stride == 1 else 0
        self.conv.padding = (own, own)

    def forward(self, x: Tensor) -> Tensor:
        """(N, inputs, H, W) -> (N, outputs, ceil(H / stride), ceil(W / stride))."""
        kernel, stride, dilation = self.conv.kernel_size[0], self.conv.stride[0], self.conv.dilation[0]
        if stride > 1:
            top, bottom = same_padding(x.shape[2], kernel=kernel, stride=stride, dilation=dilation)
            left, right = same_padding(x.shape[3], kernel=kernel, stride=stride, dilation=dilation)
            x = functional.pad(x, (left, right, top, bottom))
        return functional.relu6(self.norm(self.conv(x)))


class SeparableBlock(nn.Module):
    """A 3x3 convolution of each channel by itself, then a 1x1 convolution across channels."""

    def __init__(self, inputs: int, outputs: int, *, norm: Norm) -> None:
        super().__init__()
        self.depthwise = ConvUnit(inputs, inputs, 3, norm=norm, groups=inputs)
        self.pointwise = ConvUnit(inputs, outputs, 1, norm=norm)

    def forward(self, x: Tensor) -> Tensor:
        """(N, inputs, H, W) -> (N, outputs, ceil(H / stride), ceil(W / stride))."""
        return self.pointwise(self.depthwise(x))  # type: ignore[no-any-return]


class MobileNetV1(Backbone):
    """A 3x3 stem of stride 2 and 13 depthwise-separable blocks."""

    def __init__(self, *, width: float, stride: int, norm: Norm) -> None:
        super().__init__()
        self.width = width
        stem, *layers = mobilenet_layers(width, stride)
        self.stem = ConvUnit(stem.inputs, stem.outputs, stem.kernel, norm=norm, stride=stem.stride)
        self.blocks = nn.ModuleList(SeparableBlock(one.inputs, one.outputs, norm=norm) for one in layers[1::2])
        self.channels, self.middle_channels = layers[-1].outputs, layers[2 * MIDDLE_BLOCK + 1].outputs
        self.set_stride(stride)

    def set_stride(self, stride: int) -> None:
        """Run at another output stride, 8 or 16: once it is reached, blocks widen their kernels instead."""
        for block, layer in zip(self.blocks, mobilenet_layers(self.width, stride)[1::2], strict=True):
            assert isinstance(block, SeparableBlock)
            block.depthwise.set_stride(layer.stride, layer.dilation)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Features (N, C, h, w), and those after block 10 (N, C', h, w), of normalised images (N, 3, H, W)."""
        x = self.stem(images)
        middle = x
        for i, block in enumerate(self.blocks):
            x = block(x)
            if i == MIDDLE_BLOCK:
                middle = x
        return x, middle
