"""Images for the training log: targets of a batch beside the outputs of the network."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from personlab.methods.simple_pose.draw.maps import DIM, KEYPOINT, LIMB, enlarged, tinted

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from personlab.data.loader import Batch
    from personlab.methods.simple_pose.network import SimplePose

_MAX_VIEWS = 4  # of a batch, one below the other


def draw_batch(model: SimplePose, batch: Batch) -> NDArray[np.uint8]:
    """Draw the maps of the first views of a batch: targets on the left, outputs of the network on the right."""
    training, device = model.training, next(model.parameters()).device
    with torch.no_grad():
        outputs = model.eval()(batch.images[:_MAX_VIEWS].to(device))
    model.train(training)
    rows = []
    for i, pixels in enumerate(batch.images[:_MAX_VIEWS].cpu().numpy()):
        image = np.ascontiguousarray(pixels.transpose(1, 2, 0))
        pair = []
        for maps in (batch, outputs):
            drawn, dim = image, DIM
            for one, colour in ((maps.limbs, LIMB), (maps.keypoints, KEYPOINT)):
                top = one[i].float().amax(0).cpu().numpy()
                drawn, dim = tinted(drawn, enlarged(top, image.shape[:2]) ** 2, colour, dim), 1.0
            pair.append(drawn)
        rows.append(np.concatenate(pair, axis=1))
    return np.concatenate(rows)
