"""`personlab batch`: whole archives on many workers, on this machine or a cluster, into Parquet tables."""

from __future__ import annotations

import atexit
import dataclasses
import gc
import sys
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from personlab.commands import network
from personlab.commands.boxes import add_boxes
from personlab.commands.flags import UsageError, add_options, apply_flags
from personlab.commands.tracking import add_track, track_options
from personlab.io.console import log
from personlab.options import DecodeOptions

if TYPE_CHECKING:
    from jsonargparse import ArgumentParser

    from personlab.batch import Summary

SUMMARY = "annotate whole archives on many workers of Ray, into Parquet tables; goes on after a kill"
USAGE = "SRC... --output DST [options]"
DESCRIPTION = (
    "Find the people in images, videos, tars of images (WebDataset) and Parquet files with image bytes, here, in "
    "object stores and on the web, on workers of Ray: on this machine, or on a cluster with --address. DST gets "
    "the tables people (a row for each person), errors (a row for each input that cannot be read) and _manifest (what "
    "is done). Bad input stops nothing. A job that was killed goes on where the same command is given again; further "
    "inputs may be added. The exit code is 1 where no input could be read, or a SRC names none."
)
# Flags that change no row, or are in the job's own options.
_FREE = (
    "actors", "address", "argv", "batch_size", "column", "command", "cores", "device", "gpus", "output", "part",
    "piece", "retry_errors", "sources", "threads", "track", "tracking", "verbose",
)  # fmt: skip
_FILE = ".json"


def add_arguments(parser: ArgumentParser) -> None:
    """Add the arguments of the command."""
    from personlab.batch.options import BatchOptions
    from personlab.weights import default_name

    parser.add_argument(
        "sources", type=str, nargs="+", metavar="SRC",
        help="image, video, .tar, .parquet, folder of these, pattern in quotes, or address of such: s3://, gs://, "
        "http://, ...",
    )  # fmt: skip
    parser.add_argument(
        "--output", type=str, required=True, metavar="DST",
        help="folder of the tables, or address of one in an object store; new, or of an earlier run with the same "
        "options",
    )  # fmt: skip
    parser.add_argument("--masks", action="store_true", help="also find each person's mask")
    parser.add_argument(
        "--retry-errors", action="store_true", help="do again what an earlier run has put into the table of errors"
    )
    parser.add_argument("--verbose", action="store_true", help="show Ray's own log")
    add_options(parser, "workers", "", BatchOptions())
    add_track(parser)
    add_boxes(parser, annotated=False)
    network.add_network(parser, default=default_name() or "")
    network.add_decoding(parser, DecodeOptions(), DecodeOptions.posenet())
    network.add_other_decoding(parser, DecodeOptions())


def run(config: Any) -> None:
    """Run the job, and print what was done.

    Raises:
        UsageError: a flag without effect, or other options than in the job's earlier run.
        ValueError: no input could be read, or a word names none.
    """
    from personlab.batch import BatchOptions, EngineError, OptionsError, run_batch
    from personlab.batch.pool import import_ray

    import_ray()  # says first what is missing
    atexit.register(gc.freeze)  # else Python's end walks over all that Ray loads
    network.fill_in_weights(config)
    own = {field.name: getattr(config, field.name) for field in dataclasses.fields(BatchOptions)}
    options = apply_flags(BatchOptions(), SimpleNamespace(**own))
    track = track_options(config, [])
    if config.boxes is not None and config.boxes.endswith(_FILE):
        raise UsageError(f"--boxes: expected a network that finds people, got the file {config.boxes}")
    on_cpu = config.device is not None and config.device.startswith("cpu")
    may_lack_gpus = options.address is not None and (config.device or "").startswith("cuda")
    config.weights = _absolute(config.weights)
    try:
        summary = run_batch(
            config.sources, config.output, make_predictor=partial(make_predictor, config), identity=_identity(config),
            track=track, options=options, uses_gpus=not on_cpu, retry_errors=config.retry_errors,
            verbose=config.verbose, **({} if may_lack_gpus else {"check": partial(_check, config)}),
        )  # fmt: skip
    except OptionsError as error:
        raise UsageError(f"--output: {error}") from None
    except EngineError as error:
        raise ValueError(str(error)) from None
    _report(config, summary)


def make_predictor(config: Any) -> Any:
    """Make the predictor of the flags, as `personlab predict` does."""
    options, mask_options = network.decode_options(config, DecodeOptions(), DecodeOptions.posenet())
    track = track_options(config, [])
    return network.make_predictor(
        config, options, mask_options, masks=config.masks, streaming=True,
        keep_image=track is not None and track.flow,
    )  # fmt: skip


def _check(config: Any) -> None:
    """Make the network ready once, so that what is wrong is said before any worker starts, and what is kept is made."""
    predictor = make_predictor(config)
    if config.masks and not predictor.has_masks:
        raise ValueError(f"--masks: expected a network with masks, got {config.weights}, which has none")


def _absolute(weights: str) -> str:
    """Return weights in a file by their full path: workers have folders of their own."""
    return str(Path(weights).resolve()) if Path(weights).exists() else weights


def _identity(config: Any) -> dict[str, Any]:
    """Return the flags that decide the rows, by their names on the command line."""
    flat: dict[str, Any] = {}
    for name, value in config.as_dict().items():
        if name in _FREE:
            continue
        parts = {f"--{name}.{key}": own for key, own in value.items()} if isinstance(value, dict) else {}
        flat |= parts or {f"--{name.replace('_', '-')}": value}
    return {name: value for name, value in flat.items() if not name.endswith(".threads")}


def _report(config: Any, summary: Summary) -> None:
    rate = summary.inputs / max(summary.seconds - summary.starting, 1e-9)
    sys.stdout.write(
        f"{summary.inputs} image{'s' * (summary.inputs != 1)} and frames, {summary.people} people, "
        f"{summary.errors} errors in {summary.seconds:.2f} s: {summary.starting:.2f} s until Ray ran, "
        f"then {rate:.1f} a second\n"
    )
    if summary.skipped:
        log(f"{summary.skipped} units were done before")
    if summary.errors:
        log(f"warning: {summary.errors} inputs failed or are damaged: see the table errors in {config.output}")
    if summary.problems:
        raise ValueError(f"{len(summary.problems)} of the sources name no input; see above")
    if summary.inputs and summary.failed == summary.inputs:
        raise ValueError(f"all of {summary.inputs} inputs failed: see the table errors in {config.output}")
