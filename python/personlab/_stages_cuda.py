"""The stages on a GPU: arrays in its memory are checked, work is queued there, results stay there."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from personlab._device import Queue, address_of
from personlab.decode import check_hough_shapes

if TYPE_CHECKING:
    from personlab.options import DecodeOptions


def hough_vote(heatmaps: Any, short_offsets: Any, *, stride: Any, options: DecodeOptions) -> Any:
    """Hough scores (K, H', W') float32; see `personlab.stages.hough_vote`."""
    queue = Queue.of(heatmaps=heatmaps, short_offsets=short_offsets)
    heatmaps, short_offsets = queue.take(heatmaps, "heatmaps"), queue.take(short_offsets, "short_offsets")
    stride = check_hough_shapes(heatmaps, short_offsets, stride, options)
    k, h, w = heatmaps.shape
    rows, columns = (((n - 1) * stride // options.hough_stride + 1) if h * w else 0 for n in (h, w))
    scores = queue.empty((k, rows, columns), "float32")
    sums = queue.empty((k, rows, columns), "int64")
    queue.native.hough_vote(
        queue.field(heatmaps, stride), queue.field(short_offsets, stride), options.native, address_of(sums),
        address_of(scores), queue.device, queue.stream,
    )  # fmt: skip
    return scores
