"""The flag --metric of `personlab evaluate`: figures of MPII, PoseTrack and CrowdPose, of a network or of a file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from personlab.batch import is_job
from personlab.commands.flags import UsageError
from personlab.io.console import log, warnings_as_lines, write_table
from personlab.io.files import check_folder, write_whole

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from jsonargparse import ArgumentParser
    from pycocotools.coco import COCO

    from personlab.data.annotations import Annotations
    from personlab.data.posetrack import Sequences
    from personlab.metrics.poseval import Figures
    from personlab.skeleton import Skeleton

METRICS = ("coco", "mpii", "posetrack", "crowdpose")
_PERSON = 1  # category of the results of `personlab predict`
_OF_NETWORKS = ("weights", "ceiling", "compare", "json", "calibrate")  # flags that --results excludes
_PARTS = {  # poseval's columns, by the numbers of PoseTrack's joints
    "head": (13, 14, 12), "shoulder": (8, 9), "elbow": (7, 10), "wrist": (6, 11), "hip": (2, 3), "knee": (1, 4),
    "ankle": (0, 5), "total": (15,),
}  # fmt: skip


def add_arguments(parser: ArgumentParser) -> None:
    """Add --metric, --original, --results and --benchmark-results."""
    parser.add_argument(
        "--metric", choices=METRICS, default="coco", metavar="{" + ",".join(METRICS) + "}",
        help="coco: average precision; mpii: PCKh at 0.5 head sizes of the parts of the body, their mean, and the mean "
        "at 0.1; posetrack: average precision, MOTA and MOTP of joints; crowdpose: average precision of easy, medium "
        "and hard images",
    )  # fmt: skip
    parser.add_argument(
        "--original", action="store_true",
        help="figures as the benchmarks' own programs print them, faults included: mpii takes 0.11 for 0.1; posetrack "
        "leaves out the last frame of each sequence, counts distances twice in MOTP, and more; crowdpose ends its "
        "levels at 0.2 and 0.8",
    )  # fmt: skip
    parser.add_argument(
        "--results", type=str, metavar="FILE",
        help="score these results in place of a network: a list of COCO keypoint results, in which PoseTrack's people "
        "have track_id; or the folder that `personlab batch` wrote, whose files are images by their names; or, with "
        "--metric posetrack, a folder of PoseTrack's JSON files, or one of them, as --annotations may be, too",
    )  # fmt: skip
    parser.add_argument(
        "--benchmark-results", type=str, metavar="PATH",
        help="write the results as the benchmark's own programs take them: with --metric posetrack, a folder that gets "
        "a JSON file for each sequence; with --metric mpii, a .mat file",
    )  # fmt: skip


def check(config: Any) -> None:
    """Check the flags of this module.

    Raises:
        FileNotFoundError: a folder to write to does not exist.
        UsageError: flags that exclude each other, or have no effect.
    """
    without = [name for name in _OF_NETWORKS if config.results and getattr(config, name, None) not in (None, False)]
    if without:
        raise UsageError(f"--{without[0]}: has no effect with --results")
    if config.results and config.only and config.metric == "posetrack":
        raise UsageError("--only: has no effect with --results and --metric posetrack, whose tracks need all frames")
    if config.original and config.metric == "coco":
        raise UsageError("--original: has no effect on --metric coco")
    if config.benchmark_results and config.metric not in ("mpii", "posetrack"):
        raise UsageError(f"--benchmark-results: has no effect with --metric {config.metric}")
    if config.benchmark_results and config.metric == "mpii":
        if Path(config.benchmark_results).suffix != ".mat":
            raise UsageError(f"--benchmark-results: expected a file name in .mat, got {config.benchmark_results}")
        check_folder(config.benchmark_results)
    if config.benchmark_results and config.metric == "posetrack" and Path(config.benchmark_results).is_file():
        raise UsageError(f"--benchmark-results: expected a folder, got the file {config.benchmark_results}")


def run(config: Any) -> None:
    """Score the file of --results, and print its figures.

    Raises:
        OSError: a file cannot be read or written.
        UsageError: flags that a file of results leaves without effect.
        ValueError: a file is not in its format.
    """
    with warnings_as_lines():
        scored = _posetrack_files(config) if config.metric == "posetrack" else _file_figures(config)
    write_table(["", config.results], [[name, value] for name, value in scored.items()])


def _file_figures(config: Any) -> dict[str, str]:
    from personlab.data.annotations import read_annotations
    from personlab.data.category import skeleton_of
    from personlab.data.result_files import read_results
    from personlab.data.split import only_images, read_ids
    from personlab.metrics.coco import average_precision, index_for_scoring

    read = read_annotations(config.annotations, config.category or "person")
    for note in read.notes:
        log(f"warning: {note}")
    whole = read.images
    if config.only:
        read = only_images(read, read_ids(config.only), config.only)
    annotations = index_for_scoring(read, bool(config.labelled_only))
    if is_job(config.results):
        listed = _job_results(config, read)
    else:
        listed = _of_people(read_results(config.results, whole, read.n_keypoints), read.category["id"], config.results)
    results = [result for result in listed if result["image_id"] in annotations.imgs]
    skeleton = skeleton_of(read.category)
    if config.metric != "coco":
        return figures(config, annotations, results, skeleton)
    precision = average_precision(
        annotations, results, "keypoints", sigmas=skeleton.sigmas, category=config.category or "person",
        evaluator=config.evaluator,
    )  # fmt: skip
    named = {"AP": precision.ap, "AP50": precision.ap50, "AP75": precision.ap75, "AR": precision.recall}
    return {f"keypoint {name}": f"{value:.3f}" for name, value in named.items()}


def _of_people(results: list[dict[str, Any]], category: int, path: str) -> list[dict[str, Any]]:
    """Return the results of people: those of the annotations' category, of 1, as `predict` writes it, and of none."""
    people = [result for result in results if result.get("category_id", category) in (_PERSON, category)]
    if len(people) < len(results):
        count = len(results) - len(people)
        log(f"warning: {path}: left out: {count} of {len(results)} results, which are of other categories")
    return people


def figures(config: Any, annotations: COCO, results: Sequence[dict[str, Any]], skeleton: Skeleton) -> dict[str, str]:
    """Return the figures of --metric, other than coco, by name.

    Args:
        config: the arguments of the command.
        annotations: index of the images that count.
        results: COCO keypoint results of these images.
        skeleton: of the results.

    Raises:
        ValueError: the annotations lack what the metric needs.
    """
    if config.metric == "mpii":
        return _mpii(config, annotations.imgs, results, skeleton.names)
    if config.metric == "posetrack":
        return _posetrack(config, annotations.imgs, results, skeleton.names)
    from personlab.metrics.crowdpose import crowd_figures, read_crowd_indices, sigmas_of

    scored = crowd_figures(
        annotations, results, read_crowd_indices(config.annotations), sigmas=sigmas_of(skeleton),
        category=config.category or "person", original=config.original,
    )  # fmt: skip
    return {f"keypoint {name}": f"{value:.3f}" for name, value in scored.items()}


def _mpii(
    config: Any, images: Collection[int], results: Sequence[dict[str, Any]], names: Sequence[str]
) -> dict[str, str]:
    from personlab.data.mpii_people import mpii_order, read_heads
    from personlab.metrics.pckh import match_people, mpii_figures

    order = mpii_order(names)
    poses: dict[int, list[Any]] = {number: [] for number in images}
    for result in results:
        poses[result["image_id"]].append(np.reshape(result["keypoints"], (-1, 3))[order, :2])
    truth = read_heads(config.annotations, config.category or "person")
    own = {number: one for number, one in truth.items() if number in images}
    matched = {
        number: match_people(np.reshape(poses[number], (-1, len(order), 2)), one.points, one.labelled, one.heads)
        for number, one in own.items()
    }
    if config.benchmark_results:
        _write_mat(config.benchmark_results, matched, images)
    people = list(own.values())
    scored = mpii_figures(
        np.concatenate([matched[number] for number in own]),
        np.concatenate([one.points for one in people]),
        np.concatenate([one.labelled for one in people]),
        np.concatenate([one.heads for one in people]),
        original=config.original,
    )
    return {f"PCKh {name}": f"{value:.2f}" for name, value in scored.items() if np.isfinite(value)}


def _write_mat(path: str, poses: dict[int, Any], images: Collection[int]) -> None:
    import io

    from scipy.io import savemat

    from personlab.data.mpii_people import to_mat

    buffer = io.BytesIO()
    savemat(buffer, to_mat(poses, images))
    write_whole(path, buffer.getvalue())
    log(f"wrote {path}")


def _posetrack(
    config: Any, images: Collection[int], results: Sequence[dict[str, Any]], names: Sequence[str]
) -> dict[str, str]:
    from personlab.data.posetrack import layout_of
    from personlab.data.posetrack_files import frames_of_results, read_sequences

    truth = _of_images(read_sequences(config.annotations), images)
    found = frames_of_results(results, truth, "results", layout_of(names))
    if config.benchmark_results:
        _write_sequences(config, results)
    return _poseval(config, truth, found)


def _of_images(sequences: Sequences, images: Collection[int]) -> Sequences:
    """Return sequences with some of their images; those without any are left out."""
    chosen = {name: [frame for frame in frames if frame.image_id in images] for name, frames in sequences.items()}
    return {name: frames for name, frames in chosen.items() if frames}


def _posetrack_files(config: Any) -> dict[str, str]:
    """Score a list of COCO results, or PoseTrack's own files, against PoseTrack's files or a converted one."""
    from personlab.data.posetrack_files import is_list, read_sequences
    from personlab.data.result_files import read_list

    truth = read_sequences(config.annotations)
    if is_job(config.results):
        from personlab.data.annotations import read_annotations

        results = _job_results(config, read_annotations(config.annotations, config.category or "person"))
        return _score_list(config, truth, results)
    if not is_list(config.results):
        if config.benchmark_results:
            raise UsageError("--benchmark-results: has no effect on results in PoseTrack's own files")
        return _poseval(config, truth, read_sequences(config.results))
    return _score_list(config, truth, read_list(config.results))


def _score_list(config: Any, truth: Sequences, results: Sequence[dict[str, Any]]) -> dict[str, str]:
    """Score a list of COCO results against PoseTrack's frames."""
    from personlab.data.posetrack import layout_of
    from personlab.data.posetrack_files import frames_of_results, keypoint_names_of

    found = frames_of_results(results, truth, config.results, layout_of(keypoint_names_of(config.annotations)))
    if config.benchmark_results:
        _write_sequences(config, results)
    return _poseval(config, truth, found)


def _job_results(config: Any, annotations: Annotations) -> list[dict[str, Any]]:
    """Return the results that `personlab batch` wrote of the annotated images.

    Raises:
        ValueError: none of its files is one of them, or it has other keypoints.
    """
    from personlab.batch import coco_results

    names = {number: image.name for number, image in annotations.images.items()}
    results = list(coco_results(config.results, names))
    if not results:
        raise ValueError(f"{config.results}: expected results of the images of {config.annotations}, got none")
    if (own := len(results[0]["keypoints"]) // 3) != annotations.n_keypoints:
        raise ValueError(f"{config.results}: expected {annotations.n_keypoints} keypoints, got {own}")
    return results


def _poseval(config: Any, truth: Sequences, found: Sequences) -> dict[str, str]:
    from personlab.metrics.poseval import Rules, evaluate

    total = evaluate(truth, found, rules=Rules.original() if config.original else Rules())["total"]
    return poseval_rows(total)


def poseval_rows(total: Figures) -> dict[str, str]:
    """Return the figures that poseval prints of all sequences, by name; those without a value are left out."""
    rows = {
        f"{name} {part}": _mean(values[list(joints)])
        for name, values in (("AP", total.ap), ("MOTA", total.mota))
        for part, joints in _PARTS.items()
    }
    rows |= {
        "MOTP total": total.motp[-1],
        "precision of joints": total.precision[-1],
        "recall of joints": total.recall[-1],
        "precision of tracks": total.track_precision[-1],
        "recall of tracks": total.track_recall[-1],
    }
    return {name: f"{value:.2f}" for name, value in rows.items() if np.isfinite(value)}


def _mean(values: Any) -> float:
    known = values[np.isfinite(values)]
    return float(known.mean()) if len(known) else float("nan")


def _write_sequences(config: Any, results: Sequence[dict[str, Any]]) -> None:
    """Write a file for each sequence, named as that of its annotations or by its name."""
    from personlab.data.posetrack_coco import results_2018
    from personlab.data.posetrack_files import split_file

    folder = Path(config.benchmark_results)
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in split_file(config.annotations).items():
        write_whole(folder / f"{name}.json", json.dumps(results_2018(content, results)).encode() + b"\n")
    log(f"wrote {folder}")
