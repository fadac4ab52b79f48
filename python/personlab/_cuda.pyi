# Types of the CUDA module; see src/bindings/cuda.cpp. Its callers have checked all arguments. Addresses, streams and
# sizes in bytes are integers; `size` of images is (H, W).

from typing import Any

from personlab import _core

compiler: str
architectures: str
max_keypoints: int  # of a skeleton
peak_layout: dict[str, Any]  # what `numpy.dtype` takes for a candidate: score, keypoint, x, y

def unavailable_reason() -> str: ...
def device_name(*, device: int) -> str: ...
def versions() -> tuple[int, int]: ...
def device_of(*, address: int) -> int: ...
def wait_for(*, stream: int, other: int, device: int) -> None: ...
def upload(*, host: int, memory: int, size: int, device: int, stream: int) -> None: ...
def download(*, memory: int, host: int, size: int, device: int, stream: int) -> None: ...

class Memory:
    def __init__(self, *, size: int, device: int, stream: int) -> None: ...
    @property
    def address(self) -> int: ...

class DeviceField:
    def __init__(
        self, *, data: int, element: str, images: int, planes: int, height: int, width: int, stride: int
    ) -> None: ...

class DeviceSkeleton:
    def __init__(self, *, skeleton: _core.Skeleton, device: int) -> None: ...

class PoseFields:
    def __init__(self, *, heatmaps: DeviceField, short_offsets: DeviceField, mid_offsets: DeviceField) -> None: ...

class PoseBatch:
    def __init__(
        self,
        *,
        keypoints: int,
        weights: int,
        scores: int,
        first: int,
        counts: int,
        rows: int,
        max_poses: int,
        n_keypoints: int,
    ) -> None: ...

def hough_vote(
    *,
    heatmaps: DeviceField,
    short_offsets: DeviceField,
    options: _core.DecodeOptions,
    sums: int,
    scores: int,
    device: int,
    stream: int,
) -> None: ...
def find_peaks(
    *,
    hough: DeviceField,
    options: _core.DecodeOptions,
    capacity: int,
    peaks: int,
    ordered: int,
    count: int,
    device: int,
    stream: int,
) -> None: ...
def group_scratch_bytes(*, capacity: int) -> int: ...
def group_poses(
    *,
    peaks: int,
    ordered: int,
    count: int,
    capacity: int,
    fields: PoseFields,
    skeleton: DeviceSkeleton,
    options: _core.DecodeOptions,
    keypoints: int,
    probabilities: int,
    scratch: int,
    rows: int,
    accepted: int,
    device: int,
    stream: int,
) -> None: ...
def score_scratch_bytes(*, capacity: int, n_keypoints: int) -> int: ...
def score_poses(
    *,
    keypoints: int,
    probabilities: int,
    capacity: int,
    rows: int,
    accepted: int,
    hough: DeviceField,
    skeleton: DeviceSkeleton,
    options: _core.DecodeOptions,
    scratch: int,
    out_counts: int,
    out_scores: int,
    out_keypoints: int,
    out_keypoint_scores: int,
    out_probabilities: int,
    out_kept: int,
    out_rows: int,
    device: int,
    stream: int,
) -> None: ...
def sharpen_keypoints(
    *,
    keypoints: int,
    count: int,
    rows: int,
    counts: int,
    hough: DeviceField,
    options: _core.DecodeOptions,
    sharpened: int,
    device: int,
    stream: int,
) -> None: ...
def decode_scratch_bytes(*, fields: PoseFields, options: _core.DecodeOptions, capacity: int) -> int: ...
def decode_poses(
    *,
    fields: PoseFields,
    skeleton: DeviceSkeleton,
    options: _core.DecodeOptions,
    capacity: int,
    scratch: int,
    candidates: int,
    counts: int,
    scores: int,
    keypoints: int,
    keypoint_scores: int,
    probabilities: int,
    rows: int,
    device: int,
    stream: int,
) -> None: ...
def mask_scratch_bytes(
    *, poses: PoseBatch, long_offsets: DeviceField, with_short: bool, size: tuple[int, int]
) -> int: ...
def associate_pixels(
    *,
    poses: PoseBatch,
    segmentation: DeviceField,
    long_offsets: DeviceField,
    short_offsets: DeviceField | None,
    size: tuple[int, int],
    options: _core.MaskOptions,
    scratch: int,
    masks: int,
    device: int,
    stream: int,
) -> None: ...
def mask_score_scratch_bytes(*, rows: int, size: tuple[int, int]) -> int: ...
def score_masks(
    *,
    poses: PoseBatch,
    masks: int,
    segmentation: DeviceField,
    size: tuple[int, int],
    options: _core.MaskOptions,
    scratch: int,
    scores: int,
    device: int,
    stream: int,
) -> None: ...
def refine_offsets(
    *, offsets: DeviceField, by: DeviceField, channels: int, steps: int, refined: int, device: int, stream: int
) -> None: ...

# Offsets (N, C, 2, h, w) refined by (N, L, 2, h, w): `images` is N, `count` C, `fields` L; `element` is float32 or
# float64.
def refine_offset_batch(
    *,
    element: str,
    offsets: int,
    by: int,
    channels: int,
    images: int,
    count: int,
    fields: int,
    height: int,
    width: int,
    stride: int,
    steps: int,
    refined: int,
    device: int,
    stream: int,
) -> None: ...
def refine_scratch_bytes(*, images: int, fields: int, height: int, width: int) -> int: ...
def refine_offset_batch_backward(
    *,
    element: str,
    offsets: int,
    by: int,
    channels: int,
    images: int,
    count: int,
    fields: int,
    height: int,
    width: int,
    stride: int,
    steps: int,
    grad_refined: int,
    grad_offsets: int,
    grad_by: int,
    scratch: int,
    device: int,
    stream: int,
) -> None: ...
def target_scratch_bytes(*, n_people: int, n_keypoints: int, height: int, width: int) -> int: ...
def encode_targets(
    *,
    keypoints: int,
    has_masks: bool,
    masks: int,
    crowd: int,
    n_people: int,
    size: tuple[int, int],
    skeleton: DeviceSkeleton,
    stride: int,
    disk_radius: float,
    scratch: int,
    heatmaps: int,
    short_offsets: int,
    mid_offsets: int,
    segmentation: int,
    long_offsets: int,
    heatmap_valid: int,
    short_valid: int,
    mid_valid: int,
    segmentation_valid: int,
    long_valid: int,
    device: int,
    stream: int,
) -> None: ...
