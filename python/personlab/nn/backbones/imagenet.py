"""ImageNet weights into a ResNet, from a state dict as torchvision names it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from personlab.nn.backbones.resnet import ResNet

if TYPE_CHECKING:
    from torch import Tensor

_LAYERS = ("conv1", "bn1", "layer1", "layer2", "layer3", "layer4")


def load_imagenet(model: Any, state: Mapping[str, Tensor] | str | os.PathLike[str]) -> None:
    """Copy torchvision's weights of the same ResNet into a network's backbone; its heads stay as they are.

    Args:
        model: a network whose `backbone` is a ResNet with batch norm, or which has the layers of one itself.
        state: torchvision's state dict, or a safetensors file of it; the classifier `fc` is not read. Pickles are not
            either: loading one runs the code in it. `safetensors.torch.save_file(torchvision_model.state_dict(),
            path)` makes the file.

    Raises:
        FileNotFoundError: no such file.
        TypeError: `state` is neither.
        ValueError: not a safetensors file, another backbone, or a weight is missing, unknown or of another shape;
            nothing is copied then.
    """
    layers = _layers_of(model)
    if layers is None:
        got = f"{model.config.backbone} with norm {getattr(model.config, 'norm', 'batch')}"
        raise ValueError(f"model: expected a ResNet with batch norm, got {got}")
    if isinstance(state, (str, os.PathLike)):
        state = _read(Path(state))
    if not isinstance(state, Mapping):
        raise TypeError(f"state: expected a state dict or the path of a safetensors file, got {type(state).__name__}")
    # the tensors themselves, not copies
    ours = {f"{name}.{key}": value for name, layer in layers.items() for key, value in layer.state_dict().items()}
    theirs = {name: value for name, value in state.items() if not name.startswith("fc.")}
    # Files from before PyTorch 0.4.1 do not count batches; nothing here reads the count.
    missing = [name for name in ours if name not in theirs and not name.endswith("num_batches_tracked")]
    unknown = [name for name in theirs if name not in ours]
    if missing or unknown:
        raise ValueError(f"state: no weights of a {model.config.backbone}: {_named(missing, unknown)}")
    for name, value in theirs.items():
        if value.shape != ours[name].shape:
            raise ValueError(f"state: expected {name} of shape {tuple(ours[name].shape)}, got {tuple(value.shape)}")
    with torch.no_grad():
        for name, value in theirs.items():
            ours[name].copy_(value)


def _layers_of(model: Any) -> dict[str, Any] | None:
    """Return the layers of a network's ResNet by name; None where it has none, or one without batch norm."""
    if isinstance(model.backbone, ResNet):
        return dict(model.backbone.named_children()) if model.config.norm == "batch" else None
    own = {name: layer for name, layer in model.named_children() if name in _LAYERS}
    return own if len(own) == len(_LAYERS) else None


def _read(path: Path) -> dict[str, Tensor]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    from personlab.io.limits import check_header

    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file")
    check_header(path)
    try:
        return load_file(path)
    except SafetensorError as error:
        raise ValueError(f"{path}: not a safetensors file ({error}); pickles are not read") from None


def _named(missing: list[str], unknown: list[str]) -> str:
    lists = (("missing", missing), ("unknown", unknown))
    return ", ".join(f"{len(names)} {kind} ({names[0]} first)" for kind, names in lists if names)
