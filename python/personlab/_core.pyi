# Types of the compiled core, src/bindings/core*.cpp. Only `decode_plain` takes arguments that nothing has checked.

from collections.abc import Sequence
from typing import Any, TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray

_Floats: TypeAlias = NDArray[np.float32]
_Elements: TypeAlias = NDArray[Any]  # float32, float16 or BFLOAT16 of arrays, one for all fields of poses
_Indices: TypeAlias = NDArray[np.int32]
_Poses: TypeAlias = tuple[_Floats, _Floats, _Floats, _Floats]  # keypoints, their scores and probabilities, scores
_Real = TypeVar("_Real", np.float32, np.float64)

compiler: str
version: str
build_type: str
instruction_set: str
instruction_sets: str
MAX_MAP_STRIDE: int  # input pixels from cell to cell of maps of keypoints and limbs
MAX_STRIDE: int  # input pixels from cell to cell
MAX_INPUT: int  # input pixels each way
MAX_GRID: int  # cells, or Hough lattice points, of one keypoint type, and images of a batch

class Skeleton:
    def __init__(self, *, n_keypoints: int, edges: Sequence[tuple[int, int]], sigmas: Sequence[float]) -> None: ...

class DecodeOptions:
    def __init__(
        self,
        *,
        hough_stride: int = ...,
        disk_radius: float = ...,
        vote_threshold: float = ...,
        peak_threshold: float = ...,
        nms_radius: float = ...,
        refine_steps: int = ...,
        scoring: str = ...,
        ranking: str = ...,
        instance_score: str = ...,
        sharpen: float = ...,
        min_score: float = ...,
        max_poses: int = ...,
        threads: int = ...,
        decoder: str = ...,
    ) -> None: ...
    @property
    def hough_stride(self) -> int: ...
    @property
    def disk_radius(self) -> float: ...
    @property
    def vote_threshold(self) -> float: ...
    @property
    def peak_threshold(self) -> float: ...
    @property
    def nms_radius(self) -> float: ...
    @property
    def refine_steps(self) -> int: ...
    @property
    def scoring(self) -> str: ...
    @property
    def ranking(self) -> str: ...
    @property
    def instance_score(self) -> str: ...
    @property
    def sharpen(self) -> float: ...
    @property
    def min_score(self) -> float: ...
    @property
    def max_poses(self) -> int: ...
    @property
    def threads(self) -> int: ...
    @property
    def decoder(self) -> str: ...

class MaskOptions:
    def __init__(
        self,
        *,
        mask_threshold: float = ...,
        distance_threshold: float = ...,
        long_refine_steps: int = ...,
        short_refine_steps: int = ...,
        exclusive: bool = ...,
        score_power: float = ...,
        threads: int = ...,
    ) -> None: ...
    @property
    def mask_threshold(self) -> float: ...
    @property
    def distance_threshold(self) -> float: ...
    @property
    def long_refine_steps(self) -> int: ...
    @property
    def short_refine_steps(self) -> int: ...
    @property
    def exclusive(self) -> bool: ...
    @property
    def score_power(self) -> float: ...
    @property
    def threads(self) -> int: ...

def decode_plain(
    *, heatmaps: Any, short_offsets: Any, mid_offsets: Any, stride: Any, skeleton: Skeleton, options: DecodeOptions
) -> list[_Poses] | None: ...
def decode_poses(
    *,
    heatmaps: _Elements,
    short_offsets: _Elements,
    mid_offsets: _Elements,
    stride: int,
    skeleton: Skeleton,
    options: DecodeOptions,
) -> list[_Poses]: ...

class MaskMemory: ...  # the base of a large array of masks: a buffer that is kept for the next one once it is dropped

def associate_pixels(
    *,
    keypoints: _Floats,
    weights: _Floats,
    scores: _Floats,
    segmentation: _Elements,
    long_offsets: _Elements,
    short_offsets: _Elements | None,
    stride: int,
    size: tuple[int, int],
    options: MaskOptions,
    scored: bool,
) -> tuple[NDArray[np.bool_], _Floats | None]: ...
def score_masks(
    *, masks: NDArray[np.bool_], scores: _Floats, segmentation: _Elements, stride: int, options: MaskOptions
) -> _Floats: ...
def stage_times(
    *,
    heatmaps: _Floats,
    short_offsets: _Floats,
    mid_offsets: _Floats,
    stride: int,
    skeleton: Skeleton,
    options: DecodeOptions,
    rounds: int,
) -> dict[str, Any]: ...
def hough_vote(*, heatmaps: _Floats, short_offsets: _Floats, stride: int, options: DecodeOptions) -> _Floats: ...
def find_peaks(*, hough: _Floats, options: DecodeOptions) -> tuple[_Indices, _Floats, _Floats]: ...
def group_poses(
    *,
    peak_keypoints: _Indices,
    positions: _Floats,
    scores: _Floats,
    heatmaps: _Floats,
    short_offsets: _Floats,
    mid_offsets: _Floats,
    stride: int,
    skeleton: Skeleton,
    options: DecodeOptions,
) -> tuple[_Floats, _Floats]: ...
def score_poses(
    *, keypoints: _Floats, probabilities: _Floats, hough: _Floats, skeleton: Skeleton, options: DecodeOptions
) -> tuple[_Indices, _Floats, _Floats]: ...
def sharpen_keypoints(*, keypoints: _Floats, hough: _Floats, options: DecodeOptions) -> _Floats: ...
def refine_offsets(
    *, offsets: _Floats, by: _Floats, channels: Sequence[int], stride: int, steps: int, threads: int
) -> _Floats: ...
def refine_offset_batch(
    *,
    offsets: NDArray[_Real],
    by: NDArray[_Real],
    channels: Sequence[int],
    stride: int,
    steps: int,
    threads: int,
    refined: NDArray[_Real],
) -> None: ...
def refine_offset_batch_backward(
    *,
    offsets: NDArray[_Real],
    by: NDArray[_Real],
    channels: Sequence[int],
    stride: int,
    steps: int,
    threads: int,
    grad_refined: NDArray[_Real],
    grad_offsets: NDArray[_Real] | None,
    grad_by: NDArray[_Real] | None,
) -> None: ...
def encode_targets(
    *,
    keypoints: _Floats,
    masks: NDArray[np.uint8] | None,
    crowd: NDArray[np.uint8] | None,
    size: tuple[int, int],
    stride: int,
    skeleton: Skeleton,
    disk_radius: float,
) -> dict[str, Any]: ...

class MapTargetOptions:
    def __init__(
        self,
        *,
        keypoint_sigma: float,
        limb_sigma: float,
        threshold: float,
        overlap: str,
        threads: int,
        rules: str,
    ) -> None: ...

def encode_maps(
    *,
    keypoints: _Floats,
    people: NDArray[np.uint8] | None,
    counted: NDArray[np.uint8] | None,
    size: tuple[int, int],
    stride: int,
    limbs: Sequence[tuple[int, int]],
    options: MapTargetOptions,
) -> dict[str, Any]: ...

class LimbSkeleton:
    def __init__(self, *, n_keypoints: int, limbs: Sequence[tuple[int, int]], people: Sequence[int]) -> None: ...

class SimplePoseOptions:
    def __init__(
        self,
        *,
        peak_threshold: float = ...,
        limb_threshold: float = ...,
        min_support: float = ...,
        max_samples: int = ...,
        position: str = ...,
        box_radius: int = ...,
        length_ratio: float = ...,
        merge_ratio: float = ...,
        resolve_shared: bool = ...,
        min_keypoints: int = ...,
        min_score: float = ...,
        max_peaks: int = ...,
        max_reach: float = ...,
        max_poses: int = ...,
        threads: int = ...,
        rules: str = ...,
    ) -> None: ...
    @property
    def peak_threshold(self) -> float: ...
    @property
    def limb_threshold(self) -> float: ...
    @property
    def min_support(self) -> float: ...
    @property
    def max_samples(self) -> int: ...
    @property
    def box_radius(self) -> int: ...
    @property
    def length_ratio(self) -> float: ...
    @property
    def merge_ratio(self) -> float: ...
    @property
    def resolve_shared(self) -> bool: ...
    @property
    def min_keypoints(self) -> int: ...
    @property
    def min_score(self) -> float: ...
    @property
    def max_peaks(self) -> int: ...
    @property
    def max_reach(self) -> float: ...
    @property
    def max_poses(self) -> int: ...
    @property
    def threads(self) -> int: ...

def decode_maps(
    *,
    keypoint_maps: Sequence[_Elements],
    limb_maps: Sequence[_Elements],
    stride: int,
    input_sizes: Sequence[tuple[int, int]],
    size: tuple[int, int],
    skeleton: LimbSkeleton,
    options: SimplePoseOptions,
) -> list[_Poses]: ...
def decode_map_steps(
    *,
    keypoint_maps: Sequence[_Elements],
    limb_maps: Sequence[_Elements],
    stride: int,
    input_sizes: Sequence[tuple[int, int]],
    size: tuple[int, int],
    skeleton: LimbSkeleton,
    options: SimplePoseOptions,
) -> dict[str, NDArray[Any]]: ...
def sample_image(
    *,
    image: NDArray[np.uint8],  # (H, W, 3)
    x: tuple[float, float],  # step and start: pixel n of the result lies at step * n + start
    y: tuple[float, float],
    result: NDArray[np.uint8],  # (h, w, 3), written
) -> None: ...
def crop_image(
    *,
    image: NDArray[np.uint8],
    affines: NDArray[np.float64],
    original: bool,
    threads: int,
    crops: NDArray[Any],  # uint8 (N, h, w, 3) or float32 (N, 3, h, w), written
) -> None: ...

class SimpleBaselineOptions:
    def __init__(
        self,
        *,
        position: str,
        blur: float,
        full_value: float,
        flip_shift: int,
        rescoring: str,
        keypoint_threshold: float,
        oks_threshold: float,
        rules: str,
        threads: int,
    ) -> None: ...

def encode_baseline_targets(
    *,
    keypoints: NDArray[np.float64],
    stride: int,
    sigma: float,
    full_value: float,
    rules: str,
    threads: int,
    maps: _Floats,  # written
    weights: _Floats,  # written
) -> None: ...
def find_baseline_peaks(
    *, maps: _Elements, mirrored: _Elements | None, flip: Sequence[int], options: SimpleBaselineOptions
) -> tuple[NDArray[np.float64], _Floats]: ...
def rescore_poses(
    *, values: NDArray[np.float64], box_scores: NDArray[np.float64], options: SimpleBaselineOptions
) -> NDArray[np.float64]: ...
def decode_baseline(
    *,
    maps: _Elements,
    mirrored: _Elements | None,
    flip: Sequence[int],
    affines: NDArray[np.float64],
    box_scores: NDArray[np.float64],
    size: tuple[int, int],
    sigmas: Sequence[float],
    options: SimpleBaselineOptions,
) -> _Poses: ...
def suppress_poses(
    *,
    keypoints: NDArray[np.float64],
    scores: NDArray[np.float64],
    areas: NDArray[np.float64],
    sigmas: Sequence[float],
    threshold: float,
    visible: float | None,
    original: bool,
) -> NDArray[np.int64]: ...
def pose_similarities(
    *,
    keypoints: NDArray[np.float64],
    areas: NDArray[np.float64],
    sigmas: Sequence[float],
    visible: float | None,
    original: bool,
) -> NDArray[np.float64]: ...
def suppress_boxes(
    *, boxes: NDArray[np.float64], scores: NDArray[np.float64], threshold: float, rules: str
) -> NDArray[np.int64]: ...
