"""The network a run begins with: new, from published or own weights, or with a backbone from ImageNet."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from personlab.nn import ModelConfig, PersonLab, load_imagenet

if TYPE_CHECKING:
    from personlab.skeleton import Skeleton
    from personlab.train.config import NetworkOptions

_HEADS = ("heads.", "intermediate_heads.")


def make_network(options: NetworkOptions, skeleton: Skeleton, *, has_masks: bool) -> PersonLab:
    """The network that the options ask for, in training mode.

    Args:
        options: what to train.
        skeleton: keypoints and edges of the data.
        has_masks: whether the data has masks; without, and unless asked for, there are no heads for them.

    Raises:
        ImportError, OSError: the weights cannot be loaded.
        ValueError: options at odds with the weights, or masks asked for that the data lacks.
    """
    names = ("backbone", "width", "stride", "masks", "refine_steps", "intermediate")
    asked: dict[str, Any] = {name: getattr(options, name) for name in names if getattr(options, name) is not None}
    if asked.get("masks") and not has_masks:
        raise ValueError("network.masks: expected data with masks, got none")
    if options.imagenet is not None and asked.get("backbone", "mobilenet_v1") == "mobilenet_v1":
        raise ValueError("network.imagenet: expected network.backbone to be a ResNet, got mobilenet_v1")
    if options.weights is None:
        model = PersonLab(ModelConfig(**{"masks": has_masks, **asked}, skeleton=skeleton))
    else:
        model = _started(options.weights, asked, skeleton, has_masks=has_masks)
    if options.imagenet is not None:
        if options.weights is not None:
            raise ValueError("network: expected either weights or imagenet, got both")
        load_imagenet(model, options.imagenet)
    return model.train()


def _started(weights: str, asked: dict[str, Any], skeleton: Skeleton, *, has_masks: bool) -> PersonLab:
    from personlab.weights import load_model

    source = load_model(weights)
    for name in ("backbone", "width"):
        own = getattr(source.config, name)
        if asked.get(name, own) != own:
            raise ValueError(f"network.{name}: expected {own} as in the weights, got {asked[name]}")
    masks = {"masks": source.config.masks and has_masks}  # heads that nothing teaches are left out
    model = PersonLab(replace(source.config, skeleton=skeleton, **{**masks, **asked}))
    state, theirs = source.state_dict(), source.config.skeleton
    if (theirs.names, theirs.edges) != (skeleton.names, skeleton.edges):
        state = {name: value for name, value in state.items() if not name.startswith(_HEADS)}
    ours = model.state_dict()
    missing, _ = model.load_state_dict({name: value for name, value in state.items() if name in ours}, strict=False)
    if wrong := [name for name in missing if not name.startswith(_HEADS)]:
        raise ValueError(f"network.weights: {weights} lacks {wrong[0]}")
    return model


def freeze_norms(model: nn.Module) -> None:
    """Batch norm by the statistics it has: nothing in it moves any more, not in training mode either."""
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.eval()
            module.requires_grad_(False)


def parameter_groups(model: PersonLab, *, rate: float, head_rate: float, weight_decay: float) -> list[dict[str, Any]]:
    """Parameters for an optimiser: heads at their own rate, no decay on biases and norms. In a fixed order."""
    groups: dict[tuple[bool, bool], list[torch.Tensor]] = {}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            groups.setdefault((name.startswith(_HEADS), parameter.ndim > 1), []).append(parameter)
    return [
        {
            "params": groups[key],
            "lr": rate * (head_rate if key[0] else 1.0),
            "weight_decay": weight_decay if key[1] else 0.0,
        }
        for key in sorted(groups)
    ]
