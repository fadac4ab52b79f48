"""`personlab predict`: the people in pictures, videos and cameras, drawn and as COCO results."""

from __future__ import annotations

import json
import os
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from personlab._files import write_whole
from personlab.commands import network
from personlab.commands.common import UsageError, log, timed, write_table
from personlab.options import DecodeOptions

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from jsonargparse import ArgumentParser

    from personlab.predict import Prediction, Predictor
    from personlab.predict.sources import Source

SUMMARY = "find the people in pictures, videos and cameras"
USAGE = "INPUT... --weights W [options]"
DESCRIPTION = (
    "Find the people in pictures and videos and print a table of how many there are, in which time. A picture that "
    "cannot be read is told of and skipped; the exit code is 1 then."
)
_MISHAPS = (OSError, RuntimeError, TypeError, ValueError)  # of one picture, not of the program


def add_arguments(parser: ArgumentParser) -> None:
    """What the command takes."""
    from jsonargparse import ActionYesNo

    parser.add_argument(
        "inputs", type=str, nargs="+", metavar="INPUT",
        help="a picture, a video, a folder of these, a pattern in quotes, or a camera's number",
    )  # fmt: skip
    parser.add_argument("--masks", action="store_true", help="find each person's mask, too")
    parser.add_argument(
        "--json", type=str, metavar="FILE",
        help="write COCO keypoint results to this file and, with --masks, COCO segmentation results (RLE) to another "
        "beside it that ends in .masks.json; image_id is the number that a picture's name ends in, else one not taken, "
        "and counts on through the frames of videos",
    )  # fmt: skip
    parser.add_argument("--output", type=str, metavar="DIR", help="write what was found to this folder, drawn")
    parser.add_argument(
        "--overlay", action=ActionYesNo(no_prefix="no-"), default=True,
        help="draw each picture under its own name, each video as .mp4",
    )  # fmt: skip
    parser.add_argument(
        "--fields", action="store_true",
        help="draw what the network says of each picture, and how it is decoded, in a folder NAME-fields, with the "
        "fields themselves for `personlab decode`",
    )  # fmt: skip
    network.add_network(parser, required=True)
    network.add_decoding(parser, DecodeOptions())


@dataclass
class _Report:
    """What has been found so far."""

    keypoints: list[dict[str, Any]] = field(default_factory=list)
    masks: list[dict[str, Any]] = field(default_factory=list)
    rows: list[list[str]] = field(default_factory=list)
    times: dict[str, float] = field(default_factory=dict)  # ms in all, by stage
    done: int = 0
    failed: int = 0

    def fail(self, line: str) -> None:
        with network.above_progress():
            log(f"skipped {line}")
        self.failed += 1

    def add(self, config: Any, prediction: Prediction, image_id: int) -> None:
        self.done += 1
        if config.json:
            self.keypoints += prediction.to_coco(image_id)
            if config.masks:
                self.masks += prediction.masks_to_coco(image_id)

    def count(self, times: Any) -> None:
        for stage, value in times.items():
            self.times[stage] = self.times.get(stage, 0.0) + value


def run(config: Any) -> None:
    """Predict everything named, print tables of people and times, and write what was asked for.

    Raises:
        UsageError: an option without effect, or a file to write that is also one to read.
        ValueError: something could not be done; all else is.
    """
    from personlab.predict import sources

    options, mask_options = network.decode_options(config, DecodeOptions(), DecodeOptions.posenet())
    if config.fields and not config.output:
        raise UsageError("--fields: has no effect without --output")
    useless = [name for name, value in vars(config.mask).items() if value is not None and not config.masks]
    if useless:
        raise UsageError(f"--mask.{useless[0]}: has no effect without --masks")
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")  # what it has to say, the log says in one line
    found, problems = sources.find_sources(config.inputs)
    _check_outputs(config, found)
    report = _Report()
    for line in problems:
        report.fail(line)
    if not found:
        raise ValueError("nothing to predict")
    draws = bool(config.output) and (config.overlay or config.fields)
    predictor = network.make_predictor(
        config, options, mask_options, masks=config.masks, keep_image=draws, keep_fields=config.fields
    )
    if config.masks and not predictor.has_masks:
        raise ValueError(f"--masks: expected a network with masks, got {config.weights}, which has none")
    if config.output:
        Path(config.output).mkdir(parents=True, exist_ok=True)
    start = time.perf_counter()
    try:
        with network.warnings_as_lines():
            _predict(config, predictor, found, report)
    finally:
        if config.json:  # what an interrupted camera has seen, too
            _write_results(config, report)
    wall = time.perf_counter() - start
    _write_tables(report, wall)
    if report.failed:
        raise ValueError(f"{report.failed} of the inputs could not be done; see above")


def _check_outputs(config: Any, found: list[Source]) -> None:
    """Refuse to write over what is read, or two things to one file."""
    from personlab.predict.sources import drawing_names

    read = {Path(source.name).resolve() for source in found if source.kind != "camera"}
    written = [Path(config.json)] if config.json else []
    if config.json and config.masks:
        written.append(_mask_path(config))
    if config.output and Path(config.output).exists() and not Path(config.output).is_dir():
        raise UsageError(f"--output: expected a folder, got a file {config.output}")
    if config.output and config.overlay:
        written += [Path(config.output) / name for name in drawing_names(found)]
    for path in written:
        if path.resolve() in read:
            raise UsageError(f"{path} would be written over, which is an input")


def _mask_path(config: Any) -> Path:
    return Path(config.json).with_suffix(".masks.json")


def _predict(config: Any, predictor: Predictor, found: list[Source], report: _Report) -> None:
    from personlab.predict import sources

    drawn = dict(zip(found, sources.drawing_names(found), strict=True))
    pictures = [source for source in found if source.kind == "picture"]
    ids = sources.image_ids([source.name for source in pictures])
    places = iter(zip(pictures, ids, strict=True))
    for outcome in _outcomes(predictor, [source.name for source in pictures], len(pictures), "pictures"):
        source, image_id = next(places)
        if isinstance(outcome, Exception):
            report.fail(network.explained(source.name, outcome))
            continue
        if config.output:
            _draw(config, predictor, outcome, drawn[source], report)
        report.add(config, outcome, image_id)
        report.count(outcome.times)
        width, height = outcome.image_size
        report.rows.append([source.name, str(image_id), f"{width} x {height}", str(len(outcome.poses))])
    next_id = max(ids, default=-1) + 1
    for source in found:
        if source.kind != "picture":
            try:
                next_id = _predict_video(config, predictor, source, drawn[source], report, next_id)
            except ValueError as error:
                report.fail(network.explained(source.name, error))


def _outcomes(
    predictor: Predictor, pictures: Iterable[Any], total: int | None, label: str
) -> Iterator[Prediction | Exception]:
    """The prediction of each picture, or why there is none, under a progress bar."""
    with network.progress_bar(total, label) as bar, predictor.stream(pictures) as stream:
        while True:
            try:
                outcome: Prediction | Exception = next(stream)
            except StopIteration:
                return
            except _MISHAPS as error:
                outcome = error
            yield outcome
            bar.update()


def _draw(config: Any, predictor: Predictor, prediction: Prediction, name: str, report: _Report) -> None:
    """Write the overlay and the gallery of one picture."""
    from personlab import visualize

    times: dict[str, float] = {}
    if config.overlay:
        with timed(times, "draw"):
            image = prediction.draw()
        with timed(times, "write"):
            visualize.write_image(Path(config.output) / name, image)
    if config.fields:
        assert prediction.fields is not None
        with timed(times, "fields"):
            folder = Path(config.output) / f"{Path(name).stem}-fields"
            gallery = visualize.fields_gallery(
                prediction.fields, prediction.image, prediction.poses, prediction.masks,
                options=predictor.options, skeleton=predictor.skeleton,
            )  # fmt: skip
            visualize.write_gallery(folder, gallery)
            prediction.fields.save(folder / "fields.npz")
    report.count(times)


def _predict_video(config: Any, predictor: Predictor, source: Source, name: str, report: _Report, first_id: int) -> int:
    """Predict and draw each frame; gives the image_id after the last one's.

    Raises:
        ValueError: the video cannot be opened or has no frame.
    """
    from personlab.predict.video import Video, VideoWriter

    video = Video(source)
    drawing = bool(config.output) and config.overlay
    writer = VideoWriter(Path(config.output) / name, video.rate) if drawing else None
    number, people, size = first_id, 0, (0, 0)
    try:
        for outcome in _outcomes(predictor, video, video.count, source.name):
            if isinstance(outcome, Exception):
                report.fail(network.explained(f"{source.name}, frame {number - first_id}", outcome))
                number += 1
                continue
            times: dict[str, float] = {}
            if writer is not None:
                with timed(times, "draw"):
                    image = outcome.draw()
                with timed(times, "write"):
                    writer.write(image)
            report.add(config, outcome, number)
            report.count({**outcome.times, **times})
            number, people, size = number + 1, people + len(outcome.poses), outcome.image_size
    finally:
        if writer is not None:
            writer.close()
    if number == first_id:
        raise ValueError(f"{source.name}: expected a video that OpenCV can read, got no frame")
    ids = f"{first_id}-{number - 1}"
    report.rows.append([source.name, ids, f"{size[0]} x {size[1]}", str(people)])
    return number


def _write_results(config: Any, report: _Report) -> None:
    written = [(Path(config.json), report.keypoints)]
    if config.masks:
        written.append((_mask_path(config), report.masks))
    for path, results in written:
        write_whole(path, json.dumps(results).encode() + b"\n")
        log(f"wrote {path}")


def _write_tables(report: _Report, wall: float) -> None:
    """The people of each input, then the time of each stage and how much of it the network hid."""
    if report.rows:
        write_table(["input", "image_id", "size", "people"], report.rows)
    if not report.done:
        return
    sys.stdout.write("\n")
    write_table(["stage", "ms a picture", "s in all"], network.time_rows(report.times, report.done))
    run, total = report.times.get("network", 0.0) / 1e3, sum(report.times.values()) / 1e3
    rest = total - run
    hidden = min(max(total - wall, 0.0), rest)
    sys.stdout.write(
        f"\n{report.done} pictures in {wall:.2f} s ({report.done / wall:.1f} a second): the network ran for "
        f"{run:.2f} s, everything else for {rest:.2f} s, {hidden:.2f} s of it while the network ran\n"
    )
