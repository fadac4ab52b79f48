"""`personlab evaluate`: COCO's average precision of a network, setting beside setting, or of the encoding."""

from __future__ import annotations

import dataclasses
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TextIO

from personlab.commands import compare, metric, network, reliability
from personlab.commands.boxes import add_boxes, boxes_by_image
from personlab.commands.flags import UsageError
from personlab.commands.json_flag import result_files, table_stream
from personlab.io.console import describe_failure, log, progress_bar, warnings_as_lines, write_table
from personlab.io.files import check_folder, real_path
from personlab.io.results import write_results
from personlab.methods import DEFAULT_METHOD, get_method

if TYPE_CHECKING:
    from collections.abc import Iterator

    from jsonargparse import ArgumentParser
    from pycocotools.coco import COCO

    from personlab.data.annotations import Annotations
    from personlab.methods import Method
    from personlab.methods.base import Ceiling
    from personlab.predict import Predictor
    from personlab.predict.dataset import Results
    from personlab.skeleton import Skeleton

SUMMARY = "score a network, or results, on annotated images (COCO's average precision and others)"
USAGE = "--annotations FILE (--images DIR --weights W | --ceiling | --results FILE) [options]"
DESCRIPTION = (
    "Print COCO's average precision of keypoints and, if the network has them, of person masks, and the time of each "
    "stage. Poses of any score count, unless --decode.min_score is set. Other figures: --metric."
)
_METHOD = get_method(DEFAULT_METHOD)
_EVERY_POSE, _POSENET = _METHOD.every_pose, _METHOD.presets["posenet"][1]


def add_arguments(parser: ArgumentParser) -> None:
    """Add the arguments of the command."""
    from jsonargparse import ActionYesNo

    parser.add_argument(
        "--annotations",
        type=str,
        required=True,
        metavar="FILE",
        help="COCO's person_keypoints JSON, or a file of that format",
    )
    parser.add_argument("--images", type=str, metavar="DIR", help="folder with the images that the annotations name")
    parser.add_argument(
        "--ceiling", action="store_true",
        help="score the annotations themselves, encoded and decoded, in place of a network: the max that a network can "
        "reach, of --method, at strides 8 and 16 for personlab unless --stride is set; for simple_pose at 4 and 8, of "
        "images 640 pixels high unless --long-edge is set",
    )  # fmt: skip
    parser.add_argument(
        "--category", type=str, metavar="NAME",
        help="name or number of the people's category; if no category has that name, the one with keypoints and "
        "annotations [the network's, else person]",
    )  # fmt: skip
    parser.add_argument(
        "--labelled-only", action=ActionYesNo(no_prefix="no-"), default=None,
        help="leave out images without labelled keypoints, where every detection counts as wrong [as the network was "
        "scored, else no]",
    )  # fmt: skip
    parser.add_argument(
        "--only", type=str, metavar="FILE",
        help="score only the images whose ids this file lists, one on each line, or a list of the package",
    )  # fmt: skip
    compare.add_arguments(parser)
    parser.add_argument(
        "--json", type=str, metavar="FILE",
        help="write the results of the last setting for COCO's server: keypoints to this file, masks to a file beside "
        "it that ends in .masks.json; - stands for standard output, which gets the list of keypoint results or, if "
        'there are masks, an object of two lists, "keypoints" and "masks", and leaves tables to standard error',
    )  # fmt: skip
    parser.add_argument(
        "--evaluator", type=Literal["pycocotools", "hotcoco"], default="pycocotools", metavar="NAME",
        help="package that computes average precision: pycocotools, or hotcoco, which gives the same numbers faster",
    )  # fmt: skip
    metric.add_arguments(parser)
    reliability.add_arguments(parser)
    add_boxes(parser, annotated=True)
    network.add_network(parser)
    network.add_decoding(parser, _EVERY_POSE, _POSENET)
    network.add_other_decoding(parser, _EVERY_POSE)


def run(config: Any) -> None:
    """Score each setting and print them side by side.

    Raises:
        UsageError: neither --weights nor --ceiling, or both, or no --images for a network.
        ValueError: some images could not be read; the others are scored.
    """
    from personlab.metrics.coco import index_for_scoring

    _check(config)
    if config.results:
        metric.run(config)
        return
    method = get_method(config.method or DEFAULT_METHOD)
    ceiling = network.required(method, "ceiling", "a ceiling") if config.ceiling else None
    _fill_in_settings(config)
    read = _read(config)
    annotations = index_for_scoring(read, config.labelled_only)
    if ceiling is not None:
        _run_ceiling(config, read, annotations, method, ceiling)
        return
    if not Path(config.images).is_dir():
        raise FileNotFoundError(f"{config.images}: no such folder")
    read.names()  # raises if one is missing
    results: dict[str, Results] = {}
    scored: dict[str, dict[str, str]] = {}
    skeleton = loaded = None
    for name, predictor in _predictors(config):
        if skeleton is None:
            skeleton = predictor.skeleton
            annotations = index_for_scoring(read.of_skeleton(skeleton), config.labelled_only)
        if predictor.skeleton.names != skeleton.names:
            raise ValueError(f"{name}: expected the keypoints of {config.weights}, got others")
        if predictor.loaded is not loaded:
            loaded = predictor.loaded
            _log_settings(config, predictor)
        start = time.perf_counter()
        results[name] = _predict(config, predictor, annotations, name)
        wall = time.perf_counter() - start
        scored[name] = _figures(config, annotations, results[name], predictor, wall)
    _write_side_by_side(scored, table_stream(config.json))
    if config.compare and skeleton is not None and config.metric == "coco":
        compare.write_differences(config, annotations, results, skeleton.sigmas, table_stream(config.json))
    last = results[next(reversed(results))]
    _write_results(config, annotations, last)
    reliability.run(config, annotations, last, predictor)
    if last.problems:
        raise ValueError(f"{len(last.problems)} of {len(annotations.imgs)} images failed; see above")


def _check(config: Any) -> None:
    """Check the flags before anything is read.

    Raises:
        FileNotFoundError: a folder to write to does not exist.
        UsageError: flags that are missing or exclude each other.
        ValueError: a file name with the wrong ending.
    """
    metric.check(config)
    compare.check(config)
    if not config.results and bool(config.weights) == bool(config.ceiling):
        got = "both" if config.weights else f"none: --weights takes {network.describe_weights()}"
        raise UsageError(f"expected one of --weights, --ceiling and --results, got {got}")
    if config.weights and not config.images:
        raise UsageError("--images: expected the folder with the images, got none")
    if config.ceiling and (config.compare is not None or config.scales or config.flip):
        raise UsageError("--compare, --scales and --flip: have no effect with --ceiling")
    _check_json(config)
    reliability.check(config)


def _predictors(config: Any) -> Iterator[tuple[str, Predictor]]:
    """Yield what is scored, from left to right, by its name in the table."""
    options, mask_options = network.decode_options(config, _EVERY_POSE, _POSENET)
    # Figures that are quoted do not depend on what the machine computes natively.
    precision = "float32" if config.precision == "auto" and not config.autocast else config.precision
    more = {"calibrated": not config.calibrate, "precision": precision, "streaming": True}
    loaded: dict[str, Any] = {}  # each network is read once
    for name, weights, scales, flip in compare.columns(config):
        predictor = network.make_predictor(
            config, options, mask_options, every_pose=True, weights=loaded.get(weights, weights), scales=scales,
            flip=flip, **more,
        )  # fmt: skip
        loaded = {weights: predictor.loaded}
        yield name, predictor


def _fill_in_settings(config: Any) -> None:
    """Take from the network what the flags leave open of category and labelled_only."""
    from personlab.settings import Settings
    from personlab.weights import load_settings

    settings = load_settings(config.weights) if config.weights else Settings()
    config.category = config.category or settings.category or "person"
    if config.labelled_only is None:
        config.labelled_only = bool(settings.labelled_only)


def _log_settings(config: Any, predictor: Predictor) -> None:
    """Log the settings in use, if the network has any."""
    if not predictor.settings.to_dict():
        return
    radius = getattr(predictor.options, "disk_radius", None)  # of methods with discs
    used = dataclasses.replace(
        predictor.settings, long_edge=predictor.long_edge, stride=predictor.stride, disk_radius=radius,
        category=config.category, labelled_only=config.labelled_only,
    )  # fmt: skip
    log(f"scoring with {used}")


def _check_json(config: Any) -> None:
    for path in result_files(config.json, masks=True).values():
        if real_path(path) == real_path(config.annotations):
            raise UsageError(f"--json: {path} is the file of --annotations, too")
        check_folder(path)


def _read(config: Any) -> Annotations:
    from personlab.data.annotations import read_annotations
    from personlab.data.split import only_images, read_ids

    annotations = read_annotations(config.annotations, config.category)
    for note in annotations.notes:
        log(f"warning: {note}")
    return annotations if not config.only else only_images(annotations, read_ids(config.only), config.only)


def _predict(config: Any, predictor: Predictor, annotations: COCO, label: str) -> Results:
    from personlab.predict.dataset import predict_dataset

    with warnings_as_lines(), progress_bar(len(annotations.imgs), label) as bar:
        results = predict_dataset(
            predictor, annotations, config.images, boxes=boxes_by_image(config, predictor, annotations),
            progress=bar.update,
        )  # fmt: skip
    for name, error in results.problems.items():
        log(f"skipped {describe_failure(str(Path(config.images) / name), error)}")
    if len(results.problems) == len(annotations.imgs):
        raise ValueError(f"all of {len(annotations.imgs)} images failed; see above")
    return results


def _figures(config: Any, annotations: COCO, results: Results, predictor: Predictor, wall: float) -> dict[str, str]:
    """Return the column of one setting."""
    figures = _precision(config, annotations, results, predictor.skeleton, masks=predictor.masks)
    count = max(len(annotations.imgs) - len(results.problems), 1)
    figures |= {f"{stage}, ms an image": value for stage, value, _ in network.time_rows(results.times, count)}
    figures["images a second"] = f"{count / wall:.2f}"
    return figures


def _precision(
    config: Any, annotations: COCO, results: Results, skeleton: Skeleton, *, masks: bool = True
) -> dict[str, str]:
    from personlab.predict.dataset import score_results

    if config.metric != "coco":
        return metric.figures(config, annotations, results.keypoints, skeleton)
    labels = {"ap": "AP", "ap50": "AP50", "ap75": "AP75", "recall": "AR"}
    scores = score_results(
        annotations, results, skeleton, category=config.category, masks=masks, evaluator=config.evaluator
    )
    return {
        f"{kind} {label}": f"{getattr(precision, name):.3f}"
        for kind, precision in scores.items()
        for name, label in labels.items()
    }


def _run_ceiling(config: Any, read: Annotations, annotations: COCO, method: Method, ceiling: Ceiling) -> None:
    from personlab.data.coverage import count_coverage
    from personlab.data.index import make_index
    from personlab.predict.ceiling import evaluate_ceiling
    from personlab.predict.dataset import Results

    options, mask_options = network.method_options(config, method, ceiling.options, every_pose=True)
    skeleton = read.skeleton(joined=not method.takes_boxes)
    listed = read.labelled_images() if config.labelled_only else read
    index = make_index(listed, n_keypoints=skeleton.n_keypoints)
    for line in count_coverage(index).lines():
        log(line)
    images = {number: index.people(place, config.annotations) for place, number in enumerate(index.image_ids)}
    scored: dict[str, dict[str, str]] = {}
    results = Results()
    for stride in [config.stride] if config.stride else ceiling.strides:
        start = time.perf_counter()
        results = evaluate_ceiling(
            method, images, stride=stride, skeleton=skeleton, long_edge=config.long_edge, options=options,
            mask_options=mask_options,
        )  # fmt: skip
        wall = time.perf_counter() - start
        figures = _precision(config, annotations, results, skeleton, masks=method.decode_masks is not None)
        scored[f"ceiling, stride {stride}"] = {**figures, "images a second": f"{len(images) / wall:.2f}"}
    _write_side_by_side(scored, table_stream(config.json))
    _write_results(config, annotations, results)


def _write_side_by_side(scored: dict[str, dict[str, str]], stream: TextIO) -> None:
    labels = list(dict.fromkeys(label for figures in scored.values() for label in figures))
    rows = [[label, *(figures.get(label, "") for figures in scored.values())] for label in labels]
    write_table(["", *scored], rows, stream)


def _write_results(config: Any, annotations: COCO, results: Results) -> None:
    from personlab.metrics.coco import person_category

    if not config.json:
        return
    number = person_category(annotations, config.category)["id"]
    keypoints, masks = (
        [{**result, "category_id": number} for result in listed] for listed in (results.keypoints, results.masks)
    )
    write_results(config.json, keypoints, masks or None)
