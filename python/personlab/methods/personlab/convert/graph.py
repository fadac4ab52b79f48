"""Turns the graph of a published network into a chain of convolutions, with batch norm folded in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

FloatArray: TypeAlias = NDArray[np.float32]

_MAX_LAYERS = 100  # convolutions from the image to a head; MobileNetV1 has 28
_MAX_STEPS = 100  # from one convolution to the next; MobileNetV1 has 5


@dataclass(frozen=True, eq=False, kw_only=True)
class Step:
    """The operation that computes one tensor: convolution, scale, shift and ReLU6, each optional, in this order."""

    source: str  # the input tensor
    weight: FloatArray | None = None  # (O, I / groups, kh, kw); None: no convolution
    stride: int = 1
    dilation: int = 1
    groups: int = 1
    scale: FloatArray | None = None  # (O,) or ()
    shift: FloatArray | None = None  # (O,) or ()
    relu6: bool = False
    one_channel: bool = False  # a reshape between NCHW and NHWC, which is valid for one channel alone


Steps: TypeAlias = Mapping[str, "Step | str"]  # tensor -> its step, or the name of an unsupported operation


@dataclass(frozen=True, eq=False, kw_only=True)
class Convolution:
    """A convolution and the operations after it, up to the next convolution."""

    weight: FloatArray  # (O, I / groups, kh, kw)
    bias: FloatArray  # (O,)
    stride: int
    dilation: int
    groups: int
    relu6: bool


def batch_norm(source: str, constants: Sequence[FloatArray], epsilon: float) -> Step:
    """Return batch norm as a scale and a shift; constants are gain, offset, mean and variance, one number a channel.

    Raises:
        ValueError: the constants have other shapes.
    """
    gain, offset, mean, variance = constants
    if any(array.ndim != 1 or array.shape != gain.shape for array in constants):
        raise ValueError(f"expected batch norm by channel, got shapes {', '.join(str(a.shape) for a in constants)}")
    scale: Any = gain / np.sqrt(variance + epsilon)
    return Step(source=source, scale=scale, shift=offset - mean * scale)


def trace(steps: Steps, image: str, outputs: Mapping[str, str]) -> tuple[list[Convolution], dict[str, Convolution]]:
    """Follow a network from its outputs back to the image.

    Args:
        steps: the step that computes each tensor.
        image: the tensor that holds the image.
        outputs: head -> the tensor with its output.

    Returns:
        The convolutions that all heads share, from the image on, and the one convolution of each head.

    Raises:
        ValueError: the network is not such a chain.
    """
    heads: dict[str, Convolution] = {}
    ends: dict[str, str] = {}
    for head, tensor in outputs.items():
        heads[head], ends[head] = _convolution(steps, tensor, image)
    if len(set(ends.values())) != 1:
        raise ValueError(f"expected heads of one convolution each on the same backbone, got heads on {sorted(ends)}")
    trunk: list[Convolution] = []
    tensor = next(iter(ends.values()))
    while tensor != image:
        if len(trunk) == _MAX_LAYERS:
            raise ValueError(f"expected a chain of at most {_MAX_LAYERS} convolutions, got a circle through {tensor!r}")
        layer, tensor = _convolution(steps, tensor, image)
        trunk.append(layer)
    return trunk[::-1], heads


def _convolution(steps: Steps, tensor: str, image: str) -> tuple[Convolution, str]:
    """Return the convolution that computes a tensor, with the operations after it, and the input of that convolution.

    The input is the tensor before all copies and transpositions (`_skip_copies`).
    """
    start = tensor
    scale, shift = np.ones((), np.float64), np.zeros((), np.float64)
    arithmetic, relu6, one_channel = False, False, False  # whether each follows the convolution
    for _ in range(_MAX_STEPS):
        step = _step(steps, tensor, start, image)
        one_channel |= step.one_channel
        if step.relu6:
            if arithmetic:
                raise ValueError(f"expected ReLU6 to end a layer, got arithmetic between it and {start!r}")
            relu6 = True
        if step.shift is not None:
            shift = shift + scale * step.shift
        if step.scale is not None:
            scale = scale * step.scale
        arithmetic |= step.scale is not None or step.shift is not None
        tensor = step.source
        if step.weight is None:
            continue
        if not step.weight.size:
            raise ValueError(f"expected weights before {start!r}, got an array of shape {step.weight.shape}")
        weight = (step.weight * np.broadcast_to(scale, step.weight.shape[:1])[:, None, None, None]).astype(np.float32)
        if one_channel and len(weight) != 1:
            raise ValueError(f"expected a reshape of one channel, got {len(weight)} channels before {start!r}")
        bias = np.broadcast_to(shift, weight.shape[:1]).astype(np.float32)
        layer = Convolution(
            weight=weight, bias=bias, stride=step.stride, dilation=step.dilation, groups=step.groups, relu6=relu6
        )
        return layer, _skip_copies(steps, tensor, image)
    raise ValueError(
        f"expected a chain of convolutions, got a circle through {tensor!r}, or more than {_MAX_STEPS} steps"
    )


def _step(steps: Steps, tensor: str, start: str, image: str) -> Step:
    step = steps.get(tensor)
    if isinstance(step, Step):
        return step
    if tensor == image:
        raise ValueError(f"expected a convolution before {start!r}, got the image")
    if step is None:
        raise ValueError(f"expected a chain of convolutions, got the tensor {tensor!r} from nowhere")
    raise ValueError(f"expected a chain of convolutions, got the operation {step} for {tensor!r}")


def _skip_copies(steps: Steps, tensor: str, image: str) -> str:
    """Return the tensor that this one copies or transposes, if it does, else itself."""
    for _ in range(len(steps) + 1):
        step = steps.get(tensor)
        if tensor == image or not isinstance(step, Step):
            break
        if step.weight is not None or step.scale is not None or step.shift is not None or step.relu6:
            break
        tensor = step.source
    return tensor
