"""Poses decoded on a GPU, in its memory; nothing waits for them until they are read."""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from personlab.arrays.array import to_float32
from personlab.arrays.numbers import check_type
from personlab.arrays.stream import address_of
from personlab.methods.personlab.backends import cpu
from personlab.methods.personlab.backends.cuda import views
from personlab.poses import Poses

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from personlab.arrays.array import DeviceArray
    from personlab.arrays.stream import DeviceStream
    from personlab.options import DecodeOptions
    from personlab.skeleton import Skeleton

MAX_CAPACITY = 2**22  # candidates of an image: the stages count the keypoints of all of them in 32 bits
_ARRAYS = ("candidates", "counts", "scores", "keypoints", "keypoint_scores", "probabilities")  # of `DevicePoses`


@dataclass(frozen=True, eq=False)
class DevicePoses:
    """Poses of N images in the memory of a GPU.

    The arrays are torch tensors where the fields were, else they offer `__cuda_array_interface__`. Of C rows for each
    image the first `counts` are its poses, best first; the others are 0. An image with more than `capacity`
    candidates has no poses: `candidates` shows it, and `read` raises.
    """

    shape: tuple[int, int, int]  # N, C, K
    capacity: int  # candidates of an image that the memory has room for
    is_batch: bool  # whether the fields had the axis N
    _buffer: Any  # all of the arrays in a row, 4 bytes an element
    _scratch: Any
    _scratch_size: int  # bytes
    _stream: DeviceStream  # that the poses were decoded on
    _skeleton: Skeleton
    _device_skeleton: Any
    _inputs: Any  # kept alive until the work is done; torch's own memory waits for that by itself

    @cached_property
    def candidates(self) -> Any:
        """(N,) int32, seeds."""
        return self._array(0, "int32")

    @cached_property
    def counts(self) -> Any:
        """(N,) int32, poses."""
        return self._array(1, "int32")

    @cached_property
    def scores(self) -> Any:
        """(N, C)."""
        return self._array(2, "float32")

    @cached_property
    def keypoints(self) -> Any:
        """(N, C, K, 2) x, y in pixels of the network input."""
        return self._array(3, "float32")

    @cached_property
    def keypoint_scores(self) -> Any:
        """(N, C, K) s_jk."""
        return self._array(4, "float32")

    @cached_property
    def keypoint_probabilities(self) -> Any:
        """(N, C, K) p_jk."""
        return self._array(5, "float32")

    def _array(self, i: int, element: str) -> Any:
        return self._stream.part(self._buffer, *_places(*self.shape)[i], element)

    def read(self) -> list[Poses]:
        """Returns the poses of each image, in host memory.

        Waits for the stream that they were decoded on, and for torch's current one, on which a graph may have run.

        Raises:
            RuntimeError: an image had more candidates than `capacity`.
        """
        candidates, poses = self.read_all()
        if (candidates > self.capacity).any():
            i = int(candidates.argmax())
            raise RuntimeError(
                f"capacity: image {i} has {candidates[i]} candidates, and room was made for {self.capacity}; "
                "decode it with more"
            )
        return poses

    def read_all(self) -> tuple[NDArray[np.int32], list[Poses]]:
        """Returns the candidates (N,) of each image, and its poses, none where there were more than `capacity`."""
        host = self._stream.current().read(self._buffer)
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
    """Returns where in a row of 4-byte words each of the arrays of `DevicePoses` begins, and its shape."""
    shapes: list[tuple[int, ...]] = [(n,), (n,), (n, rows), (n, rows, k, 2), (n, rows, k), (n, rows, k)]
    starts = [sum(map(math.prod, shapes[:i])) for i in range(len(shapes))]
    return list(zip(starts, shapes, strict=True))


def decode_device_poses(
    heatmaps: DeviceArray,
    short_offsets: DeviceArray,
    mid_offsets: DeviceArray,
    *,
    stride: int,
    skeleton: Skeleton,
    options: DecodeOptions,
    capacity: int,
    out: DevicePoses | None = None,
) -> DevicePoses:
    """Returns the poses of ([N,] K, h, w) heatmaps, or fills `out`; see `personlab.cuda.decode_poses`.

    Raises:
        TypeError: `out` is no `DevicePoses`.
        ValueError: `out` has other room than is needed, or a skeleton too large for a GPU.
    """
    stream, is_batch = heatmaps.stream, len(heatmaps.shape) == 4
    n, k, rows = heatmaps.shape[0] if is_batch else 1, skeleton.n_keypoints, min(options.max_poses, capacity)
    fields = stream.native.PoseFields(
        heatmaps=views.field_view(heatmaps, stride, batch=is_batch),
        short_offsets=views.field_view(short_offsets, stride, batch=is_batch),
        mid_offsets=views.field_view(mid_offsets, stride, batch=is_batch),
    )
    scratch_size = stream.native.decode_scratch_bytes(fields=fields, options=options.native, capacity=capacity)
    inputs = (heatmaps, short_offsets, mid_offsets) if stream.torch is None else None
    if out is None:
        start, shape = _places(n, rows, k)[-1]
        buffer = stream.empty((start + math.prod(shape),), "float32")
        scratch = stream.empty((scratch_size,), "uint8")
        uploaded = views.device_skeleton(stream, skeleton)
        out = DevicePoses(
            (n, rows, k), capacity, is_batch, buffer, scratch, scratch_size, stream, skeleton, uploaded, inputs
        )
    else:
        _check_out(out, (n, rows, k), skeleton, capacity, scratch_size, stream.device)
        out.__dict__.update(_stream=stream, _inputs=inputs)
    at = address_of(out._buffer)
    places = {name: at + 4 * start for name, (start, _) in zip(_ARRAYS, _places(*out.shape), strict=True)}
    stream.native.decode_poses(
        fields=fields, skeleton=out._device_skeleton, options=options.native, capacity=capacity,
        scratch=address_of(out._scratch), **places, rows=rows, device=stream.device, stream=stream.stream,
    )  # fmt: skip
    return out


def _check_out(
    out: Any, shape: tuple[int, ...], skeleton: Skeleton, capacity: int, scratch_size: int, device: int
) -> None:
    check_type(out, "out", DevicePoses)
    if out._skeleton != skeleton:
        raise ValueError("out: expected poses of the same skeleton, got those of another one")
    expected = (shape, capacity, device)
    actual = (out.shape, out.capacity, out._stream.device)
    if actual != expected or out._scratch_size < scratch_size:
        raise ValueError(
            "out: expected room for (N, C, K) = {}, capacity {} on device {}".format(*expected)
            + " with {} bytes of scratch, got {}, {} and {} with {}".format(scratch_size, *actual, out._scratch_size)
        )


def decode_pose_batch(
    heatmaps: DeviceArray,
    short_offsets: DeviceArray,
    mid_offsets: DeviceArray,
    *,
    stride: int,
    skeleton: Skeleton,
    options: DecodeOptions,
) -> list[Poses]:
    """Returns the poses of each of N images; decoded again where there was too little room, on the CPU in the end."""
    capacity = views.CAPACITY
    while capacity <= MAX_CAPACITY:
        on_device = decode_device_poses(
            heatmaps, short_offsets, mid_offsets, stride=stride, skeleton=skeleton, options=options, capacity=capacity
        )
        candidates, poses = on_device.read_all()
        needed = int(candidates.max(initial=0))
        if needed <= capacity:
            return poses
        capacity = needed
    fields = (to_float32(field.to_host()) for field in (heatmaps, short_offsets, mid_offsets))
    return cpu.decode_pose_batch(*fields, stride=stride, skeleton=skeleton, options=options)
