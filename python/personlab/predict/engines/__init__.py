"""Engines run networks: each takes pixels and returns outputs by name, and knows no method."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy as np
    from numpy.typing import NDArray


class Engine(Protocol):
    """Runs one network."""

    @property
    def streams(self) -> int:
        """Number of threads that may call `run` at once with gain."""

    def run(self, images: NDArray[np.uint8], names: Sequence[str]) -> Mapping[str, Any]:
        """Return the outputs of these names that the network has, float32 with a leading axis N, where they are.

        Args:
            images: (N, H, W, 3) RGB, in any memory layout.
            names: of the outputs.
        """
