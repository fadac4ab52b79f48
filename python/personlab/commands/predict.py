"""`personlab predict`: finds the people in images, videos and streams, and writes drawings and COCO results."""

from __future__ import annotations

import contextlib
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from personlab.commands import json_flag, network
from personlab.commands.background import in_background
from personlab.commands.boxes import add_boxes, boxes_by_image
from personlab.commands.flags import UsageError
from personlab.commands.journal import Journal, identify
from personlab.commands.predict_video import predict_video
from personlab.commands.report import Report, outcomes
from personlab.commands.tracking import add_track, track_options
from personlab.io.console import describe_failure, log, timed, warnings_as_lines
from personlab.io.files import check_folder, real_path
from personlab.io.results import STDOUT
from personlab.options import DecodeOptions

if TYPE_CHECKING:
    from collections.abc import Mapping

    from jsonargparse import ArgumentParser

    from personlab.io.sources import Source
    from personlab.methods.base import Boxes
    from personlab.predict import Prediction, Predictor

SUMMARY = "find the people in images, videos, streams and cameras"
USAGE = "INPUT... [options]"
DESCRIPTION = (
    "Find the people in images and videos, and print tables of their numbers and of the times. Images that cannot be "
    "read are reported and skipped; of damaged images and videos, the readable part is used. Either makes the exit "
    "code 1. Ctrl-C ends a camera and a live stream; otherwise it ends the command, and the results so far are kept in "
    "files whose names end in .part.json and .part.mp4."
)


def add_arguments(parser: ArgumentParser) -> None:
    """Add the arguments of the command."""
    from jsonargparse import ActionYesNo

    from personlab.weights import default_name

    parser.add_argument(
        "inputs", type=str, nargs="+", metavar="INPUT",
        help="image, video, folder of these, pattern in quotes, address of a stream (rtsp://, http://, ...), - for "
        "standard input, or number of a camera",
    )  # fmt: skip
    parser.add_argument("--masks", action="store_true", help="also find each person's mask")
    json_flag.add_json(
        parser,
        "; image_id is the number at the end of an image's name, else a free one; the frames of videos have the "
        "numbers after those",
    )
    json_flag.add_jsonl(parser)
    parser.add_argument(
        "--output", type=str, metavar="DIR", help="write a drawing of each image and video to this folder"
    )
    parser.add_argument(
        "--overlay", action=ActionYesNo(no_prefix="no-"), default=True,
        help="draw poses and masks over each image, under its own name, and over each video, as .mp4",
    )  # fmt: skip
    add_track(parser)
    network.add_min_keypoint(parser)
    parser.add_argument(
        "--fields", action="store_true",
        help="draw the network's output for each image and the steps of its decoding, in a folder NAME-fields, with "
        "the fields themselves for `personlab decode`",
    )  # fmt: skip
    add_boxes(parser, annotated=False)
    network.add_network(parser, default=default_name() or "")
    network.add_decoding(parser, DecodeOptions(), DecodeOptions.posenet())
    network.add_other_decoding(parser, DecodeOptions())


def run(config: Any) -> None:
    """Predict all inputs, print tables of people and times, and write drawings and results.

    Raises:
        KeyboardInterrupt: Ctrl-C, on a camera too, once all is written.
        UsageError: no network, an option without effect, or an output file that is also an input.
        ValueError: some inputs could not be processed; the others are.
    """
    from personlab.io import sources

    network.fill_in_weights(config)
    options, mask_options = network.decode_options(config, DecodeOptions(), DecodeOptions.posenet())
    if config.fields and not config.output:
        raise UsageError("--fields: has no effect without --output")
    inputs, problems = sources.find_sources(config.inputs)
    _check_outputs(config, inputs)
    _check_resume(config, inputs)
    tracking = track_options(config, inputs)
    report = Report()
    for line in sources.skipped_files(config.inputs):
        log(line)
    for line in problems:
        report.fail(line)
    if not inputs:
        raise ValueError("nothing to predict")
    draws = bool(config.output) and (config.overlay or config.fields)
    predictor = network.make_predictor(
        config, options, mask_options, masks=config.masks, keep_fields=config.fields,
        keep_image=draws or (tracking is not None and tracking.flow),
        streaming=len(inputs) > 1 or inputs[0].kind != "image",
    )  # fmt: skip
    if config.masks and not predictor.has_masks:
        raise ValueError(f"--masks: expected a network with masks, got {config.weights}, which has none")
    network.warn_of_photographs(config.weights, predictor, inputs)
    boxes = _read_boxes(config, predictor, inputs)
    if config.output:
        Path(config.output).mkdir(parents=True, exist_ok=True)
    for path in _result_files(config).values():
        check_folder(path)
    if config.json or config.jsonl:
        run_id = identify(config, [source.name for source in inputs])
        report.journal = Journal(config.jsonl, run_id, beside=config.json, resume=config.resume)
    try:
        _process(config, predictor, inputs, report, boxes)
    finally:
        report.close()
    if report.interrupted:
        raise KeyboardInterrupt
    report.check()


def _process(
    config: Any, predictor: Predictor, inputs: list[Source], report: Report, boxes: Mapping[int, Boxes] | None
) -> None:
    """Predict all inputs, and write results and tables; where that is interrupted, a part of the results."""
    _use_one_thread_in_opencv()
    start = time.perf_counter()
    try:
        with warnings_as_lines():
            _predict(config, predictor, inputs, report, boxes)
    except BaseException:
        with contextlib.suppress(OSError):  # the disk may be full: the first error is the one to report
            report.write(config, is_part=True)
        raise
    wall = time.perf_counter() - start
    report.write(config)
    report.write_tables(wall, json_flag.table_stream(config.json, config.jsonl))


def _use_one_thread_in_opencv() -> None:
    """Leave the cores to the stages, which overlap: OpenCV's own threads cost more than they save beside these."""
    with contextlib.suppress(ImportError):
        import cv2

        cv2.setNumThreads(1)


def _check_outputs(config: Any, inputs: list[Source]) -> None:
    """Check that no output file is an input, and no two outputs are one file."""
    from personlab.io.sources import drawing_names

    read = {real_path(source.name) for source in inputs if source.kind in ("image", "video")}
    if config.output and Path(config.output).exists() and not Path(config.output).is_dir():
        raise UsageError(f"--output: expected a folder, got a file {config.output}")
    drawn = drawing_names(inputs) if config.output and config.overlay else []
    written: dict[Path, str] = {}
    outputs = {name: Path(config.output) / name for name in drawn}
    for name, path in {**outputs, **_result_files(config)}.items():
        if real_path(path) in read:
            raise UsageError(f"{path} would be written over, which is an input")
        other = written.setdefault(real_path(path), name)
        if other != name:
            raise UsageError(f"{name}: {path} is the file of {other}, too")


def _result_files(config: Any) -> dict[str, Path]:
    """Return the files of --json and --jsonl, by what messages call them."""
    lines = {"--jsonl": Path(config.jsonl)} if config.jsonl and config.jsonl != STDOUT else {}
    return {**json_flag.result_files(config.json, masks=config.masks), **lines}


def _read_boxes(config: Any, predictor: Predictor, inputs: list[Source]) -> Mapping[int, Boxes] | None:
    """Read the boxes of --boxes FILE, by image id; None where the predictor finds them or takes none."""
    from personlab.io.sources import image_ids

    boxes = boxes_by_image(config, predictor)
    if boxes is not None and (moving := [source.name for source in inputs if source.kind != "image"]):
        raise UsageError(f"--boxes: expected images beside a file of boxes, which has image ids, got {moving[0]}")
    if boxes is not None:
        ids = image_ids([source.name for source in inputs])
        if not set(ids) & set(boxes):
            got = f"image ids {min(boxes)} to {max(boxes)}" if boxes else "none of a person"
            wanted = f"image ids {min(ids)} to {max(ids)}"
            log(f"warning: {config.boxes} has no box of an input: expected {wanted}, got {got}")
    return boxes


def _check_resume(config: Any, inputs: list[Source]) -> None:
    """Check that --jsonl and --resume go together with the other flags and the inputs."""
    if config.json == config.jsonl == STDOUT:
        raise UsageError("--jsonl: standard output is taken by --json")
    if config.resume and config.jsonl in (None, STDOUT):
        raise UsageError("--resume: has no effect without --jsonl FILE")
    for source in inputs if config.resume else ():
        is_live = source.address and not source.address.lower().startswith("http")
        if source.kind == "camera" or source.pipe is not None or is_live:
            raise UsageError(f"--resume: expected inputs that can be read again, got {source.kind} {source.name}")


def _predict(
    config: Any, predictor: Predictor, inputs: list[Source], report: Report, boxes: Mapping[int, Boxes] | None
) -> None:
    from personlab.io import sources
    from personlab.predict.boxes import with_boxes

    drawings = sources.drawing_names(inputs)
    drawn = dict(zip(inputs, drawings, strict=True))
    folders = dict(zip(inputs, sources.fields_folders(drawings), strict=True))
    images = [source for source in inputs if source.kind == "image"]
    ids = sources.image_ids([source.name for source in images])
    left = [place for place in zip(images, ids, strict=True) if not report.is_done(place[0].name)]
    draws = bool(config.output) and (config.overlay or config.fields)

    def draw(item: tuple[Source, int, Prediction | Exception]) -> dict[str, float]:
        source, _, outcome = item
        if not draws or isinstance(outcome, Exception):
            return {}
        return _draw(config, predictor, outcome, drawn[source], folders[source])

    with (
        contextlib.closing(
            outcomes(
                predictor,
                with_boxes([one.readable() for one, _ in left], [n for _, n in left], boxes),
                len(left),
                "images",
            )
        ) as stream,
        contextlib.closing(in_background(draw, ((*at, one) for at, one in zip(left, stream, strict=True)))) as results,
    ):
        for (source, image_id, outcome), times in results:
            if isinstance(outcome, Exception):
                report.fail(describe_failure(source.name, outcome))
                continue
            report.add(source.name, outcome, image_id)
            report.count({**outcome.times, **times})
            width, height = outcome.image_size
            report.rows.append([source.name, str(image_id), f"{width} x {height}", str(len(outcome.poses))])
    next_id = sources.first_frame_id(ids)
    for source in inputs:
        if source.kind != "image":
            next_id = predict_video(config, predictor, source, drawn[source], report, next_id)


def _draw(config: Any, predictor: Predictor, prediction: Prediction, name: str, folder_name: str) -> dict[str, float]:
    """Write the overlay and the gallery of one image, and return the times, ms."""
    from personlab import visualize

    times: dict[str, float] = {}
    if config.overlay:
        with timed(times, "draw"):
            image = prediction.draw(min_probability=config.min_keypoint)
        with timed(times, "write"):
            visualize.write_image(Path(config.output) / name, image)
    if config.fields:
        assert prediction.fields is not None
        with timed(times, "fields"):
            folder = Path(config.output) / folder_name
            gallery = predictor.method.draw(
                prediction.fields, prediction.image, prediction.poses, prediction.masks,
                options=predictor.options, skeleton=predictor.skeleton,
            )  # fmt: skip
            visualize.write_gallery(folder, gallery)
            prediction.fields.save(folder / "fields.npz")
    return times
