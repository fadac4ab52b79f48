"""`personlab bench`: the time of decoding on this machine, stage by stage, or of a network, engine by engine."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from personlab.commands import bench_network
from personlab.commands.fields_file import read_fields
from personlab.commands.flags import UsageError, add_options, apply_flags
from personlab.info import build_info
from personlab.io.console import write_table
from personlab.methods.personlab.bench import STAGES, Timing, crowd, time_decoding
from personlab.options import DecodeOptions, MaskOptions
from personlab.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Iterator

    from jsonargparse import ArgumentParser

    from personlab.methods.personlab.fields import Fields

SUMMARY = "time decoding on this machine, stage by stage, or a network, engine by engine"
USAGE = "[FIELDS ...] [options]"
DESCRIPTION = (
    "Time decoding, stage by stage, on files of fields or on drawn crowds, with the output of a perfect network. Times "
    "are medians in microseconds; beside each stage stands its floor: the time to read its bytes and to add its votes. "
    "The scan is part of the votes; poses and masks are whole calls from Python. With --network, time a network in "
    "every engine that is installed: milliseconds for an image alone with all cores, for each of several at once (as a "
    "folder of images is predicted), and for each of a batch; and mark what --engine auto takes."
)
CROWDS = (0, 5, 20, 50)  # people, without files and --people
SIZE, STRIDE = (481, 641), 8  # (H, W) and cells of the crowds, pixels


def add_arguments(parser: ArgumentParser) -> None:
    """Add the arguments of the command."""
    from jsonargparse.typing import NonNegativeInt, PositiveInt

    parser.add_argument(
        "fields",
        type=str,
        nargs="*",
        default=[],
        metavar="FIELDS",
        help="files of fields, as for `personlab decode`",
    )
    parser.add_argument(
        "--people", type=NonNegativeInt, nargs="+", metavar="N",
        help=f"time crowds of this many drawn people [{' '.join(map(str, CROWDS))} without files]",
    )  # fmt: skip
    parser.add_argument(
        "--size", type=PositiveInt, nargs=2, metavar=("H", "W"),
        help="height and width of the network input, pixels, multiples of the stride plus 1; of crowds the stride is "
        f"{STRIDE} [{SIZE[0]} {SIZE[1]}]",
    )  # fmt: skip
    parser.add_argument(
        "--rounds", type=PositiveInt, metavar="N", help="runs of each stage [200], or of each engine [20]"
    )
    parser.add_argument(
        "--network", type=str, metavar="W", help="time this network, as --weights of predict takes it, in every engine"
    )
    parser.add_argument("--stride", type=PositiveInt, metavar="N", help="output stride of the network, input pixels")
    parser.add_argument(
        "--batches", type=PositiveInt, nargs="+", default=[4], metavar="N", help="images in one run of the network"
    )
    add_options(parser, "decoding", "decode", DecodeOptions(), leave_out="decoder")
    add_options(parser, "masks", "mask", MaskOptions())


def run(config: Any) -> None:
    """Time every file and crowd, and print a row for each.

    Raises:
        UsageError: an option out of range, or a size that no crowd can have.
        ValueError: a file that is damaged or of another kind.
    """
    if config.network is not None:
        if config.fields or config.people:
            raise UsageError("--network: expected no files of fields and no --people beside it")
        bench_network.run(
            config.network, config.stride, tuple(config.size or SIZE), config.batches, config.rounds or 20
        )
        return
    options: DecodeOptions = apply_flags(DecodeOptions(), config.decode)
    mask_options: MaskOptions = apply_flags(MaskOptions(), config.mask)
    size = tuple(config.size or SIZE)
    if any((side - 1) % STRIDE for side in size):
        raise UsageError(f"--size: expected multiples of {STRIDE} plus 1, got {size[0]} {size[1]}")
    people = config.people if config.people is not None else [] if config.fields else list(CROWDS)
    stages = [stage if stage == "scan" else f"{stage} / floor" for stage in STAGES]
    header = ["fields", "grid", "people", "votes", *stages, "poses", "masks"]
    rows = []
    for name, fields in _inputs(config.fields, people, size):
        h, w = fields.heatmaps.shape[-2:]
        own = Settings(disk_radius=fields.disk_radius).decoding(options, disk_radius=config.decode.disk_radius)
        timing = time_decoding(fields, options=own, mask_options=mask_options, rounds=config.rounds or 200)
        rows.append([name, f"{h}x{w}", str(timing.people), str(timing.votes), *_cells(timing)])
    sys.stdout.write(
        f"microseconds, hough_stride {options.hough_stride}, threads {options.threads}, "
        f"instruction set {build_info()['instruction set'].split()[0]}\n\n"
    )
    write_table(header, rows)


def _inputs(files: list[str], people: list[int], size: tuple[int, ...]) -> Iterator[tuple[str, Fields]]:
    for file in files:
        yield Path(file).stem, read_fields(file)
    for count in people:
        yield f"crowd of {count}", crowd(count, size=(size[0], size[1]), stride=STRIDE)


def _cells(timing: Timing) -> list[str]:
    floors = {stage: f" / {_microseconds(floor)}" for stage, floor in timing.floors.items()}
    stages = [_microseconds(timing.stages[stage]) + floors.get(stage, "") for stage in STAGES]
    return [*stages, _microseconds(timing.poses), "-" if timing.masks is None else _microseconds(timing.masks)]


def _microseconds(seconds: float) -> str:
    value = 1e6 * seconds
    return f"{value:.1f}" if value < 100 else f"{value:.0f}"
