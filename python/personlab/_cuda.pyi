# Types of the CUDA module; see src/cuda/bindings.cpp. Its callers have checked all arguments.

from collections.abc import Sequence

from personlab import _core

compiler: str
architectures: str
most_keypoints: int

def why_not() -> str: ...
def device_name(device: int, /) -> str: ...
def versions() -> tuple[int, int]: ...
def device_of(address: int, /) -> int: ...
def follow(stream: int, other: int, device: int, /) -> None: ...
def upload(host: int, to: int, size: int, device: int, stream: int, /) -> None: ...
def read(at: int, host: int, size: int, device: int, stream: int, /) -> None: ...

class Memory:
    def __init__(self, size: int, device: int, stream: int) -> None: ...
    @property
    def address(self) -> int: ...

class Field:
    def __init__(
        self, data: int, element: int, images: int, planes: int, height: int, width: int, stride: int
    ) -> None: ...

def hough_vote(
    heatmaps: Field,
    short_offsets: Field,
    options: _core.DecodeOptions,
    sums: int,
    scores: int,
    device: int,
    stream: int,
    /,
) -> None: ...
def find_peaks(
    hough: Field,
    options: _core.DecodeOptions,
    capacity: int,
    peaks: int,
    ordered: int,
    count: int,
    device: int,
    stream: int,
    /,
) -> None: ...

class Skeleton:
    def __init__(self, skeleton: _core.Skeleton, device: int) -> None: ...

class PoseFields:
    def __init__(self, heatmaps: Field, short_offsets: Field, mid_offsets: Field, /) -> None: ...

def group_poses(
    peaks: int,
    ordered: int,
    count: int,
    capacity: int,
    fields: PoseFields,
    skeleton: Skeleton,
    options: _core.DecodeOptions,
    keypoints: int,
    probabilities: int,
    scratch: int,
    rows: int,
    accepted: int,
    device: int,
    stream: int,
    /,
) -> None: ...
def group_scratch(capacity: int, /) -> int: ...
def score_poses(
    keypoints: int,
    probabilities: int,
    capacity: int,
    rows: int,
    accepted: int,
    hough: Field,
    skeleton: Skeleton,
    options: _core.DecodeOptions,
    scratch: int,
    out: Sequence[int],
    out_rows: int,
    device: int,
    stream: int,
    /,
) -> None: ...
def score_scratch(capacity: int, n_keypoints: int, /) -> int: ...
def sharpen_keypoints(
    keypoints: int,
    count: int,
    rows: int,
    counts: int,
    hough: Field,
    options: _core.DecodeOptions,
    sharpened: int,
    device: int,
    stream: int,
    /,
) -> None: ...
def decode_scratch(fields: PoseFields, options: _core.DecodeOptions, capacity: int, /) -> int: ...
def decode_poses(
    fields: PoseFields,
    skeleton: Skeleton,
    options: _core.DecodeOptions,
    capacity: int,
    scratch: int,
    out: Sequence[int],
    rows: int,
    device: int,
    stream: int,
    /,
) -> None: ...

class PoseBatch:
    def __init__(
        self,
        keypoints: int,
        weights: int,
        scores: int,
        first: int,
        counts: int,
        rows: int,
        most: int,
        n_keypoints: int,
    ) -> None: ...

def mask_scratch(poses: PoseBatch, long_offsets: Field, short_too: bool, height: int, width: int, /) -> int: ...
def associate_pixels(
    poses: PoseBatch,
    segmentation: Field,
    long_offsets: Field,
    short_offsets: Field | None,
    size: tuple[int, int],
    options: _core.MaskOptions,
    scratch: int,
    masks: int,
    device: int,
    stream: int,
    /,
) -> None: ...
def mask_score_scratch(rows: int, height: int, width: int, /) -> int: ...
def score_masks(
    poses: PoseBatch,
    masks: int,
    segmentation: Field,
    size: tuple[int, int],
    options: _core.MaskOptions,
    scratch: int,
    scores: int,
    device: int,
    stream: int,
    /,
) -> None: ...
def refine_offsets(
    offsets: Field, by: Field, channels: int, steps: int, refined: int, device: int, stream: int, /
) -> None: ...

# `numbers`: images, channels, fields, height, width, stride, steps.
def refine_floats(
    offsets: int, by: int, channels: int, numbers: list[int], refined: int, device: int, stream: int, /
) -> None: ...
def refine_doubles(
    offsets: int, by: int, channels: int, numbers: list[int], refined: int, device: int, stream: int, /
) -> None: ...
def refine_floats_backward(
    offsets: int,
    by: int,
    channels: int,
    numbers: list[int],
    grad: int,
    grad_offsets: int,
    grad_by: int,
    scratch: int,
    device: int,
    stream: int,
    /,
) -> None: ...
def refine_doubles_backward(
    offsets: int,
    by: int,
    channels: int,
    numbers: list[int],
    grad: int,
    grad_offsets: int,
    grad_by: int,
    scratch: int,
    device: int,
    stream: int,
    /,
) -> None: ...
def refine_scratch(images: int, fields: int, height: int, width: int, /) -> int: ...

# `targets`: those of TargetViews, in its order.
def encode_targets(
    keypoints: int,
    masks: int,
    crowd: int,
    n_people: int,
    size: tuple[int, int],
    skeleton: Skeleton,
    stride: int,
    disk_radius: float,
    scratch: int,
    targets: list[int],
    device: int,
    stream: int,
    /,
) -> None: ...
def target_scratch(n_people: int, n_keypoints: int, height: int, width: int, /) -> int: ...
