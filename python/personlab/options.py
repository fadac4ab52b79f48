"""How decoding is to be done: frozen, keyword-only options, checked when they are made."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, Literal, get_args

from personlab._cached import Cached
from personlab.arrays.numbers import as_integer, as_number

if TYPE_CHECKING:
    from personlab import _core

Scoring = Literal["expected_oks", "heatmap"]
Decoder = Literal["personlab", "posenet"]
Ranking = Literal["seed", "mean"]
InstanceScore = Literal["rms", "mean"]


def _number(options: object, name: str, lowest: float, highest: float) -> None:
    object.__setattr__(options, name, as_number(getattr(options, name), name, lowest, highest))


def _integer(options: object, name: str, lowest: int, highest: int) -> None:
    object.__setattr__(options, name, as_integer(getattr(options, name), name, lowest, highest))


def _choice(options: object, name: str, choices: tuple[str, ...]) -> None:
    if getattr(options, name) not in choices:
        raise ValueError(f"{name}: expected one of {', '.join(choices)}, got {getattr(options, name)!r}")


class _Picklable:
    """Leaves the cached native copy behind when options travel to another process."""

    def __getstate__(self) -> dict[str, Any]:
        return {field.name: getattr(self, field.name) for field in fields(self)}  # type: ignore[arg-type]

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)


@dataclass(frozen=True, kw_only=True)
class DecodeOptions(_Picklable):
    """How keypoints are found and grouped into poses (PersonLab, section 3.1).

    With more `threads` than one, those of a pool that all calls of the process share help the caller: with images of
    a batch, or with parts of one image. The default of one leaves the other processors to the network, and to other
    threads and processes that decode: they use them better than one call does.

    Raises:
        TypeError: a value of the wrong type, or an unknown name.
        ValueError: a value out of range.
    """

    hough_stride: int = 2  # input pixels between neighbouring lattice points of the Hough map; 1 is the paper
    disk_radius: float = 32.0  # R, input pixels: radius of a keypoint's disc; commands take the network's, where known
    vote_threshold: float = 0.1  # probability under which a lattice point casts no vote
    peak_threshold: float = 0.02  # Hough score under which a local maximum is no seed
    nms_radius: float = 15.0  # input pixels: two keypoints of one type this near are one
    refine_steps: int = 5  # short-offset refinements of each keypoint reached along a mid-range offset
    scoring: Scoring = "expected_oks"  # what a keypoint's score is: Expected-OKS (the paper) or its probability
    ranking: Ranking = "seed"  # order of soft NMS: that of the seeds, or by mean keypoint score (the paper)
    instance_score: InstanceScore = "rms"  # of the free keypoint scores: root mean square, or mean (the paper)
    sharpen: float = 4.0  # sigma of the final mean shift of each keypoint, input pixels; 0 turns it off (the paper)
    min_score: float = 0.2  # instance score, not calibrated, under which a pose is dropped
    max_poses: int = 100  # poses kept, best first
    threads: int = 1  # threads that share the work of one call, the caller's among them
    decoder: Decoder = "personlab"  # the paper's decoder, or that of Google's PoseNet (see `posenet`)

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
        """Options of the paper's own scoring (section 3.1.3): ranked and scored by mean, keypoints left as they are.

        With `ranking` "mean", `instance_score` "mean", `sharpen` 0 and `scoring` "expected_oks" go the paper's
        `disk_radius` 32, `nms_radius` 10 and `peak_threshold` 0.01. `hough_stride` 2, `vote_threshold` 0.1,
        `refine_steps` 5 and `min_score` 0.2 are this library's: the paper itself votes at a Hough stride of 1.
        `max_poses` and `threads` are the defaults.

        Args:
            changes: fields that are to be other than these.

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
        """Options under which `decode_poses` gives what the published PoseNet decoder gives, number for number.

        Args:
            score_threshold: least probability of a seed, least mean probability of a pose, least instance score.
            nms_radius: input pixels within which two keypoints of one type are one.
            refine_steps: short-offset refinements of each keypoint reached along a mid-range offset.
            max_poses: poses accepted before decoding stops.
            threads: threads that share a batch.
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
        """The compiled core's copy of these options."""
        from personlab import _core

        return _core.DecodeOptions(
            hough_stride=self.hough_stride,
            disk_radius=self.disk_radius,
            vote_threshold=self.vote_threshold,
            peak_threshold=self.peak_threshold,
            nms_radius=self.nms_radius,
            refine_steps=self.refine_steps,
            expected_oks=self.scoring == "expected_oks",
            posenet=self.decoder == "posenet",
            min_score=self.min_score,
            max_poses=self.max_poses,
            threads=self.threads,
            rank_by_mean=self.ranking == "mean",
            mean_instance_score=self.instance_score == "mean",
            sharpen=self.sharpen,
        )


@dataclass(frozen=True, kw_only=True)
class MaskOptions(_Picklable):
    """How pixels are given to poses (PersonLab, section 3.2); `threads` as in `DecodeOptions`.

    Raises:
        TypeError: a value of the wrong type, or an unknown name.
        ValueError: a value out of range.
    """

    mask_threshold: float = 0.5  # person probability under which a pixel is background
    distance_threshold: float = 0.25  # D_j(x), in units of the pose's size lambda_j, up to which a pixel is pose j's
    long_refine_steps: int = 2  # refinements of a long offset by the long offsets
    short_refine_steps: int = 2  # refinements after that by the short offsets, where these are given
    exclusive: bool = False  # a pose yields a pixel to a nearer pose of a higher score, and to no other
    score_power: float = 3.0  # mask score = instance score x (mean person probability over the mask) to this power
    threads: int = 1  # threads that share the work of one call, the caller's among them

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
        """The compiled core's copy of these options."""
        from personlab import _core

        return _core.MaskOptions(
            mask_threshold=self.mask_threshold,
            distance_threshold=self.distance_threshold,
            long_refine_steps=self.long_refine_steps,
            short_refine_steps=self.short_refine_steps,
            exclusive=self.exclusive,
            threads=self.threads,
            score_power=self.score_power,
        )
