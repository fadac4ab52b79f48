"""Drawings of maps: keypoints and limbs over the image, and targets of a batch beside the outputs of the network."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from personlab.io.imaging import imaging_library
from personlab.io.reduced import Along
from personlab.visualize.people import overlay

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from personlab.data.loader import Batch
    from personlab.methods.simple_pose.fields import SimplePoseFields
    from personlab.methods.simple_pose.network import SimplePose

    Image = NDArray[np.uint8]  # (H, W, 3) RGB

_MAX_VIEWS = 4  # of a batch, one below the other
_KEYPOINT, _LIMB = np.array([255, 96, 32.0]), np.array([32, 160, 255.0])  # RGB at a map's max
_DIM = 0.45  # factor on the image under the maps


def draw_fields(
    fields: SimplePoseFields, image: Image, poses: Any, masks: Any = None, *, options: Any, skeleton: Any
) -> dict[str, Image]:
    """Return drawings by name: all keypoints' maps in one, all limbs' in one, and the people.

    Args:
        fields: maps of the image.
        image: (H, W, 3) RGB.
        poses: its people, in pixels of the image.
        masks: none.
        options: of decoding.
        skeleton: of the people.
    """
    del masks, options
    keypoints, limbs = (_on_image(fields, one.max(axis=0, initial=0.0)) for one in (fields.keypoints, fields.limbs))
    return {
        "keypoints": _tinted(image, keypoints, _KEYPOINT),
        "limbs": _tinted(image, limbs, _LIMB),
        "people": overlay(image, poses, None, skeleton=skeleton),
    }


def draw_batch(model: SimplePose, batch: Batch) -> Image:
    """Draw the maps of the first views of a batch: targets on the left, outputs of the network on the right."""
    import torch

    training, device = model.training, next(model.parameters()).device
    with torch.no_grad():
        outputs = model.eval()(batch.images[:_MAX_VIEWS].to(device))
    model.train(training)
    rows = []
    for i, pixels in enumerate(batch.images[:_MAX_VIEWS].cpu().numpy()):
        image = np.ascontiguousarray(pixels.transpose(1, 2, 0))
        pair = []
        for maps in (batch, outputs):
            drawn, dim = image, _DIM
            for one, colour in ((maps.limbs, _LIMB), (maps.keypoints, _KEYPOINT)):
                top = one[i].float().amax(0).cpu().numpy()
                drawn, dim = _tinted(drawn, _enlarged(top, image.shape[:2]) ** 2, colour, dim), 1.0
            pair.append(drawn)
        rows.append(np.concatenate(pair, axis=1))
    return np.concatenate(rows)


def _on_image(fields: SimplePoseFields, values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return a map (h, w) at the pixels (H, W) of its image, bilinearly."""
    grid = fields.grid
    whole = _enlarged(values, (values.shape[0] * grid.stride, values.shape[1] * grid.stride))
    return _enlarged(whole[: grid.input_size[0], : grid.input_size[1]], grid.size)


def _enlarged(values: NDArray[np.float32], size: tuple[int, ...]) -> NDArray[np.float32]:
    along = [Along(old / new, 0.5 * old / new - 0.5) for old, new in zip(values.shape, size, strict=True)]
    return imaging_library().sample_field(np.ascontiguousarray(values), (size[1], size[0]), along[1], along[0])


def _tinted(image: Image, values: NDArray[np.float32], colour: NDArray[np.float64], dim: float = _DIM) -> Image:
    """Blend a colour over an image, by values 0..1."""
    share = np.clip(values, 0, 1)[..., None]
    return np.asarray(np.rint(image * dim * (1 - share) + colour * share).clip(0, 255), np.uint8)
