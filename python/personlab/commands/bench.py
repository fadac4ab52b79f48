"""`personlab bench`: the time of decoding on this machine, stage by stage, or of a network, engine by engine."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from personlab.commands import bench_network
from personlab.commands.fields_file import read_fields
from personlab.commands.flags import UsageError, add_options
from personlab.commands.network import add_other_decoding, method_options, required
from personlab.info import build_info
from personlab.io.console import write_table
from personlab.methods import DEFAULT_METHOD, METHODS, get_method
from personlab.options import DecodeOptions, MaskOptions
from personlab.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from jsonargparse import ArgumentParser

    from personlab.methods import Method
    from personlab.methods.base import Bench

SUMMARY = "time decoding on this machine, stage by stage, or a network, engine by engine"
USAGE = "[FIELDS ...] [options]"
DESCRIPTION = (
    "Time decoding, stage by stage, on files of fields or on drawn crowds, with the output of a perfect network. Times "
    "are medians in microseconds; beside each stage stands its floor: the time to read its bytes and to add its votes. "
    "The scan is part of the votes; poses and masks are whole calls from Python. With --method simple_pose, decode is "
    "the whole call, and the scan what it takes to read maps without peaks. With --network, time a network in "
    "every engine that is installed: milliseconds for an image alone with all cores, for each of several at once (as a "
    "folder of images is predicted), and for each of a batch; and mark what --engine auto takes."
)
CROWDS = (0, 5, 20, 50)  # people, without files and --people


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
        help="height and width of the network input, pixels, multiples of the stride, plus 1 for personlab; of crowds "
        f"the stride is {_per_method('stride')} [{_per_method('size')}]",
    )  # fmt: skip
    parser.add_argument(
        "--rounds", type=PositiveInt, metavar="N", help="runs of each stage [200], or of each engine [20]"
    )
    parser.add_argument(
        "--network",
        type=str,
        metavar="W",
        help="time this network of any method, as --weights of predict takes it, in every engine",
    )
    parser.add_argument("--stride", type=PositiveInt, metavar="N", help="output stride of the network, input pixels")
    parser.add_argument(
        "--batches", type=PositiveInt, nargs="+", metavar="N", help="images in one run of the network [4]"
    )
    add_options(parser, "decoding", "decode", DecodeOptions(), leave_out="decoder")
    add_options(parser, "masks", "mask", MaskOptions())
    add_other_decoding(parser, DecodeOptions(), "whose fields these are, or of whose perfect network the crowds")


def _per_method(name: str) -> str:
    """Describe a value of `Bench` for the help."""
    benches = {method: bench for method in METHODS if (bench := get_method(method).bench) is not None}
    values = {method: getattr(bench, name) for method, bench in benches.items()}
    return ", ".join(
        f"{' '.join(map(str, value)) if isinstance(value, tuple) else value} for {method}"
        for method, value in values.items()
    )


def run(config: Any) -> None:
    """Time every file and crowd, and print a row for each.

    Raises:
        UsageError: an option out of range, or a size that no crowd can have.
        ValueError: a file that is damaged or of another kind.
    """
    if config.network is not None:
        if config.fields or config.people:
            raise UsageError("--network: expected no files of fields and no --people beside it")
        bench_network.run(config)
        return
    method = get_method(config.method or DEFAULT_METHOD)
    bench: Bench = required(method, "bench", "times of decoding")
    options, mask_options = method_options(config, method, method.options())
    size, rest = tuple(config.size or bench.size), method.size_rest or 0
    if any((side - rest) % bench.stride for side in size):
        plus = f" plus {rest}" if rest else ""
        raise UsageError(f"--size: expected multiples of {bench.stride}{plus}, got {size[0]} {size[1]}")
    people = config.people if config.people is not None else [] if config.fields else list(CROWDS)
    rows: list[Mapping[str, Any]] = []
    for name, fields in _inputs(config.fields, people, method, bench, size):
        own = method.tune(
            options, Settings(disk_radius=getattr(fields, "disk_radius", None)), config.decode.disk_radius
        )
        cells = bench.time(fields, options=own, mask_options=mask_options, rounds=config.rounds or 200)
        rows.append({"fields": name, **cells})
    shown = ", ".join(f"{name} {getattr(options, name)}" for name in bench.shown)
    sys.stdout.write(f"microseconds, {shown}, instruction set {build_info()['instruction set'].split()[0]}\n\n")
    write_table(list(rows[0]), [[_cell(value) for value in row.values()] for row in rows])


def _inputs(
    files: list[str], people: list[int], method: Method, bench: Bench, size: tuple[int, ...]
) -> Iterator[tuple[str, Any]]:
    for file in files:
        yield Path(file).stem, read_fields(file, method)
    for count in people:
        yield f"crowd of {count}", bench.crowd(count, size=(size[0], size[1]), stride=bench.stride)


def _cell(value: Any) -> str:
    """Return the text of a cell, as `Bench.time` describes it."""
    if isinstance(value, tuple):
        return " / ".join(map(_cell, value))
    if value is None:
        return "-"
    return _microseconds(value) if isinstance(value, float) else str(value)


def _microseconds(seconds: float) -> str:
    value = 1e6 * seconds
    return f"{value:.1f}" if value < 100 else f"{value:.0f}"
