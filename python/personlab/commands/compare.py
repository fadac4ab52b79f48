"""`personlab evaluate --compare`: which settings or networks are scored, and how their average precision differs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TextIO

import numpy as np

from personlab.commands import network
from personlab.commands.flags import UsageError
from personlab.io.console import log, write_table

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from jsonargparse import ArgumentParser
    from numpy.typing import NDArray
    from pycocotools.coco import COCO

    from personlab.metrics.bootstrap import Matches
    from personlab.metrics.coco import Precision
    from personlab.predict.dataset import Results

    Drawn = tuple[Precision, NDArray[np.float64]]  # a summary, and (B, 3) under each resample

_SEVERAL = (0.75, 1.0, 1.5)  # scales of --compare without --scales
_RESAMPLES = 1000
_LEVEL = 0.95
_LABELS = {"ap": "AP", "ap50": "AP50", "ap75": "AP75"}
_KINDS = {"keypoint": "keypoints", "mask": "segm"}


class Column(NamedTuple):
    """What is scored: a network in a setting."""

    name: str  # in the table
    weights: str
    scales: tuple[float, ...]
    flip: bool


def add_arguments(parser: ArgumentParser) -> None:
    """Add the flag --compare."""
    parser.add_argument(
        "--compare", type=str, nargs="*", metavar="W",
        help="without a value: also score a single scale, beside the setting of the other flags, or scales 0.75 1 1.5 "
        "+ flip; with networks, as --weights takes them: score each beside that of --weights, if given, and print "
        f"differences from the first with {_LEVEL:.0%} intervals (bootstrap over images)",
    )  # fmt: skip


def check(config: Any) -> None:
    """Check the flags before a network runs, and name the first network in `weights`.

    Raises:
        UsageError: networks that cannot be compared.
    """
    if not config.compare:
        return
    if config.ceiling:
        raise UsageError("--compare: has no effect with --ceiling")
    if config.calibrate:
        raise UsageError("--calibrate: expected one network, got --compare with others")
    if not config.weights:
        config.weights, *config.compare = config.compare
    if not config.compare:
        raise UsageError("--compare: expected two networks, with that of --weights, or no value, got one network")


def columns(config: Any) -> list[Column]:
    """Return what is scored, from left to right."""
    single = ((1.0,), False)
    asked = (tuple(config.scales or (1.0,)), bool(config.flip))
    if config.compare:
        networks = [config.weights, *config.compare]
        return [Column(name, one, *asked) for name, one in zip(_names(networks), networks, strict=True)]
    settings = [asked]
    if config.compare is not None:
        settings = [single, asked if asked != single else (_SEVERAL, True)]
    return [Column(network.describe_setting(*setting), config.weights, *setting) for setting in settings]


def _names(networks: Sequence[str]) -> list[str]:
    """Return the shortest ends of paths that tell networks from each other."""
    parts = [Path(one).parts for one in networks]
    for count in range(1, max(map(len, parts)) + 1):
        names = [str(Path(*one[-count:])) for one in parts]
        if len(set(names)) == len(names):
            return names
    return [f"{one} ({number})" for number, one in enumerate(networks, 1)]  # one of them twice


def write_differences(
    config: Any, annotations: COCO, results: Mapping[str, Results], sigmas: Sequence[float], stream: TextIO
) -> None:
    """Print the average precision of each network with its interval, and its difference from the first.

    Args:
        config: of `personlab evaluate`.
        annotations: to compare with.
        results: by name of the network.
        sigmas: of the skeleton.
        stream: for the table.
    """
    from personlab.metrics.bootstrap import bootstrap, differences, find_matches, resample_images
    from personlab.metrics.coco import has_labels, has_outlines

    labelled = {"keypoint": has_labels(annotations), "mask": has_outlines(annotations)}
    rows = []
    weights = resample_images(len(annotations.imgs), resamples=_RESAMPLES)
    log(f"bootstrap: {_RESAMPLES} resamples of {len(annotations.imgs)} images")
    for kind, coco in _KINDS.items():
        listed = {name: one.keypoints if kind == "keypoint" else one.masks for name, one in results.items()}
        first: Drawn | None = None
        for name, own in listed.items():
            if not labelled[kind] or not own:
                continue
            matches: Matches = find_matches(annotations, own, coco, sigmas=sigmas, category=config.category)  # type: ignore[arg-type]
            drawn = matches.average_precision(), bootstrap(matches, weights)
            tails = np.nanpercentile(drawn[1], [50 * (1 - _LEVEL), 50 * (1 + _LEVEL)], axis=0)
            apart = None if first is None else differences(drawn, first, level=_LEVEL)
            for n, (statistic, label) in enumerate(_LABELS.items()):
                value = f"{getattr(drawn[0], statistic):.3f} [{tails[0, n]:.3f}, {tails[1, n]:.3f}]"
                rows.append([name, f"{kind} {label}", value, "" if apart is None else str(apart[statistic])])
            first = first or drawn
    write_table(["network", "", f"value [{_LEVEL:.0%} interval]", "minus the first [interval]"], rows, stream)
