"""The backends of PersonLab's stages in one table: modules with the same functions, each imported when asked for.

A backend computes and does not check: `personlab.methods.personlab.checks` has looked at all arguments. Arrays are
C-contiguous: NumPy's for "cpu" and "reference", `DeviceArray` for "cuda". Small arrays (peaks, groups, keypoints to be
sharpened, instance scores, poses) are NumPy's for all of them. Results lie where the fields do.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Literal, Protocol, cast, get_args

if TYPE_CHECKING:
    from collections.abc import Sequence

    from personlab.options import DecodeOptions, MaskOptions
    from personlab.poses import Poses
    from personlab.skeleton import Skeleton

Backend = Literal["cpu", "cuda", "reference"]


class Stages(Protocol):
    """The functions of every backend; `personlab.stages` says what they compute."""

    def hough_vote(self, heatmaps: Any, short_offsets: Any, *, stride: int, options: DecodeOptions) -> Any:
        """Returns Hough scores (K, H', W')."""

    def find_peaks(self, hough: Any, *, options: DecodeOptions) -> tuple[Any, Any, Any]:
        """Returns keypoints (N,), positions (N, 2) and scores (N,)."""

    def group_poses(
        self,
        peaks: tuple[Any, Any, Any],
        heatmaps: Any,
        short_offsets: Any,
        mid_offsets: Any,
        *,
        stride: int,
        skeleton: Skeleton,
        options: DecodeOptions,
    ) -> tuple[Any, Any]:
        """Returns keypoints (P, K, 2) and probabilities (P, K)."""

    def score_poses(
        self, keypoints: Any, probabilities: Any, hough: Any, *, skeleton: Skeleton, options: DecodeOptions
    ) -> tuple[Any, Any, Any]:
        """Returns the poses that are kept (Q,), keypoint scores (Q, K) and scores (Q,)."""

    def sharpen_keypoints(self, keypoints: Any, hough: Any, *, options: DecodeOptions) -> Any:
        """Returns keypoints (P, K, 2)."""

    def associate_pixels(
        self,
        poses: Poses,
        segmentation: Any,
        long_offsets: Any,
        short_offsets: Any,
        *,
        stride: int,
        size: tuple[int, int],
        options: MaskOptions,
    ) -> Any:
        """Returns masks (P, H, W)."""

    def score_masks(self, masks: Any, scores: Any, segmentation: Any, *, stride: int, options: MaskOptions) -> Any:
        """Returns mask scores (P,)."""

    def refine_offsets(
        self, offsets: Any, by: Any, channels: Sequence[int], *, stride: int, steps: int, threads: int
    ) -> Any:
        """Returns offsets (C, 2, h, w)."""

    def encode_targets(
        self,
        keypoints: Any,
        masks: Any,
        crowd: Any,
        *,
        size: tuple[int, int],
        stride: int,
        skeleton: Skeleton,
        disk_radius: float,
    ) -> dict[str, Any]:
        """Returns the arrays of `personlab.Targets` by name."""


class WholeCalls(Stages, Protocol):
    """What backends for everyday use have beside the stages: the whole of decoding, over batches."""

    def decode_pose_batch(
        self,
        heatmaps: Any,
        short_offsets: Any,
        mid_offsets: Any,
        *,
        stride: int,
        skeleton: Skeleton,
        options: DecodeOptions,
    ) -> list[Poses]:
        """Returns the poses of each of N images, in host memory."""

    def decode_mask_batch(
        self,
        poses: Sequence[Poses],
        segmentation: Any,
        long_offsets: Any,
        short_offsets: Any,
        *,
        stride: int,
        size: tuple[int, int],
        options: MaskOptions,
        with_scores: bool,
    ) -> tuple[list[Any], list[Any]]:
        """Returns masks (P, H, W) of each of N images, and mask scores (P,), or None in their places."""


class _Table(dict[str, WholeCalls]):
    """The backends by name."""

    def __missing__(self, name: str) -> WholeCalls:
        if name not in get_args(Backend):
            raise KeyError(name)
        self[name] = cast("WholeCalls", import_module(f"{__name__}.{name}"))
        return self[name]


BACKENDS = _Table()
"""Name -> module. Where arrays lie (`personlab.arrays.take.Place`) is the name of the backend that reads them there."""

if TYPE_CHECKING:  # each module has the functions
    from personlab.methods.personlab.backends import cpu, cuda, reference

    _WHOLE: tuple[WholeCalls, WholeCalls] = (cpu, cuda)
    _STAGES: Stages = reference
