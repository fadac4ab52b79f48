"""`personlab info`: the installation, for bug reports, or the description of a network."""

from __future__ import annotations

import contextlib
import json
import sys
from typing import TYPE_CHECKING, Any

from personlab.info import build_info
from personlab.methods import DEFAULT_METHOD, method_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from jsonargparse import ArgumentParser

    from personlab.weights import Checkpoint

SUMMARY = "describe the installation, or a network"
USAGE = "[WEIGHTS]"
DESCRIPTION = (
    "Print version, compiler, instruction sets, devices, and the engines that run networks. With WEIGHTS, describe "
    "that network: its architecture, the settings it was scored with, which are the defaults of every command, and its "
    "origin."
)
_SCORING_SETTINGS = ("long_edge", "stride", "disk_radius", "category", "labelled_only", "domain")
_MAX_TEXT = 400  # characters of one value
_MAX_LIST = 8  # entries of a list that are shown


def add_arguments(parser: ArgumentParser) -> None:
    """Add the arguments of the command."""
    parser.add_argument(
        "weights", type=str, nargs="?", metavar="WEIGHTS",
        help="network: a .safetensors file, a tfjs model, an .onnx file of BodyPix, or a name",
    )  # fmt: skip


def run(config: Any) -> None:
    """Print facts about the installation, or about a network, as aligned lines.

    Raises:
        ImportError, OSError, ValueError: the network cannot be loaded.
    """
    if config.weights is None:
        from personlab.predict.engines.survey import describe_engines

        facts = build_info() | {f"engine {name}": text for name, text in describe_engines().items()}
    else:
        from personlab.weights import load_source

        facts = {"weights": config.weights, **describe(load_source(config.weights))}
    width = max(map(len, facts))
    for name, value in facts.items():
        sys.stdout.write(f"{_text(name):<{width}}  {value}\n")


def describe(checkpoint: Checkpoint) -> dict[str, str]:
    """Return facts about a checkpoint's network: architecture, settings it was scored with, origin."""
    model, settings, metadata = checkpoint.model, checkpoint.settings, dict(checkpoint.metadata)
    method, skeleton = method_of(model), model.config.skeleton
    own = {} if method.describe is None else dict(method.describe(model.config))
    facts = {} if method.name == DEFAULT_METHOD else {"method": method.name}
    facts |= {"backbone": own.pop("backbone")} if "backbone" in own else {}
    facts |= {
        "parameters": f"{sum(parameter.numel() for parameter in model.parameters()):,}",
        "stride": f"{model.config.stride}",
        "keypoints": f"{skeleton.n_keypoints}: {', '.join(map(_text, skeleton.names))}",
        "edges": f"{skeleton.n_edges}: {', '.join(f'{a}-{b}' for a, b in _edge_names(checkpoint))}",
        **own,
        "scored with": _text(str(settings)) or "unknown",
        "trained on": _text(settings.domain or "unknown"),
    }
    facts |= {_label(name): _text(value) for name, value in settings.to_dict().items() if name not in _SCORING_SETTINGS}
    if isinstance(metadata.get("scores"), dict):
        facts["scores"] = ", ".join(f"{_label(name)} {_text(value)}" for name, value in metadata.pop("scores").items())
    trained = _unusual(metadata.pop("train")) if isinstance(metadata.get("train"), dict) else {}
    facts |= {_label(name): _text(value) for name, value in metadata.items()}
    facts |= {f"train {name}": _text(value) for name, value in trained.items()}
    return {name: value[:_MAX_TEXT] + "..." * (len(value) > _MAX_TEXT) for name, value in facts.items()}


def _edge_names(checkpoint: Checkpoint) -> list[tuple[str, str]]:
    skeleton = checkpoint.model.config.skeleton
    return [(_text(skeleton.names[a]), _text(skeleton.names[b])) for a, b in skeleton.edges]


def _unusual(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings of a run that differ from the defaults, by the names of their flags."""
    from personlab.train.config import TrainConfig
    from personlab.train.read_config import flattened

    stored = flattened(values)
    try:
        defaults = TrainConfig(method=values.get("method", DEFAULT_METHOD))
    except (TypeError, ValueError):  # a method of another version
        defaults = TrainConfig()
    usual = flattened(json.loads(defaults.to_json()))
    with contextlib.suppress(TypeError, ValueError):  # settings of another version are shown as they are
        read = flattened(json.loads(TrainConfig.from_json(json.dumps(values)).to_json()))
        stored = {name: read[name] for name in stored}
    return {name: value for name, value in stored.items() if name not in usual or usual[name] != value}


def _label(name: str) -> str:
    return _text(name).replace("_ap", " AP").replace("_", " ")


def _text(value: Any) -> str:
    """Return a JSON value in one line that a terminal shows as it is."""
    if isinstance(value, dict):
        return ", ".join(f"{_text(name)} {_text(one)}" for name, one in value.items())
    if isinstance(value, list):
        shown = [_text(one) for one in value[:_MAX_LIST]]
        more = [f"{len(value) - _MAX_LIST} more"] * (len(value) > _MAX_LIST)
        return f"[{', '.join([*shown, *more])}]"
    if isinstance(value, float):
        return f"{value:.6g}"
    text = value if isinstance(value, str) else json.dumps(value)
    return "".join(letter if letter.isprintable() else " " for letter in text)
