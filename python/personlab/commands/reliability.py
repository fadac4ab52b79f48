"""`personlab evaluate --reliability` and `--calibrate`: how instance scores compare with OKS, and their calibration."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, TextIO

from personlab.commands.flags import UsageError
from personlab.commands.json_flag import table_stream
from personlab.io.console import log, write_table
from personlab.io.files import check_folder
from personlab.io.images import check_image_name

if TYPE_CHECKING:
    from jsonargparse import ArgumentParser
    from pycocotools.coco import COCO

    from personlab.calibration import Calibration
    from personlab.metrics.reliability import ScoredPoses
    from personlab.predict import Predictor
    from personlab.predict.dataset import Results


def add_arguments(parser: ArgumentParser) -> None:
    """Add the flags of reliability and calibration."""
    group = parser.add_argument_group("reliability of scores")
    group.add_argument(
        "--reliability", type=str, metavar="PNG",
        help="print the mean OKS of poses in bins of their score, for the last setting, and draw it to this file",
    )  # fmt: skip
    group.add_argument(
        "--calibrate", type=str, metavar="OUT",
        help="fit a monotone map from instance scores to expected OKS, and write the network with it to OUT "
        "(.safetensors; may be the file of --weights): the scores of that network are expected OKS",
    )  # fmt: skip


def check(config: Any) -> None:
    """Check the flags before a network runs.

    Raises:
        FileNotFoundError: a folder to write to does not exist.
        UsageError: flags that exclude each other.
        ValueError: a file name with the wrong ending.
    """
    for name in ("reliability", "calibrate"):
        path = getattr(config, name)
        if path and config.ceiling:
            raise UsageError(f"--{name}: has no effect with --ceiling")
        if path:
            check_folder(path)
    if config.reliability:
        check_image_name(config.reliability)
    if config.calibrate:
        from personlab.weights.checkpoint import check_name

        check_name(config.calibrate)


def run(config: Any, annotations: COCO, results: Results, predictor: Predictor) -> None:
    """Compare a network's poses with annotations, print and draw their reliability, and write the network calibrated.

    Args:
        config: of `personlab evaluate`.
        annotations: to compare the results with.
        results: of the predictor, not calibrated with --calibrate.
        predictor: the network.

    Raises:
        OSError: a file cannot be written.
        ValueError: too few poses, or scores unrelated to their quality.
    """
    from personlab.metrics.calibration import fit_calibration
    from personlab.metrics.reliability import judge_poses

    if not (config.reliability or config.calibrate):
        return
    poses = judge_poses(annotations, results.keypoints, sigmas=predictor.skeleton.sigmas, category=config.category)
    sets = {"calibrated" if predictor.calibration is not None else "as decoded": poses}
    if config.calibrate:
        calibration = fit_calibration(poses.scores, poses.oks, options=predictor.options)
        sets["calibrated on these images"] = poses._replace(scores=calibration(poses.scores).astype(float))
    if config.reliability:
        _show(config.reliability, sets, table_stream(config.json))
    if config.calibrate:
        _save(config, calibration, predictor)


def _show(path: str, sets: dict[str, ScoredPoses], stream: TextIO) -> None:
    from personlab.metrics.reliability import bin_poses
    from personlab.visualize import write_image
    from personlab.visualize.reliability import draw_reliability

    curves = {name: bin_poses(poses) for name, poses in sets.items()}
    rows = [
        [name, f"{b.low:.1f} .. {b.high:.1f}", f"{b.poses}", *([f"{b.score:.3f}", f"{b.oks:.3f}"] if b.poses else "--")]
        for name, bins in curves.items()
        for b in bins
    ]
    write_table(["scores", "bin", "poses", "mean score", "mean OKS"], rows, stream)
    write_image(path, draw_reliability(curves))
    log(f"wrote {path}")


def _save(config: Any, calibration: Calibration, predictor: Predictor) -> None:
    from personlab.weights import load_source, save_model

    source = load_source(config.weights, stride=predictor.stride)
    source.model.settings = replace(
        source.settings, long_edge=predictor.long_edge, stride=predictor.stride, calibration=calibration
    )
    save_model(source.model, config.calibrate, source.metadata)
    knots = zip(calibration.scores, calibration.expected_oks, strict=True)
    log(f"wrote {config.calibrate}: score to expected OKS " + ", ".join(f"{s:.3f} {oks:.3f}" for s, oks in knots))
