"""`personlab bench --network`: the time of a network in every engine on this machine, and the choice of "auto"."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import numpy as np

from personlab.commands.flags import UsageError
from personlab.io.console import describe_error, log, write_table
from personlab.predict.engines import ENGINES, PRECISIONS
from personlab.predict.engines.survey import EngineTiming, time_engine
from personlab.predict.load import LoadedNetwork, load_network

if TYPE_CHECKING:
    from collections.abc import Iterator


def run(weights: str, stride: int | None, size: tuple[int, ...], batches: list[int], rounds: int) -> None:
    """Time a network in every engine and precision, and print a row for each.

    Args:
        weights: what `Predictor` takes.
        stride: of its output, input pixels.
        size: (H, W) of its input, pixels.
        batches: numbers of images in one run.
        rounds: runs of each kind.

    Raises:
        ImportError, OSError, TypeError, ValueError: no engine can run it; the last reason.
        UsageError: a size that the network does not take.
    """
    chosen = load_network(weights, stride=stride)
    rest, own = chosen.method.size_rest, chosen.config.stride
    if rest is not None and any(side % own != rest for side in size):
        raise UsageError(f"--size: expected multiples of {own} plus {rest}, got {size[0]} {size[1]}")
    images = np.random.default_rng(0).integers(0, 256, (max(batches), *size, 3), np.uint8)
    names = chosen.method.outputs(chosen.method.decode_masks is not None and bool(chosen.config.masks))
    rows = []
    for loaded in _all(weights, chosen):
        timing = time_engine(loaded.engine, images, names, batches=batches, rounds=rounds)
        is_chosen = (loaded.engine.name, loaded.engine.precision) == (chosen.engine.name, chosen.engine.precision)
        rows.append([loaded.engine.name, loaded.engine.precision, *_cells(timing), "auto" if is_chosen else ""])
    sys.stdout.write(
        f"milliseconds for each image of {size[0]} x {size[1]}, stride {own}, {len(names)} outputs, "
        f"on {chosen.device}\n\n"
    )
    write_table(["engine", "precision", "alone", "at once", *(f"batch of {n}" for n in batches), ""], rows)


def _all(weights: str, chosen: LoadedNetwork) -> Iterator[LoadedNetwork]:
    """Load the network into each engine at each precision that it computes natively, one at a time."""
    for name in ENGINES:
        for precision in PRECISIONS:
            asked: dict[str, Any] = {"engine": name, "precision": precision, "device": chosen.device}
            try:
                yield load_network(weights, stride=chosen.config.stride, **asked)
            except (ImportError, OSError, RuntimeError, TypeError, ValueError) as error:
                if not str(error).startswith("precision:"):
                    log(f"{name}: {describe_error(error)}")
                    break


def _cells(timing: EngineTiming) -> list[str]:
    return [f"{1e3 * seconds:.1f}" for seconds in (timing.alone, timing.at_once, *timing.batches.values())]
