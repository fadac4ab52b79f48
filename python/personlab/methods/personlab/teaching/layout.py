"""Which fields a teacher can teach, which others weigh them, and how they lie in one array of an image."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from personlab.methods.personlab.fields import FIELD_NAMES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from personlab.skeleton import Skeleton

WEIGHED_BY = {"short_offsets": "heatmaps", "mid_offsets": "heatmaps", "long_offsets": "segmentation"}
"""the probability that says where offsets are meant, by the name of the offsets"""

PROBABILITIES = ("heatmaps", "segmentation")
_OF_MASKS = ("segmentation", "long_offsets")


def check_teacher(config: Any, skeleton: Skeleton, names: Sequence[str]) -> None:
    """Check that a network can teach these fields to one of a skeleton.

    Args:
        config: of the teacher.
        skeleton: of the student.
        names: of the fields.

    Raises:
        ValueError: another skeleton, an unknown field, or one that the teacher does not have.
    """
    if unknown := [name for name in names if name not in FIELD_NAMES]:
        raise ValueError(f"fields: expected some of {', '.join(FIELD_NAMES)}, got {unknown[0]}")
    own = config.skeleton
    if own.names != skeleton.names:
        other = next((name for name in own.names if name not in skeleton.names), "another order")
        raise ValueError(
            f"weights: expected a network of the student's {skeleton.n_keypoints} keypoints, got one of "
            f"{own.n_keypoints} ({other})"
        )
    if own.edges != skeleton.edges:
        raise ValueError("weights: expected a network of the student's edges, got one of others")
    if not config.masks and (missing := [name for name in names if name in _OF_MASKS]):
        raise ValueError(f"fields: expected none of {', '.join(_OF_MASKS)}, which the network lacks, got {missing[0]}")


def needed(names: Sequence[str]) -> tuple[str, ...]:
    """Return the fields that are kept to teach these, in the order of `FIELD_NAMES`."""
    return tuple(
        name for name in FIELD_NAMES if name in names or any(WEIGHED_BY.get(taught) == name for taught in names)
    )


def channels(names: Sequence[str], skeleton: Skeleton) -> dict[str, slice]:
    """Return where each kept field lies along the channels of an array that keeps what teaches these."""
    k, e = skeleton.n_keypoints, skeleton.n_edges
    counts = {"heatmaps": k, "short_offsets": 2 * k, "mid_offsets": 4 * e, "segmentation": 1, "long_offsets": 2 * k}
    places, start = {}, 0
    for name in needed(names):
        places[name] = slice(start, start + counts[name])
        start += counts[name]
    return places
