"""Which engines this machine has, and how fast each runs a network, side by side."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

from personlab.predict.engines import ENGINES

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from personlab.predict.engines import Engine


def describe_engines() -> dict[str, str]:
    """Return, for each engine of the table, its version, devices and precisions, or why it cannot be used."""
    facts, chosen = {}, ""
    for name, kind in ENGINES.items():
        if not kind.is_installed:
            facts[name] = f"not installed: pip install 'personlab[{kind.extra}]'"
            continue
        try:
            module = kind.load()
            can = "; ".join(f"{device}: {', '.join(_precisions(name, module, device))}" for device in module.devices())
        except Exception as error:  # noqa: BLE001  # a broken installation raises anything, and is what is asked about
            facts[name] = f"cannot be used: {' '.join(str(error).split()) or type(error).__name__}"
            continue
        facts[name] = f"{_version(kind.package)}; {can}"
        chosen = chosen or name
    if chosen:
        facts[chosen] += " (auto, on a CPU)"
    return facts


def _precisions(name: str, module: Any, device: str) -> tuple[str, ...]:
    if name == "torch":
        import torch

        return tuple(module.precisions(torch.device(device)))
    return tuple(module.precisions(device))


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:  # onnxruntime-gpu has the package onnxruntime
        return str(getattr(__import__(package), "__version__", "of unknown version"))


@dataclass(frozen=True, kw_only=True)
class EngineTiming:
    """Times of one engine, seconds for each image."""

    alone: float  # of one run with nothing beside it, median
    at_once: float  # with as many runs at once as the engine says
    batches: Mapping[int, float]  # by number of images in a run


def time_engine(
    engine: Engine, images: NDArray[np.uint8], names: Sequence[str], *, batches: Sequence[int] = (), rounds: int = 20
) -> EngineTiming:
    """Time the runs of an engine.

    Args:
        engine: with a network.
        images: (N, H, W, 3), as many as the largest batch.
        names: of the outputs.
        batches: numbers of images in a run.
        rounds: runs of each kind.

    Raises:
        ValueError: more images in a batch than there are.
    """
    if max(batches, default=1) > len(images):
        raise ValueError(f"batches: expected at most {len(images)} images, got {max(batches)}")
    one = images[:1]
    _finish(engine.run(one, names))
    alone = sorted(_time(engine, one, names) for _ in range(rounds))[rounds // 2]
    return EngineTiming(
        alone=alone,
        at_once=_time_at_once(engine, one, names, rounds) if engine.streams > 1 else alone,
        batches={
            count: min(_time(engine, images[:count], names) for _ in range(max(rounds // count, 3))) / count
            for count in batches
        },
    )


def _time(engine: Engine, images: NDArray[np.uint8], names: Sequence[str]) -> float:
    start = time.perf_counter()
    _finish(engine.run(images, names))
    return time.perf_counter() - start


def _time_at_once(engine: Engine, images: NDArray[np.uint8], names: Sequence[str], rounds: int) -> float:
    """Return seconds for each image where several threads run images one after the other."""
    each = max(rounds // engine.streams, 3)
    passed: list[float] = []  # when all threads had come to the barrier, before any goes on
    barrier = threading.Barrier(engine.streams + 1, action=lambda: passed.append(time.perf_counter()))

    def work() -> None:
        try:
            for phase in range(2):  # the first for what is made at first runs
                for _ in range(each if phase else 2):
                    engine.run(images, names)
                barrier.wait()
        except BaseException:
            barrier.abort()
            raise

    threads = [threading.Thread(target=work) for _ in range(engine.streams)]
    for thread in threads:
        thread.start()
    for _ in range(2):
        barrier.wait()
    for thread in threads:
        thread.join()
    return (passed[1] - passed[0]) / (each * engine.streams)


def _finish(outputs: Mapping[str, Any]) -> None:
    """Wait for results that a GPU still computes."""
    for array in outputs.values():
        if hasattr(array, "cpu"):
            array.cpu()
