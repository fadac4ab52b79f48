"""Networks in PyTorch, on any of its devices."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray


class TorchEngine:
    """Runs a module in evaluation mode.

    Args:
        network: images (N, 3, H, W) float32 RGB 0..255 -> an object with the outputs as attributes.
        device: where it is.
        autocast: compute in 16 bits where PyTorch deems it safe.
    """

    def __init__(self, network: Any, device: torch.device, *, autocast: bool = False) -> None:
        self.network, self.device, self.autocast = network, device, autocast
        self.streams = 1  # PyTorch's own threads run a layer together

    @torch.inference_mode()
    def run(self, images: NDArray[np.uint8], names: Sequence[str]) -> dict[str, torch.Tensor]:
        """Return outputs by name, float32 on the device; those that are None are left out.

        Args:
            images: (N, H, W, 3) RGB.
            names: of the attributes that are wanted.
        """
        pixels = torch.from_numpy(np.ascontiguousarray(images)).to(self.device).permute(0, 3, 1, 2).float()
        with torch.autocast(self.device.type, enabled=self.autocast):
            outputs = self.network(pixels)
        tensors = {name: getattr(outputs, name, None) for name in names}
        return {name: tensor.float() for name, tensor in tensors.items() if tensor is not None}
