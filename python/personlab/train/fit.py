"""Starts heads by linear least squares: on the frozen features of a network, against the fields of its teachers."""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from personlab.data.loader import read_batches
from personlab.io.console import log, progress_bar
from personlab.train.network import start_training

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from personlab.train.batches import BatchSource


class NormalEquations:
    """Sums of a weighted linear least-squares problem with a bias, in float64, whose size is that of the solution.

    Minimised is sum_i w_i |W f_i + b - t_i|^2 + ridge * s * |W|^2, s the weighted sum of f^2, averaged over features.
    """

    def __init__(self) -> None:
        self._gram: torch.Tensor | None = None  # (C + 1, C + 1), the bias last
        self._right: torch.Tensor | None = None  # (C + 1, m)

    def add(self, features: torch.Tensor, targets: torch.Tensor, weights: torch.Tensor) -> None:
        """Add rows: features (n, C), targets (n, m), weights (n,)."""
        rows = torch.cat([features.double(), features.new_ones(len(features), 1, dtype=torch.float64)], 1)
        weighed = (rows * weights.double()[:, None]).T
        gram, right = weighed @ rows, weighed @ targets.double()
        self._gram = gram if self._gram is None else self._gram + gram
        self._right = right if self._right is None else self._right + right

    def solve(self, ridge: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return W (m, C) and b (m,).

        Raises:
            ValueError: no rows, or a system without a unique solution.
        """
        if self._gram is None or self._right is None or not float(self._gram[-1, -1]):
            raise ValueError("expected cells where the teachers are sure, got none")
        gram = self._gram.cpu().numpy().copy()
        places = np.arange(len(gram) - 1)
        gram[places, places] += ridge * gram[places, places].mean()
        try:
            solution = np.linalg.solve(gram, self._right.cpu().numpy())
        except np.linalg.LinAlgError:
            raise ValueError("expected more images than features or a larger network.ridge, got none of them") from None
        return solution[:-1].T, solution[-1]


def fit_heads(source: BatchSource, model: Any) -> None:
    """Set heads of a network to the best linear maps from its features to what the teachers say.

    Args:
        source: of batches; those of the first steps are used.
        model: the network.

    Raises:
        ValueError: a head that is not taught, or too little to fit it to.
    """
    config, method = source.config, source.method
    assert method.teaching is not None
    start, systems = time.perf_counter(), dict[tuple[str, int, int], NormalEquations]()
    device, options, heads = next(model.parameters()).device, config.teaching, config.network.fit_heads
    steps = -(-config.network.fit_images // config.batch_size)
    loader = source.loader(model.config, first_step=0, steps=steps)
    model.eval()
    with torch.no_grad(), contextlib.closing(read_batches(loader)) as batches, progress_bar(steps, "heads") as bar:
        for batch in batches:
            for one in method.teaching.equations(model, batch.to(device), options, heads):
                system = systems.setdefault((one.head, one.outputs.start, one.outputs.stop), NormalEquations())
                system.add(one.features, one.targets, one.weights)
            bar.update()
        for (head, first, last), system in systems.items():
            try:
                weight, bias = system.solve(config.network.ridge)
            except ValueError as error:
                raise ValueError(f"network.fit_heads: {head}, outputs {first} to {last - 1}: {error}") from None
            convolution = model.get_submodule(head)
            own = convolution.weight[first:last]
            own.copy_(torch.from_numpy(weight).reshape(own.shape))
            convolution.bias[first:last].copy_(torch.from_numpy(bias))
    start_training(model, config.network)
    log(f"fitted {', '.join(heads)} to {steps * config.batch_size} views in {time.perf_counter() - start:.0f} s")
