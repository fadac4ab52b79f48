"""The convolutions of a MobileNetV1 as data: for the network in PyTorch, and for graphs that are made without it."""

from __future__ import annotations

from typing import NamedTuple

MOBILENET_EPSILON = 1e-3  # TensorFlow's, of batch norm: ReLU6 networks live with small variances in low precision
MIDDLE_BLOCK = 10  # of 0..12, which the intermediate heads read: its grid is that of the output
STEM = 32  # channels behind the first convolution at width 1

# (output channels at width 1, stride) of the 13 blocks. The published networks of width 0.5 and 0.75 stop growing at
# block 6; that of width 1 has the last two blocks of the classifier.
_BLOCKS = ((64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2), *((512, 1),) * 5)
_NARROW_END = ((512, 1), (512, 1))
_WIDE_END = ((1024, 2), (1024, 1))


class Layer(NamedTuple):
    """A convolution with TensorFlow's SAME padding, behind which come batch norm or a bias, and ReLU6."""

    name: str  # in the state dict of the backbone
    inputs: int  # channels
    outputs: int
    kernel: int
    stride: int
    dilation: int
    groups: int


def mobilenet_layers(width: float, stride: int) -> list[Layer]:
    """Return the convolutions in the order of the forward pass: the stem, and depthwise and pointwise of 13 blocks.

    Args:
        width: factor on every channel count.
        stride: of the output, 8 or 16: once it is reached, kernels are dilated in place of further strides.
    """
    channels = int(STEM * width)
    layers = [Layer("stem", 3, channels, 3, 2, 1, 1)]
    reached, dilation = 2, 1
    for i, (outputs_at_1, native) in enumerate(_BLOCKS + (_WIDE_END if width == 1 else _NARROW_END)):
        outputs = int(outputs_at_1 * width)
        steps, spread = (native, 1) if reached < stride else (1, dilation)
        layers += [
            Layer(f"blocks.{i}.depthwise", channels, channels, 3, steps, spread, channels),
            Layer(f"blocks.{i}.pointwise", channels, outputs, 1, 1, 1, 1),
        ]
        if reached < stride:
            reached *= native
        else:
            dilation *= native
        channels = outputs
    return layers
