"""Explains poses: the seed, the edges followed and the scores of each, as numbers and as a table."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from personlab.arrays.numbers import as_integer, as_number, check_type
from personlab.methods.personlab import stages
from personlab.methods.personlab.backends import reference
from personlab.methods.personlab.checks import check_pose_fields
from personlab.methods.personlab.image_fields import check_image_fields
from personlab.options import DecodeOptions
from personlab.skeleton import COCO_PERSON, Skeleton

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from personlab.methods.personlab.fields import Fields

    Floats = NDArray[np.float64]
    Integers = NDArray[np.intp]

_DEFAULTS = DecodeOptions()


@dataclass(frozen=True, eq=False)
class Step:
    """The directed edge that placed a keypoint, and the refinements of its position."""

    edge: int  # channel of mid_offsets: e parent -> child, E + e child -> parent
    source: int  # keypoint types
    target: int
    start: Floats  # (2,) position of the source, pixels
    path: Floats  # (1 + n, 2) target of the mid-range offset, then the position after each of n refinements
    path_probabilities: Floats  # (1 + n,) probability of the target keypoint along the path


@dataclass(frozen=True, eq=False)
class Explanation:
    """The decoding of one pose of K keypoint types; (x, y) in pixels of the network input until `scaled`."""

    skeleton: Skeleton
    rank: int | None  # number of the pose in the result of `decode_poses`; None where it is dropped
    order: int | None  # number of poses seeded before it; None for a seed of the caller
    ahead: int | None  # number of poses before it in soft non-maximum suppression; None likewise
    seed: int  # keypoint type
    seed_position: Floats  # (2,)
    seed_score: float  # Hough score, or the logit in PoseNet's decoder
    steps: tuple[Step, ...]  # best first, in the order of decoding
    keypoints: Floats  # (K, 2) before sharpening; keypoints without a step lie on the seed
    probabilities: Floats  # (K,) p_jk; 0 without a step
    keypoint_scores: Floats  # (K,) s_jk
    takers: Integers  # (K,) `order` of the better pose with the same keypoint, which then does not count; -1: none
    parts: Floats  # (K,) share of each keypoint: s / K of a mean, s^2 / K of a mean square; 0 with a taker
    score: float  # of the instance: sum of the parts, or its root for a root mean square
    sharpened: Floats  # (K, 2) keypoints after the mean shift, which `decode_poses` applies to the poses it keeps

    @property
    def shifts(self) -> Floats:
        """(K,) distance that sharpening moves each keypoint, pixels."""
        return np.asarray(np.hypot(*np.moveaxis(self.sharpened - self.keypoints, -1, 0)))

    def scaled(self, sx: float, sy: float) -> Explanation:
        """Return the explanation with x multiplied by `sx` and y by `sy`, as `Poses.scaled` does."""
        by = np.array([sx, sy], np.float64)
        steps = tuple(replace(step, start=step.start * by, path=step.path * by) for step in self.steps)
        return replace(
            self, steps=steps, keypoints=self.keypoints * by, seed_position=self.seed_position * by,
            sharpened=self.sharpened * by,
        )  # fmt: skip

    @property
    def title(self) -> str:
        """The pose in a few words."""
        if self.order is None:
            return "a seed of your own"
        return "dropped pose" if self.rank is None else f"person {self.rank + 1}"

    def __str__(self) -> str:
        names = self.skeleton.names
        before = ""
        if self.order is not None and self.ahead is not None:
            before = f", seeded as number {self.order + 1}, ranked as number {self.ahead + 1}"
        (x, y), p = self.seed_position, self.probabilities[self.seed]
        s, taker, part, shift = self._columns(self.seed)
        lines = [
            f"{self.title}: score {self.score:.3f}{before}",
            f"seed: {names[self.seed]} at ({x:.1f}, {y:.1f}), seed score {self.seed_score:.3f}, p {p:.3f}, s {s}, "
            + (f"part {part}" if taker == "-" else f"taken by {taker}")
            + f", shift {shift}",
        ]
        rows = [
            [
                "#", "keypoint", "from", "start", "aimed at", "p", "refined to", "moved", "p", "s", "taken by", "part",
                "shift",
            ]
        ]  # fmt: skip
        for number, step in enumerate(self.steps, 2):
            moved = float(np.hypot(*(step.path[-1] - step.path[0])))
            rows.append(
                [
                    str(number), names[step.target], names[step.source], _point(step.start), _point(step.path[0]),
                    f"{step.path_probabilities[0]:.3f}", _point(step.path[-1]), f"{moved:.1f}",
                    f"{self.probabilities[step.target]:.3f}", *self._columns(step.target),
                ]
            )  # fmt: skip
        if len(rows) > 1:
            widths = [max(len(row[c]) for row in rows) for c in range(len(rows[0]))]
            forms = [
                f"{{:{'<' if c in (1, 2) else '>'}{width}}}" for c, width in enumerate(widths)
            ]  # names to the left
            lines += ["  ".join(forms).format(*row) for row in rows]
        reached = {self.seed, *(step.target for step in self.steps)}
        missing = [name for k, name in enumerate(names) if k not in reached]
        return "\n".join(lines + ([f"not reached: {', '.join(missing)}"] if missing else []))

    def _columns(self, k: int) -> tuple[str, str, str, str]:
        """Return texts of keypoint k: score, seed of the pose that takes it, part of the instance score, shift."""
        taker = "-" if self.takers[k] < 0 else f"seed {self.takers[k] + 1}"
        return f"{self.keypoint_scores[k]:.3f}", taker, f"{self.parts[k]:.4f}", f"{self.shifts[k]:.1f}"


def explain_poses(
    fields: Fields, *, skeleton: Skeleton = COCO_PERSON, options: DecodeOptions = _DEFAULTS
) -> list[Explanation]:
    """Explain every pose of an image, in the order of their seeds.

    The float64 reference decodes again from the Hough peaks of the compiled core (completely in PoseNet's decoder).
    `rank` is the number of each pose in the result of `decode_poses`.

    Args:
        fields: of one image.
        skeleton: keypoints and edges of the fields.
        options: as for `decode_poses`.

    Raises:
        TypeError: an argument of the wrong type.
        ValueError: fields of a batch or of another skeleton.
    """
    heat, short, mid = _check_fields(fields, skeleton, options)
    growths: list[reference.Growth] = []
    arguments: dict[str, Any] = {"stride": fields.stride, "skeleton": skeleton, "options": options, "growths": growths}
    hough = None
    if options.decoder == "posenet":
        options = reference.posenet_ranking(options)
        keypoints, p = reference.group_posenet(heat, short, mid, **arguments)
    else:
        hough = stages.hough_vote(heat, short, stride=fields.stride, options=options)
        peaks = stages.find_peaks(hough, options=options)
        keypoints, p = reference.group_poses(peaks, heat, short, mid, **arguments)
    keypoint_scores = _keypoint_scores(keypoints, p, hough, skeleton, options)
    order = reference.seniority(keypoint_scores, options=options)
    takers = reference.find_takers(keypoints, order, nms_radius=options.nms_radius)
    scores = reference.instance_scores(keypoint_scores, takers < 0, options=options)
    kept, _ = reference.rank_poses(keypoints, keypoint_scores, options=options)
    ranks, places = ({int(j): place for place, j in enumerate(listed)} for listed in (kept, order))
    return [
        Explanation(
            skeleton=skeleton,
            rank=ranks.get(j),
            order=j,
            ahead=places[j],
            takers=takers[j],
            score=float(scores[j]),
            **_growth_fields(growth, keypoints[j], p[j], keypoint_scores[j], fields, skeleton),
            **_score_fields(keypoints[j], keypoint_scores[j], takers[j] < 0, hough, options),
        )
        for j, growth in enumerate(growths)
    ]


def explain_pose(
    fields: Fields, pose: int = 0, *, skeleton: Skeleton = COCO_PERSON, options: DecodeOptions = _DEFAULTS
) -> Explanation:
    """Explain pose `pose` of the result of `decode_poses`, counted from 0; other arguments as for `explain_poses`.

    Raises:
        TypeError: an argument of the wrong type.
        ValueError: fields of a batch or of another skeleton.
        IndexError: no such pose.
    """
    pose = as_integer(pose, "pose")
    explanations = explain_poses(fields, skeleton=skeleton, options=options)
    by_rank = {explained.rank: explained for explained in explanations if explained.rank is not None}
    if pose not in by_rank:
        raise IndexError(f"pose: expected a number under {len(by_rank)}, got {pose}")
    return by_rank[pose]


def explain_seed(
    fields: Fields, keypoint: int, x: float, y: float, *, skeleton: Skeleton = COCO_PERSON,
    options: DecodeOptions = _DEFAULTS,
) -> Explanation:  # fmt: skip
    """Explain the pose that grows from a seed of your choice, independent of other poses.

    Args:
        fields: of one image.
        keypoint: type of the seed.
        x: of the seed, input pixels.
        y: of the seed, input pixels.
        skeleton: keypoints and edges of the fields.
        options: as for `decode_poses`.

    Raises:
        TypeError: an argument of the wrong type.
        ValueError: an argument out of range, or fields of a batch, of another skeleton or without cells.
    """
    heat, short, mid = _check_fields(fields, skeleton, options)
    if heat.size == 0:
        raise ValueError(f"fields.heatmaps: expected a grid with cells, got {heat.shape}")
    width, height = fields.input_size
    keypoint = as_integer(keypoint, "keypoint", 0, skeleton.n_keypoints - 1)
    at: Any = np.array([as_number(x, "x", 0, width - 1), as_number(y, "y", 0, height - 1)])
    seed = (keypoint, at[0], at[1])
    followed: list[tuple[int, reference.Path]] = []
    keypoints, p = reference.grow_pose(
        seed, heat, short, mid,
        stride=fields.stride, skeleton=skeleton, refine_steps=options.refine_steps, followed=followed,
    )  # fmt: skip
    hough = None
    if options.decoder == "posenet":
        options = reference.posenet_ranking(options)
        own = float(reference.sample(heat[keypoint], at[0], at[1], fields.stride))
    else:
        hough = stages.hough_vote(heat, short, stride=fields.stride, options=options)
        own = float(reference.sample(hough[keypoint], at[0], at[1], options.hough_stride))
    scores = _keypoint_scores(keypoints[None], p[None], hough, skeleton, options)
    free = np.ones(len(p), bool)
    return Explanation(
        skeleton=skeleton,
        rank=None,
        order=None,
        ahead=None,
        takers=np.full(len(p), -1),
        score=float(reference.instance_scores(scores, free[None], options=options)[0]),
        **_growth_fields(reference.Growth(seed, own, followed), keypoints, p, scores[0], fields, skeleton),
        **_score_fields(keypoints, scores[0], free, hough, options),
    )


def _check_fields(fields: Fields, skeleton: Skeleton, options: DecodeOptions) -> tuple[Any, Any, Any]:
    check_image_fields(fields)
    check_type(options, "options", DecodeOptions)
    check_type(skeleton, "skeleton", Skeleton)
    arrays = fields.heatmaps, fields.short_offsets, fields.mid_offsets
    check_pose_fields(*arrays, stride=fields.stride, skeleton=skeleton)
    return arrays


def _keypoint_scores(keypoints: Any, p: Any, hough: Any, skeleton: Skeleton, options: DecodeOptions) -> Any:
    if options.scoring == "heatmap":
        return _floats(p)
    return reference.expected_oks(keypoints, p, hough, skeleton=skeleton, options=options)


def _score_fields(keypoints: Any, scores: Any, free: Any, hough: Any, options: DecodeOptions) -> dict[str, Any]:
    """Return `parts` and `sharpened` of a pose; `hough` is None for PoseNet's decoder."""
    power = 1 if options.instance_score == "mean" else 2
    sharpened = _floats(keypoints)
    if hough is not None:
        sharpened = reference.sharpen_keypoints(keypoints[None], hough, options=options)[0]
    return {"parts": np.where(free, np.maximum(scores, 0.0) ** power, 0.0) / len(scores), "sharpened": sharpened}


def _growth_fields(
    growth: reference.Growth, keypoints: Any, p: Any, scores: Any, fields: Fields, skeleton: Skeleton
) -> dict[str, Any]:
    """Return the fields of an explanation that describe the growth of a pose."""
    k, x, y = growth.seed
    steps = []
    for edge, path in growth.followed:
        source, target = skeleton.directed_edges[edge]
        points: Any = np.array(path)  # in the precision of the decoder
        probabilities = reference.sample_probability(fields.heatmaps[target], points[:, 0], points[:, 1], fields.stride)
        steps.append(Step(edge, source, target, _floats(keypoints[source]), _floats(points), probabilities))
    return {
        "seed": k,
        "seed_position": np.array([x, y], np.float64),
        "seed_score": growth.score,
        "steps": tuple(steps),
        "keypoints": _floats(keypoints),
        "probabilities": _floats(p),
        "keypoint_scores": _floats(scores),
    }


def _floats(values: Any) -> Floats:
    return np.array(values, np.float64)


def _point(point: Any) -> str:
    return f"({point[0]:.1f}, {point[1]:.1f})"
