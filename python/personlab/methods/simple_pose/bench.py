"""Times decoding of maps on this machine, beside the time of reading the maps of keypoints alone."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from personlab.arrays.numbers import as_integer
from personlab.methods.simple_pose.ceiling import perfect_fields
from personlab.methods.simple_pose.decode import decode_simple_pose
from personlab.methods.simple_pose.stages import decode_steps
from personlab.timing import median_seconds

if TYPE_CHECKING:
    from personlab.methods.simple_pose.fields import SimplePoseFields
    from personlab.methods.simple_pose.options import SimplePoseOptions

_NO_PEAK = 1e30  # a threshold that no map reaches


@dataclass(frozen=True)
class Timing:
    """Median times of one image, seconds, and what was decoded."""

    call: float  # the whole call of decode_simple_pose
    scan: float  # the same call where no cell is a peak: maps are read, and nothing else is done
    floor: float  # NumPy's max over the maps of keypoints, which reads each number once
    peaks: int
    connections: int
    people: int


def time_decoding(fields: SimplePoseFields, *, options: SimplePoseOptions, rounds: int = 100) -> Timing:
    """Time the decoding of one image.

    Args:
        fields: its maps.
        options: of decoding, `threads` included.
        rounds: runs of each call.

    Raises:
        TypeError, ValueError: as `decode_simple_pose`.
    """
    rounds = as_integer(rounds, "rounds", 1)
    maps, where = fields.arguments

    def decode(own: SimplePoseOptions) -> Any:
        return decode_simple_pose(*maps, **where, options=own)

    people, steps = decode(options), decode_steps(*maps, **where, options=options)
    nothing = replace(options, peak_threshold=_NO_PEAK)
    return Timing(
        call=median_seconds(lambda: decode(options), rounds),
        scan=median_seconds(lambda: decode(nothing), rounds),
        floor=median_seconds(lambda: fields.keypoints.max(initial=0), rounds),
        peaks=len(steps.peaks.scores),
        connections=len(steps.connections),
        people=len(people),
    )


def bench_row(
    fields: SimplePoseFields, *, options: SimplePoseOptions, mask_options: None, rounds: int
) -> dict[str, Any]:
    """Return the row of `personlab bench` for one image, by column; arguments and errors as of `time_decoding`."""
    del mask_options
    timing = time_decoding(fields, options=options, rounds=rounds)
    h, w = fields.keypoints.shape[-2:]
    return {
        "grid": f"{h}x{w}",
        "people": timing.people,
        "peaks": timing.peaks,
        "connections": timing.connections,
        "scan / floor": (timing.scan, timing.floor),
        "decode": timing.call,
    }


def crowd(people: int, *, size: tuple[int, int], stride: int = 4, seed: int = 0) -> SimplePoseFields:
    """Return the maps of a perfect network for a drawn crowd.

    Args:
        people: number of people.
        size: (H, W) of the image and of the network input, pixels.
        stride: input pixels from cell to cell.
        seed: of the scene.

    Raises:
        TypeError, ValueError: as `make_scene` and `encode_targets`.
    """
    from personlab.data.synthetic.scenes import make_scene

    scene = make_scene(seed, size=size, people=people)
    return perfect_fields(scene.keypoints, size=size, input_size=size, stride=stride)
