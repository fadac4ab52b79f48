"""Options of tracking: frozen and keyword-only, checked when they are made."""

from __future__ import annotations

from dataclasses import dataclass

from personlab.arrays.numbers import as_integer, as_number

# Name -> min, max, of numbers and of integers.
_NUMBERS = {
    "min_similarity": (0.0, 1.0),
    "mask_share": (0.0, 1.0),
    "min_keypoint": (0.0, 1.0),
    "start_score": (0.0, 1.0),
    "double_similarity": (0.0, 1.0),
    "jitter": (1e-4, 1.0),
    "speed": (1e-4, 10.0),
    "acceleration": (1e-5, 10.0),
    "return_distance": (0.0, 100.0),
    "return_growth": (1.001, 10.0),
}
_INTEGERS = {"start_frames": (1, 1000), "max_hidden": (0, 1_000_000), "max_away": (0, 1_000_000)}


@dataclass(frozen=True, kw_only=True)
class TrackOptions:
    """Options of `Tracker`. A person's size is the square root of the area of the box of the keypoints, in pixels.

    Attributes:
        min_similarity: a pose of a lower similarity to every track continues none, 0 to 1
        mask_share: share of the overlap of masks in the similarity, where both have a mask; the rest is OKS
        min_keypoint: keypoints of a lower probability are left out; if a pose has no other, they count
        start_score: a pose of a lower score starts no track, but may continue one
        start_frames: frames in a row that a track needs before it gets an id; the first frame of a video needs one
        double_similarity: a pose as similar to a better one of its frame is of the same person and starts no track
        jitter: standard deviation of a pose's place from frame to frame, in sizes of the person
        speed: standard deviation of the speed of people, sizes of the person a frame
        acceleration: standard deviation of its change, sizes of the person a frame, each frame
        max_hidden: frames over which a person who is not seen is followed by the motion so far
        max_away: frames for which the place where a person was last seen is kept; 0: none returns
        return_distance: standard deviation of the place of a return from that place, sizes of the person
        return_growth: standard deviation of the size of a person who returns, as a factor
        flow: predict the place of people by the optical flow of the images (OpenCV) instead of the motion so far
        propagate: for networks that take boxes: look for the people of the frame before where optical flow moves them,
            too; frames then go one by one

    Raises:
        TypeError: a value of the wrong type, or an unknown name.
        ValueError: a value out of range.
    """

    min_similarity: float = 0.2
    mask_share: float = 0.5
    min_keypoint: float = 0.1
    start_score: float = 0.3
    start_frames: int = 2
    double_similarity: float = 0.42
    jitter: float = 0.04
    speed: float = 0.1
    acceleration: float = 0.01
    max_hidden: int = 30
    max_away: int = 250
    return_distance: float = 1.0
    return_growth: float = 1.3
    flow: bool = False
    propagate: bool = False

    def __post_init__(self) -> None:
        for name, (low, high) in _NUMBERS.items():
            object.__setattr__(self, name, as_number(getattr(self, name), name, low, high))
        for name, (low, high) in _INTEGERS.items():
            object.__setattr__(self, name, as_integer(getattr(self, name), name, int(low), int(high)))
        for name in ("flow", "propagate"):
            if not isinstance(value := getattr(self, name), bool):
                raise TypeError(f"{name}: expected a bool, got {value!r}")
