"""Images for the training log: targets of a batch beside the outputs of the network, both decoded."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from personlab.methods.personlab.decode import decode_masks, decode_poses
from personlab.methods.personlab.fields import Fields
from personlab.methods.personlab.network import to_fields
from personlab.options import DecodeOptions
from personlab.visualize.people import overlay

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from personlab.data.loader import Batch
    from personlab.methods.personlab.network import PersonLab

_MAX_VIEWS = 4  # of a batch, one below the other
_LOGIT = 10.0  # of targets: positive inside, negative outside


def draw_batch(model: PersonLab, batch: Batch, *, disk_radius: float) -> NDArray[np.uint8]:
    """Draw the first views of a batch: decoded targets on the left, decoded outputs of the network on the right."""
    options = DecodeOptions(disk_radius=disk_radius)
    training = model.training
    with torch.no_grad():
        images = batch.images[:_MAX_VIEWS].to(model.pixel_mean.device)
        outputs = to_fields(model.eval()(images), stride=model.config.stride)
    model.train(training)
    rows = []
    for i, image in enumerate(batch.images[:_MAX_VIEWS].cpu().numpy()):
        pixels = np.ascontiguousarray(image.transpose(1, 2, 0))
        pair = (_target_fields(batch, i, model), outputs[i])
        rows.append(np.concatenate([_overlay(pixels, fields, model, options) for fields in pair], axis=1))
    return np.concatenate(rows)


def _target_fields(batch: Batch, i: int, model: PersonLab) -> Fields:
    def array(tensor: torch.Tensor) -> Any:
        return tensor[i].float().cpu().numpy()

    return Fields(
        heatmaps=(array(batch.heatmaps) * 2 - 1) * _LOGIT,
        short_offsets=array(batch.short_offsets),
        mid_offsets=array(batch.mid_offsets),
        segmentation=(array(batch.segmentation) * 2 - 1) * _LOGIT if model.config.masks else None,
        long_offsets=array(batch.long_offsets) if model.config.masks else None,
        stride=model.config.stride,
    )


def _overlay(image: NDArray[np.uint8], fields: Fields, model: PersonLab, options: DecodeOptions) -> NDArray[np.uint8]:
    skeleton = model.config.skeleton
    poses: Any = decode_poses(
        fields.heatmaps, fields.short_offsets, fields.mid_offsets, stride=fields.stride, skeleton=skeleton,
        options=options,
    )  # fmt: skip
    masks: Any = None
    if fields.segmentation is not None:
        masks = decode_masks(
            poses, fields.segmentation, fields.long_offsets, short_offsets=fields.short_offsets, stride=fields.stride,
            size=image.shape[:2],
        )  # fmt: skip
    return overlay(image, poses, masks, skeleton=skeleton)
