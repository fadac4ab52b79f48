"""Dense refinement and its gradient on a GPU, as the operators of `personlab.methods.personlab.refine_op` need them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from personlab.arrays import cuda_module

if TYPE_CHECKING:
    from torch import Tensor

_ELEMENTS = {torch.float32: "float32", torch.float64: "float64"}


def is_available() -> bool:
    """Returns whether the module of the GPU and a driver are present."""
    try:
        cuda_module.native()
    except RuntimeError:
        return False
    return True


# What torch.compiler.assume_constant_result does, but that one imports the compiler, which takes a second.
is_available._dynamo_marked_constant = True  # type: ignore[attr-defined]


def _stream(offsets: Tensor) -> tuple[Any, int, int]:
    """Returns the module of the GPU, the device of these offsets, and torch's current stream of it."""
    device = offsets.device.index
    return cuda_module.native(), device, torch.cuda.current_stream(device).cuda_stream


def _arguments(
    offsets: Tensor, by: Tensor, channels: Tensor, stride: int, steps: int
) -> tuple[dict[str, Any], tuple[Tensor, Tensor, Tensor]]:
    """Returns the batch as the stages take it by keywords, and the tensors that own its memory.

    `channels` outside 0..L-1 are not searched for, which would wait for the device: these channels become NaN.
    """
    for name, tensor in (("by", by), ("channels", channels)):
        if tensor.device != offsets.device:
            raise ValueError(f"{name}: expected a tensor on {offsets.device}, as offsets is, got {tensor.device}")
    if offsets.dtype not in _ELEMENTS or by.dtype != offsets.dtype:
        raise TypeError(f"offsets, by: expected both float32 or both float64, got {offsets.dtype} and {by.dtype}")
    n, count, _, h, w = offsets.shape
    dense = offsets.detach().contiguous(), by.detach().contiguous(), channels.to(torch.int32).contiguous()
    batch = {name: tensor.data_ptr() for name, tensor in zip(("offsets", "by", "channels"), dense, strict=True)}
    return {
        "element": _ELEMENTS[offsets.dtype], **batch, "images": n, "count": count, "fields": by.shape[1], "height": h,
        "width": w, "stride": stride, "steps": steps,
    }, dense  # fmt: skip


def refine(offsets: Tensor, by: Tensor, channels: Tensor, stride: int, steps: int) -> Tensor:
    """Returns refined offsets (N, C, 2, h, w)."""
    batch, inputs = _arguments(offsets, by, channels, stride, steps)
    native, device, stream = _stream(offsets)
    refined = torch.empty_like(inputs[0])
    native.refine_offset_batch(**batch, refined=refined.data_ptr(), device=device, stream=stream)
    return refined


def refine_backward(
    grad: Tensor, offsets: Tensor, by: Tensor, channels: Tensor, stride: int, steps: int, into: tuple[Tensor, Tensor]
) -> None:
    """Writes the gradients by both inputs; one that is not wanted is empty."""
    batch, _inputs = _arguments(offsets, by, channels, stride, steps)
    if grad.device != offsets.device or grad.dtype != offsets.dtype:
        raise ValueError(
            f"grad: expected {offsets.dtype} on {offsets.device}, as offsets is, got {grad.dtype} on {grad.device}"
        )
    native, device, stream = _stream(offsets)
    grad = grad.detach().contiguous()
    extents = {name: batch[name] for name in ("images", "fields", "height", "width")}
    size = native.refine_scratch_bytes(**extents) if into[1].numel() > 0 else 0
    scratch = torch.empty(size, dtype=torch.uint8, device=offsets.device)
    grad_offsets, grad_by = (tensor.data_ptr() if tensor.numel() > 0 else 0 for tensor in into)
    native.refine_offset_batch_backward(
        **batch, grad_refined=grad.data_ptr(), grad_offsets=grad_offsets, grad_by=grad_by, scratch=scratch.data_ptr(),
        device=device, stream=stream,
    )  # fmt: skip
