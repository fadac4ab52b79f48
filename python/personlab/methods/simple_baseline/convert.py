"""Published weights of Simple Baselines as a network: files that torch.save wrote, of which tensors alone are read."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from personlab.methods.base import Weights
from personlab.methods.simple_baseline.config import SimpleBaselineConfig
from personlab.methods.simple_baseline.network import SimpleBaseline
from personlab.nn.pickles import load_state
from personlab.nn.state import check_shapes, describe
from personlab.skeleton import COCO_PERSON, MPII_PERSON

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from torch import Tensor

_FIRST = ("conv1.weight", "deconv_layers.0.weight", "final_layer.weight")
_SKELETONS = {17: COCO_PERSON, 16: MPII_PERSON}  # by number of keypoints
_SIZES = {17: (256, 192), 16: (256, 256)}  # (H, W) of the crops, where the name of the file says no other
_SIZE = re.compile(r"_(\d{2,4})x(\d{2,4})\b")  # in the names of the published files: pose_resnet_50_384x288.pth.tar
_BLOCK = re.compile(r"layer3\.(\d{1,2})\.conv1\.weight")
_BACKBONES = {(6, 1): "resnet34", (2, 1): "resnet18", (6, 4): "resnet50", (23, 4): "resnet101", (36, 4): "resnet152"}


def read_published(path: Path) -> Weights | None:
    """Read the weights of a published network (human-pose-estimation.pytorch), which torch.save wrote.

    The weights alone, or those of a training's checkpoint (`state_dict`), with or without `module.` in their names. No
    code of the file runs: torch's own reader for weights refuses all objects but tensors and plain containers. Weights
    do not tell the styles apart: the network is of style pytorch, as most published ones are. 17 keypoints are COCO's,
    16 are MPII's; crops have the size in the file's name.

    Returns:
        Configuration and weights; None where the file holds something else, or objects that are not read.

    Raises:
        ValueError: weights of such a network that lack some or have others, or other shapes.
    """
    state = load_state(path, entry="state_dict")
    if state is None or any(name not in state for name in _FIRST):
        return None
    try:
        return _network(state, path.name)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{path}: {error}") from None


def _network(state: Mapping[str, Tensor], name: str) -> Weights:
    import torch

    count, channels = (
        _length(state, f"{part}.weight", axis) for part, axis in (("final_layer", 0), ("final_layer", 1))
    )
    if count not in _SKELETONS:
        raise ValueError(f"final_layer.weight: expected 17 keypoints (COCO) or 16 (MPII), got {count}")
    backbone: Any = backbone_of(state)
    size = _SIZES[count]
    if (match := _SIZE.search(name)) is not None:
        size = int(match[1]), int(match[2])
    config = SimpleBaselineConfig(
        backbone=backbone, channels=channels, input_size=size, skeleton=_SKELETONS[count], order="bgr"
    )
    expected = describe(lambda: SimpleBaseline(config))
    # Files from before PyTorch 0.4.1 do not count batches; nothing here reads the count.
    counts = {key: torch.zeros((), dtype=torch.int64) for key in expected if key.endswith("num_batches_tracked")}
    state = {**{key: value for key, value in counts.items() if key not in state}, **state}
    check_shapes({n: v.shape for n, v in expected.items()}, {n: v.shape for n, v in state.items()})
    for key, value in state.items():
        if value.is_floating_point() != expected[key].is_floating_point() or not value.isfinite().all():
            raise ValueError(f"{key}: expected finite weights of type {expected[key].dtype}, got others")
    return Weights(config, {key: value.detach().to(expected[key].dtype).numpy() for key, value in state.items()})


def backbone_of(state: Mapping[str, Tensor]) -> str:
    """Return the name of the ResNet whose weights these are, by its number of blocks and of channels.

    Raises:
        ValueError: none that is known.
    """
    depth = 1 + max((int(match[1]) for key in state if (match := _BLOCK.fullmatch(key))), default=-1)
    expansion = _length(state, "deconv_layers.0.weight", 0) // 512
    if (depth, expansion) not in _BACKBONES:
        raise ValueError(
            f"weights: expected those of a ResNet-18, -34, -50, -101 or -152, got {depth} blocks of layer3"
        )
    return _BACKBONES[depth, expansion]


def _length(state: Mapping[str, Tensor], name: str, axis: int) -> int:
    """Return the length of an axis of a convolution's weights."""
    if state[name].ndim != 4:
        raise ValueError(f"{name}: expected 4 axes, got {state[name].ndim}")
    return int(state[name].shape[axis])
