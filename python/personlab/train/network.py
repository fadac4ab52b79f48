"""The network a run begins with: new, from published or own weights, or with a backbone from ImageNet."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from personlab.nn.backbones.imagenet import load_imagenet
from personlab.nn.state import fill

if TYPE_CHECKING:
    from collections.abc import Mapping

    from personlab.methods import Method
    from personlab.skeleton import Skeleton
    from personlab.train.config import NetworkOptions

_BACKBONE = "backbone."  # of the names of parameters; all others are heads, unless the network says which are
# options that are no fields of a network's configuration
_STARTS = ("weights", "imagenet", "backbone_weights")
_NOT_CONFIG = (*_STARTS, "mean_with", "freeze_norm", "freeze", "fit_heads", "fit_images", "ridge")


def make_network(
    method: Method,
    options: NetworkOptions,
    skeleton: Skeleton,
    *,
    has_masks: bool,
    known: Mapping[str, Any] | None = None,
) -> Any:
    """Make the network that the options ask for, in training mode.

    Args:
        method: whose network.
        options: what to train.
        skeleton: keypoints and edges of the data.
        has_masks: whether the data has masks; without, the network has no heads for them.
        known: fields of its configuration that other settings say.

    Raises:
        ImportError, OSError: the weights cannot be loaded.
        ValueError: options at odds with the method or the weights, or masks asked for that the data lacks.
    """
    names = [field.name for field in fields(options) if field.name not in _NOT_CONFIG]
    asked: dict[str, Any] = {name: getattr(options, name) for name in names if getattr(options, name) is not None}
    fits = {field.name for field in fields(method.config)}
    if unknown := [name for name in asked if name not in fits]:
        raise ValueError(f"network.{unknown[0]}: expected none, for networks of {method.name} have no such option")
    if asked.get("masks") and not has_masks:
        raise ValueError("network.masks: expected data with masks, got none")
    asked |= known or {}
    starts = [name for name in _STARTS if getattr(options, name) is not None]
    if len(starts) > 1:
        raise ValueError(f"network: expected either {' or '.join(starts)}, got both")
    if options.mean_with and options.weights is None:
        raise ValueError("network.mean_with: expected network.weights beside it, got none")
    if options.weights is None:
        masks = {"masks": has_masks} if "masks" in fits else {}
        model = method.network(method.config(**{**masks, **asked}, skeleton=skeleton))
    else:
        source = _mean(method, (options.weights, *options.mean_with))
        model = _started(method, source, options.weights, asked, skeleton, has_masks=has_masks)
    if options.backbone_weights is not None:
        _fill_backbone(model, options.backbone_weights)
    if options.imagenet is not None:
        if not model.config.backbone.startswith("resnet"):
            raise ValueError(f"network.imagenet: expected network.backbone to be a ResNet, got {model.config.backbone}")
        load_imagenet(model, options.imagenet)
    start_training(model, options)
    return model


def _mean(method: Method, sources: tuple[str, ...]) -> Any:
    """Return the network of these weights, or of the mean of several."""
    from personlab.weights import load_model, load_stored
    from personlab.weights.mean import mean_weights

    model = load_model(sources[0], method=method)
    if len(sources) > 1:
        stored = [load_stored(source, method=method).weights for source in sources]
        fill(model, mean_weights(stored, sources).state)
    return model


def _started(
    method: Method, source: Any, weights: str, asked: dict[str, Any], skeleton: Skeleton, *, has_masks: bool
) -> Any:
    for name in ("backbone", "width", "stacks", "channels", "increase", "style"):
        if name in asked and asked[name] != (own := getattr(source.config, name)):
            raise ValueError(f"network.{name}: expected {own} as in the weights, got {asked[name]}")
    if hasattr(source.config, "masks"):  # heads that nothing teaches are left out
        asked = {"masks": source.config.masks and has_masks, **asked}
    model = method.network(replace(source.config, skeleton=skeleton, **asked))
    state, theirs = source.state_dict(), source.config.skeleton
    if (theirs.names, theirs.edges) != (skeleton.names, skeleton.edges):
        state = {name: value for name, value in state.items() if not _is_head(model, name)}
    ours = model.state_dict()
    missing, _ = model.load_state_dict({name: value for name, value in state.items() if name in ours}, strict=False)
    if wrong := [name for name in missing if not _is_head(model, name)]:
        raise ValueError(f"network.weights: {weights} lacks {wrong[0]}")
    return model


def _fill_backbone(model: Any, weights: str) -> None:
    """Copy the backbone of a network of any method, its statistics of batch norm too."""
    from personlab.weights import load_model

    own, theirs = (
        {name: value for name, value in one.state_dict().items() if name.startswith(_BACKBONE)}
        for one in (model, load_model(weights))
    )
    if not own or {n: v.shape for n, v in own.items()} != {n: v.shape for n, v in theirs.items()}:
        expected = f"{model.config.backbone} of the same width" if own else "none, for its layers have other names"
        raise ValueError(f"network.backbone_weights: expected {expected}, got {weights}")
    with torch.no_grad():
        for name, value in own.items():
            value.copy_(theirs[name])


def _is_head(model: Any, name: str) -> bool:
    """Return whether a parameter belongs to a head: named in the network's `heads`, else outside of its backbone."""
    heads = getattr(model, "heads", None)
    if isinstance(heads, tuple):
        return name.split(".", maxsplit=1)[0] in heads
    return not name.startswith(_BACKBONE)


def start_training(model: nn.Module, options: NetworkOptions) -> None:
    """Put a network into training mode, but for what is frozen: parts by name, and batch norm where it is.

    Frozen batch norm keeps the statistics that it has.

    Raises:
        ValueError: a part that the network does not have, or nothing left to train.
    """
    model.train()
    names = [name.split(".") for name, _ in model.named_parameters()]
    for part in options.freeze:
        if not any(part in name for name in names):
            parts = dict.fromkeys(word for name in names for word in name[: 1 if name[0] == "backbone" else -1])
            raise ValueError(f"network.freeze: expected some of {', '.join(parts)}, got {part}")
    for name, parameter in model.named_parameters():
        if any(part in name.split(".") for part in options.freeze):
            parameter.requires_grad_(False)
    for name, module in model.named_modules():
        frozen = options.freeze_norm or any(part in name.split(".") for part in options.freeze)
        if frozen and isinstance(module, (nn.BatchNorm2d, nn.SyncBatchNorm)):
            module.eval()
            module.requires_grad_(False)
    if not any(parameter.requires_grad for parameter in model.parameters()):
        raise ValueError(f"network.freeze: expected something left to train, got {', '.join(options.freeze)}")


def parameter_groups(model: nn.Module, *, rate: float, head_rate: float, weight_decay: float) -> list[dict[str, Any]]:
    """Return parameters for an optimiser, in a fixed order: heads at their own rate, no decay on biases and norms."""
    groups: dict[tuple[bool, bool], list[torch.Tensor]] = {}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            groups.setdefault((_is_head(model, name), parameter.ndim > 1), []).append(parameter)
    return [
        {
            "params": groups[key],
            "lr": rate * (head_rate if key[0] else 1.0),
            "weight_decay": weight_decay if key[1] else 0.0,
        }
        for key in sorted(groups)
    ]
