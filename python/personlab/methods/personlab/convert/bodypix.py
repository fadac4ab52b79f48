"""Runs graphs of PoseNet and BodyPix in ONNX files as they are: their inputs and outputs are mapped, in NumPy alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from personlab.methods.base import Adapter
from personlab.methods.personlab.config import ModelConfig
from personlab.methods.personlab.convert.heads import find_heads
from personlab.skeleton import COCO_PERSON

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from numpy.typing import NDArray

    from personlab.io.onnx_graph import GraphFacts, Shape

    Floats = NDArray[np.float32]
    Named = Mapping[str, Floats]

_STEM = 32  # channels behind the first convolution at width 1
_PROBE = 33  # pixels of the image that shows the stride: 5 cells at stride 8, 3 at 16
_GRAY = np.float32(127.5)  # Google's networks see pixel / 127.5 - 1
# Head, its channels for people of COCO. Offsets are all dy, then all dx.
_CHANNELS = {
    "heatmaps": COCO_PERSON.n_keypoints,
    "short_offsets": 2 * COCO_PERSON.n_keypoints,
    "forward": 2 * COCO_PERSON.n_edges,
    "backward": 2 * COCO_PERSON.n_edges,
    "segmentation": 1,
    "long_offsets": 2 * COCO_PERSON.n_keypoints,
}


def adapt(facts: GraphFacts, run: Callable[[Named], Named]) -> Adapter:
    """Return how a graph of PoseNet or BodyPix stands in for a PersonLab network.

    The graph takes images (1, H, W, 3), pixels from -1 to 1, and returns logits and offsets in pixels, channels last.

    Args:
        facts: about the graph.
        run: runs the graph on its inputs by name; called once, on a small image, whose outputs show the stride.

    Raises:
        ValueError: another graph.
    """
    heads = find_heads(facts.outputs)
    if len(facts.inputs) != 1:
        raise ValueError(f"expected one input, got {len(facts.inputs)}")
    ((image, shape),) = facts.inputs.items()
    if len(shape) != 4 or shape[0] not in (1, None) or shape[3] not in (3, None):
        raise ValueError(f"{image}: expected an input of shape (1, H, W, 3), got {_shown(shape)}")
    for head, name in heads.items():
        found = facts.outputs[name]
        if len(found) != 4 or found[3] not in (_CHANNELS[head], None):
            expected = f"(1, h, w, {_CHANNELS[head]})"
            raise ValueError(f"{name}: expected an output of shape {expected}, got {_shown(found)}")
    height, width = (_PROBE if side is None else side for side in shape[1:3])
    probe = run({image: np.zeros((1, height, width, 3), np.float32)})[heads["heatmaps"]]
    config = ModelConfig(
        width=_width(facts.constants.values()),
        stride=_stride((height, width), probe.shape[1:3]),
        skeleton=COCO_PERSON,
        masks="segmentation" in heads,
        norm="none",
        normalization="minus_one_to_one",
    )

    def needs(names: Sequence[str]) -> list[str]:
        asked = [head for name in names for head in (("forward", "backward") if name == "mid_offsets" else (name,))]
        return [heads[head] for head in asked if head in heads]

    return Adapter(
        config=config,
        max_batch=shape[0],
        feed=lambda images: {image: (images - _GRAY) / _GRAY},
        needs=needs,
        read=lambda outputs: _read({head: outputs[name] for head, name in heads.items() if name in outputs}),
    )


def _read(heads: Named) -> dict[str, Floats]:
    """Turn outputs (N, h, w, channels) into those of PersonLab, channels first."""
    arrays: dict[str, Floats] = {
        name: np.ascontiguousarray(np.moveaxis(heads[name], -1, 1))
        for name in ("heatmaps", "segmentation")
        if name in heads
    }
    for name in ("short_offsets", "long_offsets"):
        if name in heads:
            arrays[name] = _pairs(heads[name])
    if "forward" in heads:
        arrays["mid_offsets"] = _pairs(heads["forward"], heads["backward"])
    return arrays


def _pairs(*blocks: Floats) -> Floats:
    """Join (N, h, w, 2C) arrays of all dy before all dx as one (N, C of all, 2, h, w) of (dx, dy)."""
    n, h, w, _ = blocks[0].shape
    counts = [block.shape[3] // 2 for block in blocks]
    pairs = np.empty((n, sum(counts), 2, h, w), np.float32)
    start = 0
    for block, count in zip(blocks, counts, strict=True):
        channels = np.moveaxis(block, -1, 1)
        own = pairs[:, start : start + count]
        own[:, :, 0], own[:, :, 1] = channels[:, count:], channels[:, :count]
        start += count
    return pairs


def _width(shapes: Iterable[Shape]) -> float:
    """Return the width of a MobileNetV1 from the shapes of all constants, its weights among them.

    Raises:
        ValueError: the constants are not a MobileNetV1's: it may want other pixels.
    """
    stems = {shape[0] for shape in shapes if shape[1:] == (3, 3, 3)}
    if len(stems) != 1:
        raise ValueError(
            f"expected a MobileNetV1, got a network of {len(stems)} convolutions of images by 3 x 3 pixels"
        )
    return (stems.pop() or 0) / _STEM


def _stride(size: tuple[int, int], grid: Sequence[int]) -> int:
    """Return the stride at which a grid (h, w) covers an input of `size` (H, W), pixels."""
    for stride in (8, 16):
        if tuple(-(-side // stride) for side in size) == tuple(grid):
            return stride
    raise ValueError(f"expected outputs at stride 8 or 16, got a grid of {tuple(grid)} for an image of {size}")


def _shown(shape: Sequence[Any]) -> str:
    return f"({', '.join('any' if side is None else str(side) for side in shape)})"
