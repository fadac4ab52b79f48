"""Times each stage of decoding on this machine, beside the time of its memory traffic and votes alone."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from statistics import median
from typing import TYPE_CHECKING, Any

import numpy as np

from personlab import _core
from personlab.arrays.numbers import as_integer, check_type
from personlab.methods.personlab.checks import check_pose_fields
from personlab.methods.personlab.decode import decode_masks, decode_poses
from personlab.options import DecodeOptions, MaskOptions
from personlab.skeleton import COCO_PERSON, Skeleton
from personlab.timing import median_seconds

if TYPE_CHECKING:
    from personlab.methods.personlab.fields import Fields

STAGES = ("scan", "vote", "peaks", "group", "score")  # the scan is part of the votes
_CACHE_LINE = 64  # bytes
_MIN_MASK_ROUNDS = 10  # masks take longer than poses, and get a tenth of the rounds


@dataclass(frozen=True)
class Timing:
    """Median times of one image, seconds, and lower bounds."""

    poses: float  # the whole call of decode_poses
    masks: float | None  # the whole call of decode_masks; None where the fields have no masks
    stages: dict[str, float]  # by stage, inside the core
    floors: dict[str, float]  # by stage without the scan: bytes at the scan's rate, votes at the rate of adding
    votes: int
    people: int  # poses decoded


def time_decoding(
    fields: Fields,
    *,
    skeleton: Skeleton = COCO_PERSON,
    options: DecodeOptions = DecodeOptions(),  # noqa: B008  # frozen
    mask_options: MaskOptions = MaskOptions(),  # noqa: B008  # frozen
    rounds: int = 100,
) -> Timing:
    """Time the paper's decoder on one image, each stage by itself and the whole calls.

    Floors are lower bounds, not goals: the time of the memory traffic alone. The scan reads the heatmaps once. Votes
    are added twice each, to sums in the first-level cache, after the scan. Peaks read the tiles with scores above the
    threshold; a step of a growing pose reads two rows of two planes; a keypoint's score reads its disc.

    Args:
        fields: of one image, not a batch.
        skeleton: keypoints and edges.
        options: of decoding, `threads` included.
        mask_options: of decoding masks.
        rounds: number of runs of each stage.

    Raises:
        TypeError, ValueError: as `decode_poses`; also for a batch and for options of PoseNet's decoder.
    """
    arrays = (fields.heatmaps, fields.short_offsets, fields.mid_offsets)
    check_type(skeleton, "skeleton", Skeleton)
    stride = check_pose_fields(*arrays, stride=fields.stride, skeleton=skeleton, options=options)
    if fields.heatmaps.ndim != 3:
        raise ValueError(f"fields: expected those of one image, got a batch of {len(fields.heatmaps)}")
    if options.decoder != "personlab":
        raise ValueError(f"options: expected the paper's decoder, whose stages these are, got {options.decoder}")
    rounds = as_integer(rounds, "rounds", 1)
    times: dict[str, Any] = _core.stage_times(
        heatmaps=fields.heatmaps, short_offsets=fields.short_offsets, mid_offsets=fields.mid_offsets, stride=stride,
        skeleton=skeleton.native, options=options.native, rounds=rounds,
    )  # fmt: skip
    decoded: Any = decode_poses(*arrays, stride=stride, skeleton=skeleton, options=options)
    poses = median_seconds(lambda: decode_poses(*arrays, stride=stride, skeleton=skeleton, options=options), rounds)
    masks = None
    if fields.segmentation is not None and fields.long_offsets is not None:
        width, height = fields.image_size or fields.input_size

        def decode_all_masks() -> Any:
            return decode_masks(
                decoded, fields.segmentation, fields.long_offsets, short_offsets=fields.short_offsets, stride=stride,
                size=(height, width), options=mask_options,
            )  # fmt: skip

        masks = median_seconds(decode_all_masks, max(_MIN_MASK_ROUNDS, rounds // 10))
    scan, add = median(times["scan"]), median(times["add"])
    rate = max(fields.heatmaps.nbytes, 1) / max(scan, 1e-9)  # bytes a second
    edges, steps = skeleton.n_keypoints - 1, 1 + options.refine_steps
    disc = math.pi * options.disk_radius**2 / options.hough_stride**2  # lattice points
    floors = {
        "vote": scan + add,
        "peaks": times["high_tiles"] * times["tile_points"] * 4 / rate,
        "group": times["poses"] * edges * steps * 4 * _CACHE_LINE / rate,
        "score": times["scored"] * disc * 4 / rate,
    }
    stages = {stage: median(times[stage]) for stage in STAGES}
    return Timing(poses, masks, stages, floors, times["votes"], len(decoded))


def bench_row(fields: Fields, *, options: DecodeOptions, mask_options: MaskOptions, rounds: int) -> dict[str, Any]:
    """Return the row of `personlab bench` for one image, by column; arguments and errors as of `time_decoding`."""
    timing = time_decoding(fields, options=options, mask_options=mask_options, rounds=rounds)
    h, w = fields.heatmaps.shape[-2:]
    stages = {
        f"{stage} / floor" if stage in timing.floors else stage: (
            (seconds, timing.floors[stage]) if stage in timing.floors else seconds
        )
        for stage, seconds in timing.stages.items()
    }
    counts = {"grid": f"{h}x{w}", "people": timing.people, "votes": timing.votes}
    return {**counts, **stages, "poses": timing.poses, "masks": timing.masks}


def crowd(people: int, *, size: tuple[int, int] = (481, 641), stride: int = 8, seed: int = 0) -> Fields:
    """Return the fields of a perfect network for a drawn crowd.

    Args:
        people: number of people.
        size: (H, W) of the network input, each a multiple of `stride` plus 1.
        stride: input pixels from cell to cell.
        seed: of the scene.

    Raises:
        TypeError, ValueError: as `make_scene` and `encode_targets`.
    """
    from personlab.data.synthetic.scenes import make_scene
    from personlab.methods.personlab.targets import encode_targets

    scene = make_scene(seed, size=size, people=people)
    fields = encode_targets(scene.keypoints, scene.masks, size=size, stride=stride).to_fields()
    return replace(fields, heatmaps=_soften(fields.heatmaps))


def _soften(heatmaps: Any) -> Any:
    """Average logits over 3 x 3 cells: they fall off towards the border of a disc gradually, as those of networks."""
    padded = np.pad(heatmaps, ((0, 0), (1, 1), (1, 1)), mode="edge")
    h, w = heatmaps.shape[1:]
    total = sum(padded[:, i : i + h, j : j + w] for i in range(3) for j in range(3))
    return np.asarray(total / 9, np.float32)
