"""`personlab plan`: hours, memory and disk of a training run, from some seconds of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from personlab.commands.json_flag import table_stream
from personlab.commands.train_settings import add_config, add_settings, read_settings
from personlab.io.console import log, write_table
from personlab.io.files import check_folder, write_whole
from personlab.io.results import STDOUT

if TYPE_CHECKING:
    from typing import TextIO

    from jsonargparse import ArgumentParser

    from personlab.train.forecast import Row, Speed
    from personlab.train.plan import Plan

SUMMARY = "say how long a training run takes, and what memory and disk it needs, from some seconds of it"
USAGE = "[--config FILE] [options of train]"
DESCRIPTION = (
    "Measure the loader, the steps and both together for some seconds each, with the settings that `personlab train` "
    "takes, and print images per second, hours, memory, disk, and what more processes would bring. --output is left "
    "alone."
)


def add_arguments(parser: ArgumentParser) -> None:
    """Add the arguments of the command."""
    from jsonargparse.typing import PositiveFloat, PositiveInt

    add_config(parser)
    parser.add_argument(
        "--seconds", type=PositiveFloat, default=10.0, metavar="X", help="length of each of the measurements"
    )
    parser.add_argument(
        "--processes", type=PositiveInt, default=8, metavar="N", help="max number of processes in the forecast"
    )
    parser.add_argument(
        "--bandwidth", type=PositiveFloat, default=1.25, metavar="X",
        help="of the network between processes, gigabytes a second; 1.25 is that of 10 Gbit/s",
    )  # fmt: skip
    parser.add_argument(
        "--json", type=str, metavar="FILE",
        help="write the plan to this file, in seconds and bytes; - stands for standard output",
    )  # fmt: skip
    add_settings(parser)


def run(config: Any) -> None:
    """Measure, and print the plan.

    Raises:
        UsageError: a setting out of range.
        ImportError, OSError, ValueError: as training raises them.
    """
    from personlab.train.plan import plan

    settings = read_settings(config)
    if config.json not in (None, STDOUT):
        check_folder(config.json)
    planned = plan(settings, seconds=config.seconds, processes=config.processes, bandwidth=config.bandwidth * 1e9)
    _write(planned, table_stream(config.json))
    if config.json is not None:
        path = Path("/dev/stdout") if config.json == STDOUT else Path(config.json)
        write_whole(path, json.dumps(planned.to_dict(), indent=2).encode() + b"\n")
        if config.json != STDOUT:
            log(f"wrote {config.json}")


def _write(planned: Plan, stream: TextIO) -> None:
    from personlab.train.forecast import ASSUMPTIONS

    config = planned.config
    workers = f"{config.data.workers} loader processes" if config.data.workers else "no loader process"
    stream.write(f"{planned.device}, {planned.cores} cores, {planned.threads} threads, {workers}\n\n")
    speeds = [("loader alone", planned.loader), ("step alone", planned.step), ("together", planned.together)]
    write_table(["images per second", "mean", "slowest part", "fastest part"], [_speed(*one) for one in speeds], stream)
    hours = [planned.hours(speed) for speed in planned.together]
    stream.write(
        f"\n{config.steps} steps of {config.batch_size} images: {hours[0]:.2f} hours, from {hours[2]:.2f} to "
        f"{hours[1]:.2f}, {planned.saves} checkpoints of {planned.saving:.2f} s among them, without evaluations\n\n"
    )
    memory = [[name.replace("_", " "), _mega(size)] for name, size in planned.memory.items()]
    write_table(["memory", "MB"], memory, stream)
    stream.write("\n")
    write_table(["disk", "MB"], [[name, _mega(size)] for name, size in planned.disk.items()], stream)
    stream.write(f"\nforecast, {planned.bandwidth / 1e9:g} GB/s between processes\n")
    rows = [*planned.same_batch, *(row for row in planned.more_images if row.processes > 1)]
    write_table(["processes", "batch", "images per second", "hours"], [_row(planned, row) for row in rows], stream)
    stream.write("".join(f"- {line}\n" for line in ASSUMPTIONS))


def _speed(name: str, speed: Speed) -> list[str]:
    return [name, *(f"{value:.1f}" for value in speed)]


def _row(planned: Plan, row: Row) -> list[str]:
    hours = planned.hours(row.high), planned.hours(row.low)
    return [
        str(row.processes), str(row.batch_size), f"{row.low:.1f} to {row.high:.1f}", f"{hours[0]:.2f} to {hours[1]:.2f}"
    ]  # fmt: skip


def _mega(size: int) -> str:
    return f"{size / 1e6:.1f}"
