"""The mean of several networks, a model soup (Wortsman et al., ICML 2022): for runs that had the same start."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from personlab.methods.base import Weights


def mean_weights(networks: Sequence[Weights], names: Sequence[str]) -> Weights:
    """Return the mean of networks; what is no floating-point number is the first one's.

    Args:
        networks: at least one.
        names: of them, for errors.

    Raises:
        ValueError: networks with other settings than the first.
    """
    first, *others = networks
    for other, name in zip(others, names[1:], strict=True):
        if other.config != first.config or other.state.keys() != first.state.keys():
            raise ValueError(f"mean_with: expected a network with the settings of {names[0]}, got {name}")
    state: dict[str, Any] = dict(first.state)
    for name, array in first.state.items():
        if array.dtype.kind == "f":
            mean = np.mean([one.state[name] for one in networks], axis=0, dtype=np.float64)
            state[name] = mean.astype(array.dtype)
    return first._replace(state=state)
