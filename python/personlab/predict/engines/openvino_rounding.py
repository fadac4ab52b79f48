"""Rounds the weights of depthwise convolutions to bfloat16 so that each filter keeps its sum."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from personlab.predict.engines.openvino_package import openvino

if TYPE_CHECKING:
    from numpy.typing import NDArray

_UPPER = np.uint32(0xFFFF0000)  # the bits of a float32 that bfloat16 has
_STEP = np.uint32(0x00010000)


def round_depthwise(graph: Any) -> None:
    """Round the weights of a network's depthwise convolutions, in place; quantised ones stay as they are.

    Rounded one by one to the nearest, the nine weights of a filter no longer add up to what they did, and many filters
    are differences of neighbouring pixels, whose sum is small: what is constant in an image then shows where the
    network expects edges. That is most of what rounded weights do to a MobileNetV1. Convolutions over many channels
    have so many weights that their errors average out.

    Args:
        graph: `openvino.Model`.
    """
    for node in graph.get_ops():
        if node.get_type_name() != "GroupConvolution":
            continue
        port = node.input(1)
        source = port.get_source_output().get_node()
        shape = list(source.output(0).get_partial_shape().get_max_shape())
        if source.get_type_name() == "Reshape":
            port, source = source.input(0), source.input_value(0).get_node()
        if source.get_type_name() != "Constant" or source.get_element_type() != openvino.Type.f32 or shape[2] != 1:
            continue
        weights = np.array(source.data)
        rounded = round_keeping_sums(weights.reshape(shape[0] * shape[1], -1)).reshape(weights.shape)
        port.replace_source_output(openvino.opset13.constant(rounded, dtype=np.float32).output(0))


def round_keeping_sums(weights: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return weights (N, T) rounded to bfloat16, down or up, so that each row keeps its sum as far as that can be.

    Each begins with the nearest values; as long as it helps, the weight whose other neighbour brings the sum nearest to
    what it was takes that one.
    """
    weights = np.ascontiguousarray(weights, np.float32)
    inner = (weights.view(np.uint32) & _UPPER).view(np.float32)  # towards zero
    outer = (inner.view(np.uint32) + _STEP).view(np.float32)
    outer = np.where((inner == weights) | ~np.isfinite(outer), inner, outer)
    exact = weights.astype(np.float64)
    is_outer = abs(outer - exact) < abs(inner - exact)
    taken, other = np.where(is_outer, [outer, inner], [inner, outer]).astype(np.float64)
    missing = exact.sum(axis=1) - taken.sum(axis=1)
    for _ in range(weights.shape[1]):
        left = abs(missing[:, None] - (other - taken))
        best = left.argmin(axis=1)
        rows = np.flatnonzero(left[np.arange(len(left)), best] < abs(missing))
        if not len(rows):
            break
        changed = rows, best[rows]
        missing[rows] -= other[changed] - taken[changed]
        taken[changed], other[changed] = other[changed], taken[changed]
    rounded: NDArray[np.float32] = taken.astype(np.float32)
    return rounded
