"""The device that a network runs on, by the name that a user gives."""

from __future__ import annotations

import torch


def find_device(device: str | torch.device | None = None) -> torch.device:
    """Return the device of that name; without a name, CUDA where PyTorch can use it, else the CPU.

    Raises:
        ValueError: an unknown name, or CUDA where PyTorch cannot use it.
    """
    try:
        chosen = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
    except RuntimeError as error:
        raise ValueError(f"device: {str(error).splitlines()[0]}") from None
    if chosen.type == "cuda" and not torch.cuda.is_available():
        raise ValueError(f"device: expected an available device, got {chosen}: PyTorch cannot use CUDA")
    return chosen
