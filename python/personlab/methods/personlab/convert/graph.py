"""A published network, whatever file it came in, as a chain of convolutions; batch norm is folded on the way."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

FloatArray: TypeAlias = NDArray[np.float32]

_LAYERS = 100  # convolutions from the image to a head; MobileNetV1 has 28
_STEPS = 100  # from one convolution to the next; it has 5


@dataclass(frozen=True, eq=False, kw_only=True)
class Step:
    """How one tensor of a graph comes from another: any of convolution, scale, shift and ReLU6, in this order."""

    source: str  # the tensor it comes from
    weight: FloatArray | None = None  # (O, I / groups, kh, kw); None where it is no convolution
    stride: int = 1
    dilation: int = 1
    groups: int = 1
    scale: FloatArray | None = None  # (O,) or ()
    shift: FloatArray | None = None  # (O,) or ()
    relu6: bool = False
    one_channel: bool = False  # a reshape, harmless between NCHW and NHWC where there is one channel


Steps: TypeAlias = Mapping[str, "Step | str"]  # tensor -> its step, or the name of an operation that is none


@dataclass(frozen=True, eq=False, kw_only=True)
class Convolution:
    """A convolution with all that follows it up to the next one."""

    weight: FloatArray  # (O, I / groups, kh, kw)
    bias: FloatArray  # (O,)
    stride: int
    dilation: int
    groups: int
    relu6: bool


def batch_norm(source: str, constants: Sequence[FloatArray], epsilon: float) -> Step:
    """Batch norm in a trained network: constants are gain, offset, mean and variance, one number a channel each.

    Raises:
        ValueError: they are not.
    """
    gain, offset, mean, variance = constants
    if any(array.ndim != 1 or array.shape != gain.shape for array in constants):
        raise ValueError(f"expected batch norm by channel, got shapes {', '.join(str(a.shape) for a in constants)}")
    scale: Any = gain / np.sqrt(variance + epsilon)
    return Step(source=source, scale=scale, shift=offset - mean * scale)


def trace(steps: Steps, image: str, outputs: Mapping[str, str]) -> tuple[list[Convolution], dict[str, Convolution]]:
    """Follow a network from its outputs back to the image.

    Args:
        steps: how each tensor comes from another.
        image: the tensor that holds the image.
        outputs: head -> the tensor with its output.

    Returns:
        The convolutions that all heads share, first one first, and the one convolution of each head.

    Raises:
        ValueError: the network is no such chain.
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
        if len(trunk) == _LAYERS:
            raise ValueError(f"expected a chain of at most {_LAYERS} convolutions, got a circle through {tensor!r}")
        layer, tensor = _convolution(steps, tensor, image)
        trunk.append(layer)
    return trunk[::-1], heads


def _convolution(steps: Steps, tensor: str, image: str) -> tuple[Convolution, str]:
    """The convolution that a tensor comes from with all that follows it, and the tensor this convolution reads.

    The tensor it reads is named by where its values were made: transpositions and copies are passed by.
    """
    start = tensor
    scale, shift = np.ones((), np.float64), np.zeros((), np.float64)
    arithmetic, relu6, one_channel = False, False, False  # whether there is any after the convolution
    for _ in range(_STEPS):
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
        return layer, _made(steps, tensor, image)
    raise ValueError(f"expected a chain of convolutions, got a circle through {tensor!r}, or more than {_STEPS} steps")


def _step(steps: Steps, tensor: str, start: str, image: str) -> Step:
    step = steps.get(tensor)
    if isinstance(step, Step):
        return step
    if tensor == image:
        raise ValueError(f"expected a convolution before {start!r}, got the image")
    if step is None:
        raise ValueError(f"expected a chain of convolutions, got the tensor {tensor!r} from nowhere")
    raise ValueError(f"expected a chain of convolutions, got the operation {step} for {tensor!r}")


def _made(steps: Steps, tensor: str, image: str) -> str:
    """The tensor whose values this one holds, transpositions and copies passed by."""
    for _ in range(len(steps) + 1):
        step = steps.get(tensor)
        if tensor == image or not isinstance(step, Step):
            break
        if step.weight is not None or step.scale is not None or step.shift is not None or step.relu6:
            break
        tensor = step.source
    return tensor
