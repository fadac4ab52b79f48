"""Poses decoded on a GPU that stay there, for whoever goes on with them on the device or captures a CUDA graph.

`personlab.decode_poses` takes arrays in the memory of a GPU too and waits for what it returns; here nothing waits until
`DevicePoses.read`.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from personlab.arrays.device import Queue, address_of, all_on_device
from personlab.arrays.host import as_integer, as_size, check_extent, check_shape, check_type
from personlab.methods.personlab.backends.cuda import dense as _dense_cuda
from personlab.methods.personlab.decode import check_pose_fields
from personlab.options import DecodeOptions, MaskOptions
from personlab.poses import Poses
from personlab.skeleton import COCO_PERSON, Skeleton

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from personlab import _cuda

__all__ = ["DevicePoses", "decode_masks", "decode_poses"]

CAPACITY = 4096  # candidates of an image, unless a caller wants another number
_MOST = 2**22  # candidates of an image: the stages count the keypoints of all of them in 32 bits
_ARRAYS = ("candidates", "counts", "scores", "keypoints", "keypoint_scores", "probabilities")  # of `DevicePoses`
_DECODE_DEFAULTS = DecodeOptions()
_MASK_DEFAULTS = MaskOptions()


@functools.lru_cache(maxsize=64)
def native_skeleton(module: Any, skeleton: Skeleton, device: int) -> _cuda.DeviceSkeleton:
    """The skeleton in the memory of a device; the first call with one copies it there, and waits for that.

    Raises:
        ValueError: more keypoints than the stages take.
    """
    if skeleton.n_keypoints > module.max_keypoints:
        raise ValueError(
            f"skeleton: expected at most {module.max_keypoints} keypoints on a GPU, got {skeleton.n_keypoints}"
        )
    table: _cuda.DeviceSkeleton = module.DeviceSkeleton(skeleton=skeleton.native, device=device)
    return table


@dataclass(frozen=True, eq=False)
class DevicePoses:
    """Poses of N images in the memory of a GPU.

    The arrays are torch tensors where the fields were, else they offer `__cuda_array_interface__`. Of C rows for each
    image the first `counts` are its poses, best first; the others are 0. An image with more than `capacity`
    candidates has no poses: `candidates` shows it, and `read` raises.
    """

    shape: tuple[int, int, int]  # N, C, K
    capacity: int  # candidates of an image that there is room for
    _is_batch: bool  # whether the fields had the axis N
    _buffer: Any  # all of the arrays in a row, 4 bytes an element
    _scratch: Any
    _scratch_size: int  # bytes
    _queue: Queue
    _skeleton: Skeleton
    _table: Any  # the skeleton on the device
    _inputs: Any = None  # kept until the work is done; torch's own memory waits for that by itself

    @cached_property
    def candidates(self) -> Any:
        """(N,) int32, seeds found."""
        return self._part(0, "int32")

    @cached_property
    def counts(self) -> Any:
        """(N,) int32, poses."""
        return self._part(1, "int32")

    @cached_property
    def scores(self) -> Any:
        """(N, C)."""
        return self._part(2, "float32")

    @cached_property
    def keypoints(self) -> Any:
        """(N, C, K, 2) x, y in pixels of the network input."""
        return self._part(3, "float32")

    @cached_property
    def keypoint_scores(self) -> Any:
        """(N, C, K) s_jk."""
        return self._part(4, "float32")

    @cached_property
    def keypoint_probabilities(self) -> Any:
        """(N, C, K) p_jk."""
        return self._part(5, "float32")

    def _part(self, i: int, element: str) -> Any:
        return self._queue.part(self._buffer, *_places(*self.shape)[i], element)

    def read(self) -> list[Poses]:
        """The poses of each image, in host memory.

        Waits for the stream that they were decoded on, and for torch's current one, on which a graph may have run.

        Raises:
            RuntimeError: an image had more candidates than `capacity`.
        """
        candidates, poses = self._read()
        if (candidates > self.capacity).any():
            i = int(candidates.argmax())
            raise RuntimeError(
                f"capacity: image {i} has {candidates[i]} candidates, and room was made for {self.capacity}; "
                "decode it with more"
            )
        return poses

    def _read(self) -> tuple[NDArray[np.int32], list[Poses]]:
        """Numbers of candidates, and the poses of those images that had room."""
        host = self._queue.current().read(self._buffer)
        views = [host[start : start + math.prod(shape)].reshape(shape) for start, shape in _places(*self.shape)]
        candidates, counts = views[0].view(np.int32), views[1].view(np.int32)
        scores, keypoints, keypoint_scores, probabilities = views[2:]
        poses = [
            Poses._trusted(
                (
                    keypoints[i, :count].copy(), keypoint_scores[i, :count].copy(), probabilities[i, :count].copy(),
                    scores[i, :count].copy(),
                )
            )
            for i, count in enumerate(counts)
        ]  # fmt: skip
        return candidates, poses


@functools.lru_cache(maxsize=64)
def _places(n: int, rows: int, k: int) -> list[tuple[int, tuple[int, ...]]]:
    """Where in a row of 4-byte words each of the arrays of `DevicePoses` begins, and its shape."""
    shapes: list[tuple[int, ...]] = [(n,), (n,), (n, rows), (n, rows, k, 2), (n, rows, k), (n, rows, k)]
    starts = [sum(map(math.prod, shapes[:i])) for i in range(len(shapes))]
    return list(zip(starts, shapes, strict=True))


def _room(queue: Queue, n: int | None, rows: int, skeleton: Skeleton, capacity: int, scratch_size: int) -> DevicePoses:
    """Memory for poses that are to be decoded; n is None for one image that is no batch."""
    is_batch, n = n is not None, 1 if n is None else n
    k = skeleton.n_keypoints
    table = native_skeleton(queue.native, skeleton, queue.device)
    start, shape = _places(n, rows, k)[-1]
    buffer = queue.empty((start + math.prod(shape),), "float32")
    scratch = queue.empty((scratch_size,), "uint8")
    return DevicePoses((n, rows, k), capacity, is_batch, buffer, scratch, scratch_size, queue, skeleton, table)


def decode_poses(
    heatmaps: Any,
    short_offsets: Any,
    mid_offsets: Any,
    *,
    stride: int,
    skeleton: Skeleton = COCO_PERSON,
    options: DecodeOptions = _DECODE_DEFAULTS,
    capacity: int = CAPACITY,
    out: DevicePoses | None = None,
) -> DevicePoses:
    """Queue the decoding of fields on a GPU; nothing waits for it.

    Work is queued on torch's current stream where the fields are torch's, else on the stream that they name. A call
    that fills `out` allocates nothing and can be captured in a CUDA graph; make `out` by a call like it before.

    Args:
        heatmaps: ([N,] K, h, w) logits, as in `personlab.decode_poses`, in the memory of a GPU, the others too; without
            the axis N it is a batch of one.
        short_offsets: ([N,] K, 2, h, w).
        mid_offsets: ([N,] 2E, 2, h, w).
        stride: input pixels from cell to cell.
        skeleton: the keypoints, at most 256 on a GPU, and edges that the network was trained for.
        options: how to decode; threads are of no importance.
        capacity: candidates of one image that there is room for.
        out: what an earlier call returned, to be filled again.

    Returns:
        The poses, with as many rows as `options.max_poses` and `capacity` allow; or `out`.

    Raises:
        RuntimeError: no GPU can be used.
        TypeError: an argument of the wrong type.
        ValueError: an argument of the wrong shape or range, or arrays on several devices.
    """
    check_type(options, "options", DecodeOptions)
    arrays = {"heatmaps": heatmaps, "short_offsets": short_offsets, "mid_offsets": mid_offsets}
    if not all_on_device(**arrays):
        raise TypeError("heatmaps: expected device memory, got host memory")
    capacity = as_integer(capacity, "capacity", 1, _MOST)
    queue = Queue.of(**arrays)
    heatmaps, short_offsets, mid_offsets, stride = check_pose_fields(
        heatmaps, short_offsets, mid_offsets, stride=stride, skeleton=skeleton,
        hough_stride=options.hough_stride if options.decoder == "personlab" else None, take=queue.take,
    )  # fmt: skip
    batch = heatmaps.ndim == 4
    n = heatmaps.shape[0] if batch else None
    rows = min(options.max_poses, capacity)
    views = {"heatmaps": heatmaps, "short_offsets": short_offsets, "mid_offsets": mid_offsets}
    fields = queue.native.PoseFields(**{name: queue.field(array, stride, batch=batch) for name, array in views.items()})
    scratch_size = queue.native.decode_scratch_bytes(fields=fields, options=options.native, capacity=capacity)
    if out is None:
        out = _room(queue, n, rows, skeleton, capacity, scratch_size)
    else:
        _check_out(
            out, (1 if n is None else n, rows, skeleton.n_keypoints), skeleton, capacity, scratch_size, queue.device
        )
        object.__setattr__(out, "_queue", queue)
    object.__setattr__(out, "_inputs", (heatmaps, short_offsets, mid_offsets) if queue.torch is None else None)
    at = address_of(out._buffer)
    places = {name: at + 4 * start for name, (start, _) in zip(_ARRAYS, _places(*out.shape), strict=True)}
    queue.native.decode_poses(
        fields=fields, skeleton=out._table, options=options.native, capacity=capacity,
        scratch=address_of(out._scratch), **places, rows=rows, device=queue.device, stream=queue.stream,
    )  # fmt: skip
    return out


def _check_out(
    out: DevicePoses, shape: tuple[int, ...], skeleton: Skeleton, capacity: int, scratch_size: int, device: int
) -> None:
    check_type(out, "out", DevicePoses)
    if out._skeleton != skeleton:
        raise ValueError("out: expected poses of the same skeleton, got those of another one")
    expected = (shape, capacity, device)
    given = (out.shape, out.capacity, out._queue.device)
    if given != expected or out._scratch_size < scratch_size:
        raise ValueError(
            "out: expected room for (N, C, K) = {}, capacity {} on device {}".format(*expected)
            + " with {} bytes of scratch, got {}, {} and {} with {}".format(scratch_size, *given, out._scratch_size)
        )


def decode_all(
    heatmaps: Any, short_offsets: Any, mid_offsets: Any, *, stride: Any, skeleton: Skeleton, options: DecodeOptions
) -> Poses | list[Poses]:
    """What `personlab.decode_poses` returns; decoded again where there was too little room, on the host in the end."""
    capacity = CAPACITY
    while True:
        found = decode_poses(
            heatmaps, short_offsets, mid_offsets, stride=stride, skeleton=skeleton, options=options, capacity=capacity
        )
        candidates, poses = found._read()
        most = int(candidates.max(initial=0))
        if most <= capacity:
            return poses if found._is_batch else poses[0]
        if most > _MOST:
            from personlab.methods.personlab import decode
            from personlab.methods.personlab.backends.cuda import stages as _stages_cuda

            arrays = {"heatmaps": heatmaps, "short_offsets": short_offsets, "mid_offsets": mid_offsets}
            there = (_stages_cuda.read_numbers(array, name) for name, array in arrays.items())
            return decode.decode_poses(*there, stride=stride, skeleton=skeleton, options=options)
        capacity = most


def decode_masks(
    poses: DevicePoses,
    segmentation: Any,
    long_offsets: Any,
    *,
    short_offsets: Any = None,
    stride: int,
    size: tuple[int, int],
    options: MaskOptions = _MASK_DEFAULTS,
    return_scores: bool = False,
) -> Any:
    """Queue what `personlab.decode_masks` does, for poses that are on the device; nothing waits for it.

    Args:
        poses: of N images, decoded on the stream of the fields, or on another one that has come so far.
        segmentation: (N, 1, h, w) logits, in the memory of the same GPU, the others too; for fields that were no batch,
            without the axis N.
        long_offsets: ([N,] K, 2, h, w).
        short_offsets: ([N,] K, 2, h, w), or None.
        stride: input pixels from cell to cell.
        size: (H, W) of the images.
        options: thresholds and refinement steps, whether masks exclude each other, and the power in mask scores.
        return_scores: whether to return mask scores, too, by which masks are to be ranked.

    Returns:
        (N, C, H, W) bool, on the GPU: the masks of the C rows of `poses`, empty past each image's count. With
        `return_scores`, these and the scores (N, C) float32, on the GPU as well, 0 where a mask is empty.

    Raises:
        RuntimeError: no GPU can be used.
        TypeError: an argument of the wrong type.
        ValueError: an argument of the wrong shape or range, or arrays on several devices.
    """
    check_type(poses, "poses", DevicePoses)
    check_type(options, "options", MaskOptions)
    arrays = {"segmentation": segmentation, "long_offsets": long_offsets, "short_offsets": short_offsets}
    if not all_on_device(**arrays):
        raise TypeError("segmentation: expected device memory, got host memory")
    queue = Queue.of(**{"poses": poses.keypoints, **arrays})
    taken = [None if array is None else queue.take(array, name) for name, array in arrays.items()]
    n, _, k = poses.keypoint_scores.shape
    if not poses._is_batch:
        taken = [None if array is None else replace(array, shape=(1, *array.shape)) for array in taken]
    field, long, short = taken
    assert field is not None
    assert long is not None
    check_shape(field, "segmentation", (n, 1, None, None), "(N, 1, h, w)")
    h, w = field.shape[2:]
    check_shape(long, "long_offsets", (n, k, 2, h, w), "(N, K, 2, h, w)")
    if short is not None:
        check_shape(short, "short_offsets", (n, k, 2, h, w), "(N, K, 2, h, w)")
    stride = as_integer(stride, "stride", 1, 4096)
    check_extent(field, "segmentation", stride)
    check_type(return_scores, "return_scores", bool)
    masks, scores = _dense_cuda.associate_pixels_there(
        queue, poses, field, long, short, stride=stride, size=as_size(size, "size"), options=options,
        scored=return_scores,
    )  # fmt: skip
    return (masks, scores) if return_scores else masks
