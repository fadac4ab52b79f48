"""What the engines that run ONNX files share: how a file wants its images, and which threads compute."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray


class Layout(NamedTuple):
    """The input of a network: (N, H, W, 3) uint8, or (N, 3, H, W) float32 of 0 to 255."""

    is_pixels: bool
    shape: tuple[int | None, ...]  # of the images (N, H, W, 3); None where it is free

    def check(self, images: NDArray[np.uint8]) -> None:
        """Check the size of images.

        Raises:
            ValueError: the network takes another.
        """
        if any(own not in (None, got) for own, got in zip(self.shape, images.shape, strict=True)):
            shape = ", ".join("any" if own is None else str(own) for own in self.shape)
            raise ValueError(f"images: expected (N, H, W, 3) = ({shape}) as the network takes, got {images.shape}")

    def lay_out(self, images: NDArray[np.uint8]) -> NDArray[Any]:
        """Return images (N, H, W, 3) as the network takes them."""
        if self.is_pixels:
            return np.ascontiguousarray(images)
        return images.transpose(0, 3, 1, 2).astype(np.float32, order="C")


def find_layout(inputs: Sequence[tuple[str, Sequence[int | None]]]) -> Layout:
    """Return how a network takes its images.

    Args:
        inputs: element type ("uint8", "float32", ...) and shape of each of its inputs.

    Raises:
        ValueError: another number of inputs, or another type or shape.
    """
    expected = "images (N, H, W, 3) uint8 or (N, 3, H, W) float32"
    if len(inputs) != 1:
        raise ValueError(f"expected a network of one input, {expected}, got {len(inputs)} inputs")
    ((kind, shape),) = inputs
    if len(shape) == 4 and kind == "uint8" and shape[3] == 3:
        return Layout(is_pixels=True, shape=tuple(shape))
    if len(shape) == 4 and kind == "float32" and shape[1] == 3:
        return Layout(is_pixels=False, shape=(shape[0], shape[2], shape[3], shape[1]))
    got = ", ".join("any" if side is None else str(side) for side in shape)
    raise ValueError(f"expected {expected} as the input of the network, got ({got}) {kind}")


def count_cores() -> int:
    """Return the number of processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
