"""Convolutions on a GPU without cuDNN, which plans each one anew for each size of images."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch.nn import functional
from torch.overrides import TorchFunctionMode

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

_FEW = 4  # input channels up to which a convolution is the first of a network


class UnplannedConvolutions(TorchFunctionMode):
    """In its context, and in this thread alone, some convolutions run without cuDNN.

    cuDNN takes about 35 ms to plan a convolution for a size that it has not seen (`benchmarks/gpu_network.py`), thus a
    second for a MobileNet, and photographs come in many sizes. Pointwise convolutions are products of matrices;
    depthwise ones, and those of a few channels, run in kernels of PyTorch's own. Dense ones stay with cuDNN.
    """

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        """Compute `func`, one of PyTorch's functions."""
        return (_conv2d if func is torch.conv2d else func)(*args, **(kwargs or {}))


def _conv2d(
    input: Tensor,  # noqa: A002
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
) -> Tensor:
    """Return what `torch.conv2d` does."""
    stride, dilation = _pair(stride), _pair(dilation)
    is_fixed = input.ndim == 4 and not isinstance(padding, str)
    if is_fixed and groups == 1 and weight.shape[2:] == (1, 1) and stride == (1, 1) and _pair(padding) == (0, 0):
        return functional.linear(input.permute(0, 2, 3, 1), weight.flatten(1), bias).permute(0, 3, 1, 2)
    if is_fixed and (1 < groups == input.shape[1] or input.shape[1] <= _FEW):
        if torch.is_autocast_enabled(input.device.type):  # which knows this operator on some devices alone
            kind = torch.get_autocast_dtype(input.device.type)
            input, weight = input.to(kind), weight.to(kind)  # noqa: A001
            bias = None if bias is None else bias.to(kind)
        result: Tensor = torch.ops.aten._convolution.default(
            input, weight, bias, stride, _pair(padding), dilation, False, (0, 0), groups,  # not transposed
            False, False, False, True,  # of cuDNN: no search, not deterministic, not used; TF32 as elsewhere
        )  # fmt: skip
        return result
    return torch.conv2d(input, weight, bias, stride, padding, dilation, groups)


def _pair(value: Any) -> tuple[int, int]:
    return (value, value) if isinstance(value, int) else tuple(value)
