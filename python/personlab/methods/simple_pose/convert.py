"""Published weights of Simple Pose as a network: files that torch.save wrote, of which tensors alone are read."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from personlab.methods.base import Weights
from personlab.methods.simple_pose.config import SimplePoseConfig
from personlab.methods.simple_pose.network import SimplePose
from personlab.nn.pickles import load_state
from personlab.nn.state import check_shapes, describe

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from torch import Tensor

_PREFIX = "posenet."  # of the names of weights
_ENTRY = "weights"  # of the published file, beside the state of the optimizer
_FIRST = f"{_PREFIX}pre.conv1.weight"
_STACK = re.compile(rf"{_PREFIX}hourglass\.(\d+)\.")
_MAX_STACKS, _MAX_CHANNELS = 16, 4096


def read_published(path: Path) -> Weights | None:
    """Read the weights of a published hourglass network (Improved-Body-Parts), which torch.save wrote.

    No code of the file runs: torch's own reader for weights refuses all objects but tensors and plain containers.

    Returns:
        Configuration and weights; None where the file holds something else, or objects that are not read.

    Raises:
        ValueError: weights of such a network that lack some or have others, or other shapes.
    """
    named = load_state(path, entry=_ENTRY)
    if named is None:
        return None
    state = {name if name.startswith(_PREFIX) else f"{_PREFIX}{name}": value for name, value in named.items()}
    if _FIRST not in state:
        return None
    try:
        return _network(state)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{path}: {error}") from None


def _network(state: Mapping[str, Tensor]) -> Weights:
    import torch

    stacks = [int(match[1][:4]) for name in state if (match := _STACK.match(name))]
    half = _length(state, f"{_PREFIX}pre.res1.convBlock.6.weight")
    below = _length(state, f"{_PREFIX}hourglass.0.hg.0.1.convBlock.6.weight")
    if max(stacks, default=0) >= _MAX_STACKS or max(half, below) > _MAX_CHANNELS:
        raise ValueError(f"weights: expected at most {_MAX_STACKS} stacks of {_MAX_CHANNELS} channels, got more")
    config = SimplePoseConfig(
        backbone="hourglass", stride=4, stacks=max(stacks, default=0) + 1, channels=2 * half,
        increase=below - 2 * half,
    )  # fmt: skip
    expected = describe(lambda: SimplePose(config))
    # Files from before PyTorch 0.4.1 do not count batches; nothing here reads the count.
    counts = {name: torch.zeros((), dtype=torch.int64) for name in expected if name.endswith("num_batches_tracked")}
    state = {**{name: value for name, value in counts.items() if name not in state}, **state}
    check_shapes({n: v.shape for n, v in expected.items()}, {n: v.shape for n, v in state.items()})
    for name, value in state.items():
        if value.is_floating_point() != expected[name].is_floating_point() or not value.isfinite().all():
            raise ValueError(f"{name}: expected finite weights of type {expected[name].dtype}, got others")
    return Weights(config, {name: value.detach().to(expected[name].dtype).numpy() for name, value in state.items()})


def _length(state: Mapping[str, Tensor], name: str) -> int:
    """Return the number of output channels of a convolution."""
    if name not in state or state[name].ndim != 4:
        raise ValueError(f"weights missing: {name}")
    return int(state[name].shape[0])
