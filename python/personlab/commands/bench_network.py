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

_BATCHES = (4,)
_ROUNDS = 20  # runs of each kind unless asked otherwise
_SIZE = (480, 640)  # (H, W) of the input likewise, pixels, of a method without times of its own


def run(config: Any) -> None:
    """Time a network in every engine and precision, and print a row for each.

    Args:
        config: the flags of `personlab bench`.

    Raises:
        ImportError, OSError, TypeError, ValueError: no engine can run it; the last reason.
        UsageError: a size that the network does not take, or the network of another method than asked for.
    """
    weights, batches, rounds = config.network, config.batches or _BATCHES, config.rounds or _ROUNDS
    chosen = load_network(weights, stride=config.stride)
    method, own = chosen.method, chosen.config.stride
    if config.method not in (None, method.name):
        raise UsageError(f"--method: expected {method.name} for {weights}, got {config.method}")
    step, rest = (own, method.size_rest) if method.size_rest else (getattr(chosen.config, "input_step", 1), 0)
    usual = _SIZE if method.bench is None else method.bench.size
    size = tuple(config.size or (-(-(side - rest) // step) * step + rest for side in usual))
    if any(side % step != rest for side in size):
        plus = f" plus {rest}" if rest else ""
        raise UsageError(f"--size: expected multiples of {step}{plus}, got {size[0]} {size[1]}")
    images = np.random.default_rng(0).integers(0, 256, (max(batches), *size, 3), np.uint8)
    names = method.outputs(method.decode_masks is not None and bool(chosen.config.masks))
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
