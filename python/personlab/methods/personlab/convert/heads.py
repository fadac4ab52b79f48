"""The heads of Google's PoseNet and BodyPix networks by the names of their outputs; needs no torch."""

from __future__ import annotations

from typing import TYPE_CHECKING

from personlab.nn.state import some

if TYPE_CHECKING:
    from collections.abc import Iterable

GOOGLE_NAMES = {"forward": "displacement_fwd", "backward": "displacement_bwd"}  # PersonLab joins them: mid_offsets

# Part of the name of an output in Google's files, head. The first match counts.
_HEADS = (
    ("part_", None),  # BodyPix's body parts: not a field of PersonLab
    ("displacement_fwd", "forward"),
    ("displacement_bwd", "backward"),
    ("segment", "segmentation"),
    ("long_offset", "long_offsets"),
    ("heatmap", "heatmaps"),
    ("offset", "short_offsets"),
)
_NEEDED = ("heatmaps", "short_offsets", "forward", "backward")
_MASKS = ("segmentation", "long_offsets")


def find_heads(outputs: Iterable[str]) -> dict[str, str]:
    """Return the output of the network for each head, matched by name.

    Raises:
        ValueError: a head is missing or ambiguous.
    """
    outputs = list(outputs)
    heads: dict[str, str] = {}
    for name in outputs:
        head = next((head for text, head in _HEADS if text in name), None)
        if head is None:
            continue
        if head in heads:
            raise ValueError(f"expected one output of {head}, got {heads[head]!r} and {name!r}")
        heads[head] = name
    needed = _NEEDED + (_MASKS if any(head in heads for head in _MASKS) else ())
    if missing := [GOOGLE_NAMES.get(head, head) for head in needed if head not in heads]:
        raise ValueError(
            f"expected a PoseNet or BodyPix network, got one without {' and '.join(missing)} among its outputs "
            f"{some(outputs, 10)}"
        )
    return heads
