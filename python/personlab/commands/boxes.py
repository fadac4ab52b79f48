"""The flag --boxes: where methods that look at one person at a time take the boxes of people from."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from personlab.commands.flags import UsageError
from personlab.methods import DEFAULT_METHOD
from personlab.settings import DRAWN

if TYPE_CHECKING:
    from collections.abc import Mapping

    from jsonargparse import ArgumentParser
    from pycocotools.coco import COCO

    from personlab.methods.base import Boxes
    from personlab.predict import Predictor
    from personlab.predict.load import LoadedNetwork

TRUE = "true"
_FILE = ".json"
_DRAWN_FINDER = "drawn-mobilenet-050"  # for networks of drawn people


def add_boxes(parser: ArgumentParser, *, annotated: bool) -> None:
    """Add the flag; `annotated`: whether images come with annotations, whose boxes can be taken."""
    from personlab.weights import default_name

    own = f"; {TRUE}: the annotated boxes" if annotated else ""
    parser.add_argument(
        "--boxes", type=str, metavar="B",
        help="boxes of people, for networks of simple_baseline: a .json file of detections in COCO's format, by image "
        f"id; {DEFAULT_METHOD}: those of the people that a network finds first, {_DRAWN_FINDER} for drawn people, else "
        f"{default_name()}; or such a network, as --weights takes it{own}",
    )  # fmt: skip


def make_finder(config: Any, loaded: LoadedNetwork, *, every_pose: bool, **inputs: Any) -> Predictor | None:
    """Return what finds the boxes for a network; None where they are in a file or annotated, or it needs none.

    Args:
        config: the flags.
        loaded: the network.
        every_pose: whether weak people's boxes count, for average precision.
        inputs: arguments of `Predictor` that both networks share.

    Raises:
        UsageError: no --boxes for a network that takes some, or boxes without effect.
        ImportError, OSError, ValueError: the network that finds people cannot be loaded.
    """
    boxes, name = getattr(config, "boxes", None), loaded.method.name
    if not loaded.method.takes_boxes:
        if boxes is not None:
            raise UsageError(f"--boxes: has no effect on a network of {name}")
        return None
    if boxes is None:
        raise UsageError(
            f"--boxes: expected a file of detections, {DEFAULT_METHOD} or a network that finds people, for {name} "
            "looks at one person at a time, got none"
        )
    if boxes == TRUE or Path(boxes).suffix == _FILE:
        return None
    from personlab.predict import Predictor
    from personlab.predict.load import load_network
    from personlab.weights import default_name

    if boxes == DEFAULT_METHOD:
        boxes = _DRAWN_FINDER if loaded.settings.domain == DRAWN else default_name()
    found = load_network(boxes, device=config.device, engine=config.engine, precision=config.precision)
    if found.method.takes_boxes:
        raise UsageError(f"--boxes: expected a network that finds people, got one of {found.method.name}")
    options = found.method.every_pose if every_pose else None
    return Predictor(found, options=options, **inputs)


def boxes_by_image(config: Any, predictor: Predictor, annotations: COCO | None = None) -> Mapping[int, Boxes] | None:
    """Return the boxes of --boxes by image id; None where the predictor finds them or takes none.

    Raises:
        OSError, ValueError: a file that cannot be read, or is none of detections.
        UsageError: annotated boxes without annotations.
    """
    boxes = getattr(config, "boxes", None)
    if boxes is None or predictor.finder is not None or not predictor.method.takes_boxes:
        return None
    from personlab.predict.boxes import read_boxes, true_boxes

    if boxes != TRUE:
        return read_boxes(boxes)
    if annotations is None:
        raise UsageError(f"--boxes: expected a file or a network, for only `evaluate` has annotations, got {TRUE}")
    return true_boxes(annotations, config.category)
