"""Images for the training log: targets of a batch beside the outputs of the network."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from personlab.methods.simple_baseline.draw.maps import enlarged, tinted

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from personlab.data.loader import Batch
    from personlab.methods.simple_baseline.network import SimpleBaseline

_MAX_VIEWS = 8  # of a batch, side by side


def draw_batch(model: SimpleBaseline, batch: Batch) -> NDArray[np.uint8]:
    """Draw the heatmaps of the first crops of a batch: targets above, outputs of the network below."""
    training, device = model.training, next(model.parameters()).device
    with torch.no_grad():
        outputs = model.eval()(batch.images[:_MAX_VIEWS].to(device))
    model.train(training)
    columns = []
    for i, pixels in enumerate(batch.images[:_MAX_VIEWS].cpu().numpy()):
        image = np.ascontiguousarray(pixels.transpose(1, 2, 0))
        tops = [maps[i].float().amax(0).cpu().numpy() for maps in (batch.heatmaps, outputs.heatmaps)]
        columns.append(np.concatenate([tinted(image, enlarged(top, image.shape[:2])) for top in tops]))
    return np.concatenate(columns, axis=1)
