"""Networks in PyTorch, on any of its devices."""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from personlab.arrays.numbers import check_type
from personlab.predict.engines.torch_unplanned import UnplannedConvolutions

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

_TYPES = {"bfloat16": torch.bfloat16, "float16": torch.float16}


def devices() -> tuple[str, ...]:
    """Return the kinds of devices that PyTorch can use here."""
    return ("cpu", *["cuda"] * torch.cuda.is_available())


def precisions(device: torch.device) -> tuple[str, ...]:
    """Return what a device computes natively, the one to prefer first."""
    if device.type == "cpu":
        return ("bfloat16", "float32") if _cpu_has_bfloat16() else ("float32",)
    if device.type == "cuda":
        has_bfloat16 = torch.cuda.is_bf16_supported(including_emulation=False)
        return ("bfloat16", "float16", "float32") if has_bfloat16 else ("float32", "float16")
    return ("float32", "float16")


def open_engine(
    network: torch.nn.Module, *, device: torch.device, precision: str, options: Mapping[str, Any]
) -> TorchEngine:
    """Return the engine of a module.

    Args:
        network: in evaluation mode, on the device.
        device: where it is.
        precision: one of `PRECISIONS`.
        options: `compile`, whether to run it by `torch.compile`.

    Raises:
        TypeError, ValueError: options that are unknown or of the wrong type.
    """
    if unknown := sorted(set(options) - {"compile"}):
        raise ValueError(f"engine_options: expected the name compile for torch, got {', '.join(unknown)}")
    compiles = options.get("compile", False)
    check_type(compiles, "engine_options.compile", bool)
    return TorchEngine(network, device, precision=precision, compiles=compiles)


class TorchEngine:
    """Runs a module in evaluation mode.

    Args:
        network: images (N, 3, H, W) float32 RGB 0..255 -> an object with the outputs as attributes.
        device: where it is.
        precision: other than float32: computes in 16 bits where PyTorch deems it safe.
        compiles: whether to run it by `torch.compile`, which takes a minute at the first image.
    """

    name, streams = "torch", 1

    def __init__(
        self, network: Any, device: torch.device, *, precision: str = "float32", compiles: bool = False
    ) -> None:
        self.network, self.device, self.precision = network, device, precision
        self._process = os.getpid()
        self._run = torch.compile(network, dynamic=True) if compiles else network
        self._unplanned = device.type == "cuda" and not compiles

    def prepare(self, names: Sequence[str], *, streaming: bool = False) -> None:
        """Do nothing: what `torch.compile` makes, it makes at the first image."""

    @torch.inference_mode()
    def run(self, images: NDArray[np.uint8], names: Sequence[str]) -> dict[str, torch.Tensor]:
        """Return outputs by name, float32 on the device; those that are None are left out.

        Args:
            images: (N, H, W, 3) RGB.
            names: of the attributes that are wanted.
        """
        if self._process != os.getpid():  # a forked child has none of PyTorch's threads, and would wait for them
            self._process = os.getpid()
            torch.set_num_threads(1)
        # NHWC in memory, which PyTorch calls channels_last and keeps.
        pixels = torch.from_numpy(np.ascontiguousarray(images)).to(self.device).permute(0, 3, 1, 2).float()
        precision = _TYPES.get(self.precision)
        unplanned = UnplannedConvolutions() if self._unplanned else contextlib.nullcontext()
        with torch.autocast(self.device.type, dtype=precision, enabled=precision is not None), unplanned:
            outputs = self._run(pixels)
        tensors = {name: getattr(outputs, name, None) for name in names}
        return {name: tensor.float() for name, tensor in tensors.items() if tensor is not None}


def _cpu_has_bfloat16() -> bool:
    """Return whether the processor multiplies bfloat16 by its own instructions."""
    checks = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    return any(bool(getattr(torch.cpu, name, bool)()) for name in checks)
