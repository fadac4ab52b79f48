"""The loss of training: mean squared difference of heatmaps, of the keypoints that are labelled (section 2)."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

    from personlab.data.loader import Batch
    from personlab.methods.simple_baseline.loss_options import SimpleBaselineLossOptions
    from personlab.methods.simple_baseline.network import Outputs


def map_loss(maps: Tensor, target: Tensor, valid: Tensor) -> Tensor:
    """Return the mean over images, keypoints and cells of (valid (map - target))^2.

    Keypoints that are not valid count as 0 in the mean, as in both originals.

    Args:
        maps: (N, K, h, w), float32.
        target: (N, K, h, w).
        valid: (N, K) 0 or 1.
    """
    return ((maps - target) * valid[:, :, None, None]).square().mean()


def make_losses(options: SimpleBaselineLossOptions) -> Callable[[Outputs, Batch], dict[str, Tensor]]:
    """Return a function from (outputs, batch) to the losses by name: `total` alone."""

    def losses(outputs: Outputs, batch: Batch) -> dict[str, Tensor]:
        return {"total": options.scale * map_loss(outputs.heatmaps.float(), batch.heatmaps, batch.weights)}

    return losses
