"""Options of decoding for Simple Pose: frozen and keyword-only, checked when they are made."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, Literal, get_args

from personlab._cached import Cached, PicklesFields
from personlab.arrays.numbers import as_integer, as_number

if TYPE_CHECKING:
    from personlab import _core

Rules = Literal["default", "part_b", "demo", "part_a"]
Position = Literal["parabola", "centroid", "swapped_centroid", "cell"]
ORIGINALS: tuple[Rules, ...] = ("part_b", "demo", "part_a")


@dataclass(frozen=True, kw_only=True)
class SimplePoseOptions(PicklesFields):
    """Options of finding people in maps of keypoints and limbs.

    With `threads` above 1, threads of a pool that the whole process shares help the caller: with images of a batch, or
    with the keypoints and limbs of one image.

    Attributes:
        peak_threshold: local maxima of a keypoint's map below this value are no candidates
        limb_threshold: samples of a limb's map up to this value do not support the limb
        min_support: share of a limb's samples that have to support it
        max_samples: samples along a limb; a short one has one for each pixel of its length
        position: where a peak lies: at the vertex of parabolas through the logarithms of the maps (exact for a
            Gaussian), at the centroid of the box around its cell, at that with x and y exchanged, or at its cell
        box_radius: of the box of the centroid, pixels of the image
        length_ratio: limbs longer than this many times the longest limb of a body are not added to it
        merge_ratio: bodies are merged by a limb whose score is at least this share of their lowest limb score
        resolve_shared: whether of two bodies that a limb joins and that share a keypoint type, one loses its end
        min_keypoints: bodies of fewer keypoints are dropped
        min_score: bodies are dropped whose keypoints have a lower mean score, half of which is the peak's and half the
            best limb's; for a lone keypoint that half is 0
        max_peaks: candidates kept of each keypoint type, the highest; bounds the pairs of a map full of noise
        max_reach: limbs of a peak longer than this many times its shortest sure one are not tried; a sure limb has a
            score of at least 0.5, and counts as at least a twentieth of the height of the image
        max_poses: people kept, best first
        threads: threads that share the work of one call, the caller's included
        rules: this library's decoder, or an original's number for number (see `original`)

    Raises:
        TypeError: a value of the wrong type, or an unknown name.
        ValueError: a value out of range.
    """

    peak_threshold: float = 0.1
    limb_threshold: float = 0.1
    min_support: float = 0.8
    max_samples: int = 10
    position: Position = "parabola"
    box_radius: int = 2
    length_ratio: float = 16.0
    merge_ratio: float = 0.7
    resolve_shared: bool = False
    min_keypoints: int = 1
    min_score: float = 0.45
    max_peaks: int = 256
    max_reach: float = 4.0
    max_poses: int = 1000
    threads: int = 1
    rules: Rules = "default"

    def __post_init__(self) -> None:
        freeze = object.__setattr__
        endless = float("inf")
        for name, minimum, maximum in (
            ("peak_threshold", 1e-9, endless), ("limb_threshold", 0, endless), ("min_support", 0, 1),
            ("length_ratio", 0, endless), ("max_reach", 1, endless), ("merge_ratio", 0, endless),
            ("min_score", 0, endless),
        ):  # fmt: skip
            freeze(self, name, as_number(getattr(self, name), name, minimum, maximum))
        for name, low, high in (
            ("max_samples", 2, 1024), ("box_radius", 0, 64), ("min_keypoints", 1, 2**31 - 1),
            ("max_peaks", 0, 2**31 - 1), ("max_poses", 0, 2**31 - 1), ("threads", 1, 1024),
        ):  # fmt: skip
            freeze(self, name, as_integer(getattr(self, name), name, low, high))
        if not isinstance(self.resolve_shared, bool):
            raise TypeError(f"resolve_shared: expected a bool, got {self.resolve_shared!r}")
        for name, choices in (("position", get_args(Position)), ("rules", get_args(Rules))):
            if getattr(self, name) not in choices:
                raise ValueError(f"{name}: expected one of {', '.join(choices)}, got {getattr(self, name)!r}")

    @classmethod
    def original(cls, part: Literal["B", "A"] = "B", *, demo: bool = False, **changes: Any) -> SimplePoseOptions:
        """Return options with which decoding equals an original, number for number.

        Args:
            part: "B", of the hourglass network (Improved-Body-Parts), or "A", of the VGG network.
            demo: the rules of Part B's demo script instead of its evaluation: at least 4 keypoints, stricter limits.
            changes: fields with other values; `position="centroid"` repairs the exchange of x and y in Part B.

        Raises:
            TypeError: a value of the wrong type, or an unknown name.
            ValueError: a value out of range, or no such part.
        """
        if part not in ("A", "B") or (demo and part == "A"):
            raise ValueError(f"part: expected B or A, which has no demo script, got {part!r}")
        unbounded = dict.fromkeys(("max_peaks", "max_poses"), 2**31 - 1)
        fixed: dict[str, Any] = {"min_score": 0.45, "merge_ratio": 0.7, "max_reach": 1e9, **unbounded}
        if part == "B":
            fixed |= {
                "peak_threshold": 0.1, "limb_threshold": 0.1, "min_support": 0.8, "max_samples": 20,
                "position": "swapped_centroid", "box_radius": 2, "length_ratio": 16.0, "resolve_shared": False,
                "min_keypoints": 4 if demo else 2, "rules": "demo" if demo else "part_b",
            }  # fmt: skip
        else:
            fixed |= {
                "peak_threshold": 0.15, "limb_threshold": 0.15, "min_support": 0.9, "max_samples": 10,
                "position": "cell", "length_ratio": 4.0, "merge_ratio": 0.85, "resolve_shared": True,
                "min_keypoints": 2, "rules": "part_a",
            }  # fmt: skip
        return cls(**{**fixed, **changes})

    @Cached
    def native(self) -> _core.SimplePoseOptions:
        """Return the compiled core's copy of these options."""
        from personlab import _core

        return _core.SimplePoseOptions(**{field.name: getattr(self, field.name) for field in fields(self)})
