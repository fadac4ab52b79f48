"""`personlab decode`: finds the people in a file of fields, and writes a table, drawings and COCO results."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any, TextIO

import numpy as np

from personlab.commands import json_flag, network
from personlab.commands.fields_file import read_fields
from personlab.commands.flags import UsageError
from personlab.io.console import log, timed, write_table
from personlab.io.files import real_path
from personlab.io.results import mask_results, write_results
from personlab.io.sources import MAX_ID, image_number
from personlab.methods import DEFAULT_METHOD, get_method
from personlab.methods.base import InputOptions, Setup
from personlab.options import DecodeOptions
from personlab.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Iterator

    from jsonargparse import ArgumentParser
    from numpy.typing import NDArray

    from personlab.methods import Method
    from personlab.poses import Poses

SUMMARY = "find the people in the output of a network"
USAGE = "FIELDS [options]"
DESCRIPTION = "Find the people in the output of a network and print a table of them, in pixels of the image."


def add_arguments(parser: ArgumentParser) -> None:
    """Add the arguments of the command."""
    from jsonargparse.typing import NonNegativeInt

    parser.add_argument(
        "fields", type=str, metavar="FIELDS",
        help=".npz file of fields, as personlab.Fields.save or `personlab predict --fields` writes it",
    )  # fmt: skip
    parser.add_argument("--image", type=str, metavar="FILE", help="image that the fields belong to")
    parser.add_argument("--masks", action="store_true", help="also find each person's mask")
    network.add_min_keypoint(parser)
    parser.add_argument("--output", type=str, metavar="PNG", help="write a drawing of poses and masks to this file")
    parser.add_argument(
        "--fields", type=str, dest="gallery", metavar="DIR",
        help="write an image of each field and of each decoding step into DIR, and all of them in contact_sheet.png",
    )  # fmt: skip
    json_flag.add_json(parser)
    parser.add_argument(
        "--image-id", type=NonNegativeInt, metavar="N",
        help="image_id in these results [the number at the end of the image's name, else 0]",
    )  # fmt: skip
    network.add_decoding(parser, DecodeOptions(), DecodeOptions.posenet())
    network.add_other_decoding(parser, DecodeOptions(), "whose fields these are")


def run(config: Any) -> None:
    """Decode a file of fields, print tables of people and times, and write drawings and results.

    Raises:
        UsageError: an option out of range or without effect, or an output file that is also an input.
        ValueError: a file that is damaged or of another kind.
    """
    if config.image_id is not None and config.image_id > MAX_ID:
        raise UsageError(f"--image-id: expected an integer of at most {MAX_ID}, got {config.image_id}")
    method = get_method(config.method or DEFAULT_METHOD)
    options, mask_options = network.method_options(config, method, method.options())
    if config.masks and method.decode_masks is None:
        raise UsageError(f"--masks: has no effect on a network of {method.name}")
    _check_paths(
        {"FIELDS": config.fields, "--image": config.image},
        {"--output": config.output, **json_flag.result_files(config.json, masks=config.masks)},
    )
    times: dict[str, float] = {}
    with timed(times, "read"):
        fields, image = _read(config.fields, config.image, method, masks=config.masks)
    width, height = fields.image_size or fields.input_size
    settings = Settings(disk_radius=getattr(fields, "disk_radius", None))  # of methods with discs
    setup = Setup(
        config=method.config(),
        settings=settings,
        inputs=InputOptions(long_edge=max(width, height)),
        options=method.tune(options, settings, config.decode.disk_radius),
        mask_options=mask_options,
    )
    with timed(times, method.calls[0]), _naming(config.fields):
        decoded = method.decode(fields, setup)
    poses: Poses = decoded.scaled(*fields.image_scale)
    masks: Any = None
    mask_scores: Any = None
    if config.masks and method.decode_masks is not None:
        with timed(times, method.calls[1]), _naming(config.fields):
            masks, mask_scores = method.decode_masks(decoded, fields, (height, width), setup)
    if config.output:
        with timed(times, "draw"):
            _draw(config, method, fields, image, poses, masks)
    if config.gallery:
        with timed(times, "draw fields"):
            _draw_fields(config.gallery, method, fields, image, poses, masks, setup)
    if config.json:
        with timed(times, "json"):
            _write_results(config, poses, masks, mask_scores)
    stream = json_flag.table_stream(config.json)
    stream.write(f"{len(poses)} people in {width} x {height} pixels\n\n")
    _write_people(poses, masks, stream)
    stream.write("\n")
    write_table(["stage", "ms"], [[name, f"{value:.2f}"] for name, value in times.items()], stream)


@contextlib.contextmanager
def _naming(path: str) -> Iterator[None]:
    """Begin the messages of errors about a file's fields with its name."""
    try:
        yield
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None


def _check_paths(inputs: dict[str, Any], outputs: dict[str, Any]) -> None:
    """Check that no output file is an input, and no two outputs are one file."""
    names = {real_path(path): name for name, path in inputs.items() if path is not None}
    for name, path in outputs.items():
        if path is None:
            continue
        other = names.setdefault(real_path(path), name)
        if other != name:
            raise UsageError(f"{name}: {path} is the file of {other}, too")


def _read(path: str, image_path: str | None, method: Method, *, masks: bool) -> tuple[Any, NDArray[np.uint8] | None]:
    """Read the fields of one image, and the image with --image."""
    fields = read_fields(path, method, masks=masks)
    if image_path is None:
        return fields, None
    from personlab import visualize

    image = visualize.read_image(image_path)
    size = (image.shape[1], image.shape[0])
    if fields.image_size not in (None, size):
        raise ValueError(f"{image_path}: expected the image of {fields.image_size} pixels in {path}, got {size}")
    return fields.with_image_size(size), image


def _draw(config: Any, method: Method, fields: Any, image: NDArray[np.uint8] | None, poses: Poses, masks: Any) -> None:
    from personlab import visualize

    background = network.required(method, "canvas", "drawings of its own")(fields) if image is None else image
    drawn = visualize.overlay(background, poses, masks, min_probability=config.min_keypoint)
    visualize.write_image(config.output, drawn)
    log(f"wrote {config.output}")


def _draw_fields(
    folder: str, method: Method, fields: Any, image: NDArray[np.uint8] | None, poses: Poses, masks: Any, setup: Setup
) -> None:
    from personlab import visualize

    skeleton = setup.config.skeleton
    gallery = method.draw(fields, image, poses, masks, options=setup.options, skeleton=skeleton)
    log(f"wrote {len(visualize.write_gallery(folder, gallery))} images into {folder}")


def _write_results(config: Any, poses: Poses, masks: Any, mask_scores: Any) -> None:
    number = image_number(config.image) if config.image and config.image_id is None else config.image_id
    image_id = number or 0
    segmentations = None
    if masks is not None:
        segmentations = mask_results(poses, masks, image_id, scores=mask_scores)
    write_results(config.json, poses.to_coco(image_id), segmentations)


def _write_people(poses: Poses, masks: Any, stream: TextIO) -> None:
    header = ["person", "score", "x0", "y0", "x1", "y1", "keypoints >= 0.5"]
    sure = (poses.keypoint_probabilities >= 0.5).sum(axis=1)
    rows = [
        [str(j + 1), f"{poses.scores[j]:.3f}", *(f"{side:.1f}" for side in poses.boxes[j]), str(sure[j])]
        for j in range(len(poses))
    ]
    if masks is not None:
        header.append("mask pixels")
        for row, mask in zip(rows, masks, strict=True):
            row.append(str(np.count_nonzero(mask)))
    write_table(header, rows, stream)
