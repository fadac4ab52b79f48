"""Dense refinement of offset fields inside the network, differentiable in both inputs: the core as torch operators."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from personlab import _core
from personlab.methods.personlab import refine_cuda
from personlab.methods.personlab.refine_grid_sample import refine_offsets_grid_sample

if TYPE_CHECKING:
    from torch import Tensor

# torch 2.6 cannot tell an export from a compilation: what serves both is what can be exported.
_is_exporting = getattr(torch.compiler, "is_exporting", torch.compiler.is_compiling)


def refine_offsets(offsets: Tensor, by: Tensor, channels: Tensor, *, stride: int, steps: int) -> Tensor:
    """`steps` times M_c(x) <- M_c(x) + S_l(x + M_c(x)), l = channels[c] (PersonLab, section 3.1.2).

    What `personlab.stages.refine_offsets` computes, but that a number that is not finite, or becomes too large for its
    type, stays visible: a diverged network should not train on. Points outside the grid read its border, and their
    position has no gradient. In host memory it runs on `torch.get_num_threads()` threads, whose number does not change
    the result. On an NVIDIA GPU the result and the gradient by M are the host's to the last bit, and the gradient by S
    is the same in every run; where personlab was built without CUDA, torch's own operations do the work, and on other
    devices.

    Args:
        offsets: (N, C, 2, h, w) M, (dx, dy) input pixels.
        by: (N, L, 2, h, w) S, likewise; float32 or float64 inside whatever the type.
        channels: (C,) int64, which of the L fields refines each of the C.
        stride: input pixels from cell to cell.
        steps: refinements.

    Returns:
        (N, C, 2, h, w), of the type of `offsets`.

    Raises:
        ValueError: shapes that do not belong together, `channels` outside 0..L-1 (in host memory; on a GPU what they
            refine becomes NaN), `stride` or `steps` out of range.
    """
    if steps == 0 or offsets.shape[1] == 0:
        return offsets
    kind_of_device = offsets.device.type
    is_native = kind_of_device == "cpu" or (kind_of_device == "cuda" and refine_cuda.is_available())
    if not is_native or _is_exporting() or torch.onnx.is_in_onnx_export():
        return refine_offsets_grid_sample(offsets, by, channels, stride=stride, steps=steps)
    kind = torch.promote_types(offsets.dtype, torch.float32)  # half a pixel of a coordinate is lost in 16 bits
    refined: Tensor = _refine(offsets.to(kind), by.to(kind), channels, stride, steps)
    return refined.to(offsets.dtype)


def _check(offsets: Tensor, by: Tensor, channels: Tensor, stride: int, steps: int) -> None:
    n, _, _, h, w = offsets.shape if offsets.ndim == 5 else (0,) * 5
    if offsets.ndim != 5 or offsets.shape[2] != 2:
        raise ValueError(f"offsets: expected shape (N, C, 2, h, w), got {tuple(offsets.shape)}")
    if by.ndim != 5 or by.shape != (n, by.shape[1], 2, h, w):
        raise ValueError(f"by: expected shape (N, L, 2, h, w) = ({n}, any, 2, {h}, {w}), got {tuple(by.shape)}")
    if channels.shape != (offsets.shape[1],):
        raise ValueError(f"channels: expected shape (C,) = ({offsets.shape[1]},), got {tuple(channels.shape)}")
    if stride < 1 or steps < 0:
        raise ValueError(f"stride, steps: expected at least 1 and 0, got {stride} and {steps}")


def _check_grad(grad: Tensor, offsets: Tensor) -> None:
    if grad.shape != offsets.shape:
        raise ValueError(f"grad: expected the shape of offsets, {tuple(offsets.shape)}, got {tuple(grad.shape)}")


def _arguments(offsets: Tensor, by: Tensor, channels: Tensor, stride: int, steps: int) -> dict[str, Any]:
    """Returns the arguments of the core, checked: it reads memory at these numbers."""
    _check(offsets, by, channels, stride, steps)
    numbers = channels.tolist()
    if not all(0 <= number < by.shape[1] for number in numbers):
        raise ValueError(f"channels: expected 0..{by.shape[1] - 1}, got {numbers}")
    threads = torch.get_num_threads()
    return {
        "offsets": _array(offsets), "by": _array(by), "channels": numbers, "stride": stride, "steps": steps,
        "threads": threads,
    }  # fmt: skip


def _array(tensor: Tensor) -> Any:
    """Returns NumPy's view of a tensor; of a copy where it is not contiguous."""
    return tensor.detach().contiguous().numpy()


@torch.library.custom_op(
    "personlab::refine_offsets",
    mutates_args=(),
    device_types="cpu",
    schema="(Tensor offsets, Tensor by, Tensor channels, int stride, int steps) -> Tensor",
)
def _refine(offsets: Tensor, by: Tensor, channels: Tensor, stride: int, steps: int) -> Tensor:
    arguments = _arguments(offsets, by, channels, stride, steps)
    refined = offsets.new_empty(offsets.shape)
    _core.refine_offset_batch(**arguments, refined=refined.numpy())
    return refined


@torch.library.custom_op(
    "personlab::refine_offsets_backward",
    mutates_args=(),
    device_types="cpu",
    schema="(Tensor grad, Tensor offsets, Tensor by, Tensor channels, int stride, int steps, bool for_offsets, "
    "bool for_by) -> (Tensor, Tensor)",
)
def _refine_backward(
    grad: Tensor,
    offsets: Tensor,
    by: Tensor,
    channels: Tensor,
    stride: int,
    steps: int,
    for_offsets: bool,
    for_by: bool,
) -> tuple[Tensor, Tensor]:
    """Returns the gradients by both inputs; an empty tensor for one that is not wanted."""
    arguments = _arguments(offsets, by, channels, stride, steps)
    _check_grad(grad, offsets)
    grad_offsets, grad_by = _gradients(offsets, by, for_offsets, for_by)
    _core.refine_offset_batch_backward(
        **arguments,
        grad_refined=_array(grad),
        grad_offsets=grad_offsets.numpy() if for_offsets else None,
        grad_by=grad_by.numpy() if for_by else None,
    )
    return grad_offsets, grad_by


@_refine.register_kernel("cuda")
def _refine_on_cuda(offsets: Tensor, by: Tensor, channels: Tensor, stride: int, steps: int) -> Tensor:
    _check(offsets, by, channels, stride, steps)
    return refine_cuda.refine(offsets, by, channels, stride, steps)


@_refine_backward.register_kernel("cuda")
def _refine_backward_on_cuda(
    grad: Tensor,
    offsets: Tensor,
    by: Tensor,
    channels: Tensor,
    stride: int,
    steps: int,
    for_offsets: bool,
    for_by: bool,
) -> tuple[Tensor, Tensor]:
    _check(offsets, by, channels, stride, steps)
    _check_grad(grad, offsets)
    gradients = _gradients(offsets, by, for_offsets, for_by)
    refine_cuda.refine_backward(grad, offsets, by, channels, stride, steps, gradients)
    return gradients


def _gradients(offsets: Tensor, by: Tensor, for_offsets: bool, for_by: bool) -> tuple[Tensor, Tensor]:
    return offsets.new_empty(offsets.shape if for_offsets else 0), by.new_empty(by.shape if for_by else 0)


@_refine.register_fake
def _(offsets: Tensor, *_: Any) -> Tensor:
    return offsets.new_empty(offsets.shape)


@_refine_backward.register_fake
def _(_grad: Tensor, offsets: Tensor, by: Tensor, *others: Any) -> tuple[Tensor, Tensor]:
    return _gradients(offsets, by, *others[-2:])


def _save_inputs(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:  # noqa: ARG001
    offsets, by, channels, ctx.stride, ctx.steps = inputs
    ctx.save_for_backward(offsets, by, channels)


def _backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
    for_offsets, for_by = ctx.needs_input_grad[:2]
    grad_offsets, grad_by = _refine_backward(grad, *ctx.saved_tensors, ctx.stride, ctx.steps, for_offsets, for_by)
    return grad_offsets if for_offsets else None, grad_by if for_by else None, None, None, None


_refine.register_autograd(_backward, setup_context=_save_inputs)
