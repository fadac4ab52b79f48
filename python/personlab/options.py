"""Options of decoding: frozen and keyword-only, checked when they are made."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, Literal, get_args

from personlab._cached import Cached, PicklesFields
from personlab.arrays.numbers import as_integer, as_number

if TYPE_CHECKING:
    from personlab import _core

Scoring = Literal["expected_oks", "heatmap"]
Decoder = Literal["personlab", "posenet"]
Ranking = Literal["seed", "mean"]
InstanceScore = Literal["rms", "mean"]


def _number(options: object, name: str, low: float, high: float) -> None:
    object.__setattr__(options, name, as_number(getattr(options, name), name, low, high))


def _integer(options: object, name: str, low: int, high: int) -> None:
    object.__setattr__(options, name, as_integer(getattr(options, name), name, low, high))


def _choice(options: object, name: str, choices: tuple[str, ...]) -> None:
    if getattr(options, name) not in choices:
        raise ValueError(f"{name}: expected one of {', '.join(choices)}, got {getattr(options, name)!r}")


@dataclass(frozen=True, kw_only=True)
class DecodeOptions(PicklesFields):
    """Options of keypoint detection and grouping (PersonLab, section 3.1).

    With `threads` above 1, threads of a pool that the whole process shares help the caller: with images of a batch, or
    with parts of one image. The default of 1 leaves the other processors to the network and to other threads and
    processes that decode, which use them better than one call does.

    Attributes:
        hough_stride: input pixels between neighbouring lattice points of the Hough map; the paper's is 1
        disk_radius: R, radius of a keypoint's disc, input pixels; commands take the network's own, if it has one
        vote_threshold: lattice points of a lower probability cast no vote
        peak_threshold: local maxima of a lower Hough score are no seeds
        nms_radius: keypoints of one type up to this far apart count as one, input pixels
        refine_steps: short-offset refinements of each keypoint reached along a mid-range offset
        scoring: score of a keypoint: Expected-OKS (the paper) or its probability
        ranking: order of soft NMS: that of the seeds, or by mean keypoint score (the paper)
        instance_score: root mean square of the free keypoint scores, or their mean (the paper)
        sharpen: sigma of the final mean shift of each keypoint, input pixels; 0 turns it off (the paper)
        min_score: poses of a lower instance score, before calibration, are dropped
        max_poses: poses kept, best first
        threads: threads that share the work of one call, the caller's included
        decoder: the paper's decoder, or that of Google's PoseNet (see `posenet`)

    Raises:
        TypeError: a value of the wrong type, or an unknown name.
        ValueError: a value out of range.
    """

    hough_stride: int = 2
    disk_radius: float = 32.0
    vote_threshold: float = 0.1
    peak_threshold: float = 0.02
    nms_radius: float = 15.0
    refine_steps: int = 5
    scoring: Scoring = "expected_oks"
    ranking: Ranking = "seed"
    instance_score: InstanceScore = "rms"
    sharpen: float = 4.0
    min_score: float = 0.2
    max_poses: int = 100
    threads: int = 1
    decoder: Decoder = "personlab"

    def __post_init__(self) -> None:
        _integer(self, "hough_stride", 1, 1024)
        _number(self, "disk_radius", 1e-3, 4096)
        _number(self, "vote_threshold", 0, 1)
        _number(self, "peak_threshold", 1e-9, math.inf)
        _number(self, "nms_radius", 0, math.inf)
        _integer(self, "refine_steps", 0, 1000)
        _choice(self, "scoring", get_args(Scoring))
        _choice(self, "ranking", get_args(Ranking))
        _choice(self, "instance_score", get_args(InstanceScore))
        _number(self, "sharpen", 0, 1024)
        _number(self, "min_score", 0, 1)
        _integer(self, "max_poses", 0, 2**31 - 1)
        _integer(self, "threads", 1, 1024)
        _choice(self, "decoder", get_args(Decoder))

    @classmethod
    def paper(cls, **changes: Any) -> DecodeOptions:
        """Return options of the paper's own scoring (section 3.1.3): ranked and scored by mean, keypoints unchanged.

        The paper's are `ranking` "mean", `instance_score` "mean", `sharpen` 0, `scoring` "expected_oks", `disk_radius`
        32, `nms_radius` 10 and `peak_threshold` 0.01; this library's are `hough_stride` 2 (the paper's: 1),
        `vote_threshold` 0.1, `refine_steps` 5 and `min_score` 0.2. `max_poses` and `threads` are the defaults.

        Args:
            changes: fields with other values.

        Raises:
            TypeError: a value of the wrong type, or an unknown name.
            ValueError: a value out of range.
        """
        fixed: dict[str, Any] = {
            "hough_stride": 2,
            "disk_radius": 32.0,
            "vote_threshold": 0.1,
            "peak_threshold": 0.01,
            "nms_radius": 10.0,
            "refine_steps": 5,
            "scoring": "expected_oks",
            "ranking": "mean",
            "instance_score": "mean",
            "sharpen": 0.0,
            "min_score": 0.2,
        }
        return cls(**{**fixed, **changes})

    @classmethod
    def posenet(
        cls,
        score_threshold: float = 0.5,
        nms_radius: float = 20.0,
        refine_steps: int = 5,
        max_poses: int = 20,
        *,
        threads: int = 1,
    ) -> DecodeOptions:
        """Return options with which `decode_poses` equals the published PoseNet decoder, number for number.

        Args:
            score_threshold: min probability of a seed, min mean probability of a pose, and min instance score.
            nms_radius: keypoints of one type up to this far apart count as one, input pixels.
            refine_steps: short-offset refinements of each keypoint reached along a mid-range offset.
            max_poses: number of poses at which decoding stops.
            threads: threads that share the work of one call.
        """
        return cls(
            decoder="posenet",
            scoring="heatmap",
            ranking="mean",
            instance_score="mean",
            sharpen=0.0,
            min_score=as_number(score_threshold, "score_threshold", 0, 1),
            nms_radius=nms_radius,
            refine_steps=refine_steps,
            max_poses=max_poses,
            threads=threads,
        )

    @Cached
    def native(self) -> _core.DecodeOptions:
        """Return the compiled core's copy of these options."""
        from personlab import _core

        return _core.DecodeOptions(**{field.name: getattr(self, field.name) for field in fields(self)})


@dataclass(frozen=True, kw_only=True)
class MaskOptions(PicklesFields):
    """Options of assigning pixels to poses (PersonLab, section 3.2).

    Attributes:
        mask_threshold: pixels of a lower person probability are background
        distance_threshold: max distance D_j(x) of a pixel x of pose j, in units of the pose's size lambda_j
        long_refine_steps: refinements of a long offset by the long offsets
        short_refine_steps: refinements after these by the short offsets, if there are any
        exclusive: a pose yields a pixel to a nearer pose of a higher score, and to no other
        score_power: mask score = instance score x (mean person probability over the mask) to this power
        threads: threads that share the work of one call, the caller's included

    Raises:
        TypeError: a value of the wrong type, or an unknown name.
        ValueError: a value out of range.
    """

    mask_threshold: float = 0.5
    distance_threshold: float = 0.25
    long_refine_steps: int = 2
    short_refine_steps: int = 2
    exclusive: bool = False
    score_power: float = 3.0
    threads: int = 1

    def __post_init__(self) -> None:
        _number(self, "mask_threshold", 0, 1)
        _number(self, "distance_threshold", 0, math.inf)
        _integer(self, "long_refine_steps", 0, 1000)
        _integer(self, "short_refine_steps", 0, 1000)
        if not isinstance(self.exclusive, bool):
            raise TypeError(f"exclusive: expected a bool, got {self.exclusive!r}")
        _number(self, "score_power", 0, 100)
        _integer(self, "threads", 1, 1024)

    @Cached
    def native(self) -> _core.MaskOptions:
        """Return the compiled core's copy of these options."""
        from personlab import _core

        return _core.MaskOptions(**{field.name: getattr(self, field.name) for field in fields(self)})
