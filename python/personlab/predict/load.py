"""From weights, or the name of weights, to a network at the stride and on the device asked for."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from personlab.settings import Settings

if TYPE_CHECKING:
    import torch


def load_network(weights: Any, stride: int | None, device: str | torch.device | None) -> tuple[Any, torch.device]:
    """Return the network in eval mode and its device.

    Args:
        weights: a network, or what `load_model` takes.
        stride: of its output; None: the one it was scored at, else its own.
        device: None: that of the network where `weights` is one, else CUDA where available, else the CPU.
    """
    import torch

    from personlab.nn.devices import find_device

    if isinstance(weights, (str, os.PathLike)):
        from personlab.weights import load_model

        chosen = find_device(device)
        return _at_stride(load_model(weights, stride=stride, device=chosen), stride), chosen
    if not isinstance(weights, torch.nn.Module) or not hasattr(weights, "config"):
        raise TypeError(f"weights: expected a path, a name or a network with a config, got {type(weights).__name__}")
    network = _at_stride(weights.eval(), stride)
    if device is None:
        return network, next((parameter.device for parameter in network.parameters()), torch.device("cpu"))
    chosen = find_device(device)
    return network.to(chosen), chosen


def settings_of(network: Any) -> Settings:
    """Return what the network was scored with, as far as it says."""
    settings = getattr(network, "settings", None)
    return settings if isinstance(settings, Settings) else Settings()


def _at_stride(network: Any, stride: int | None) -> Any:
    wanted = settings_of(network).stride if stride is None else stride
    return network if wanted in (None, network.config.stride) else network.at_stride(wanted).eval()
