"""What arrays may come in, what they may hold, and what is said of arrays and arguments that may not."""

import numpy as np
import pytest
from agreement import assert_same_bytes
from scenes import PAIR, decode_options, mask_options, random_fields

from personlab import DecodeOptions, MaskOptions, _core, decode_masks, decode_poses, encode_targets, stages
from personlab.arrays.host import as_field

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.torch

FIELDS = random_fields(40, PAIR, 5, 8, 8)
OPTIONS = decode_options(hough_stride=2)
SIZE = (21, 30)


class Producer:
    """An array of another library: DLPack and nothing else."""

    def __init__(self, owner, device=None):
        self._owner = owner
        self._device = device

    def __dlpack__(self, **how):
        return self._owner.__dlpack__(**how)

    def __dlpack_device__(self):
        return self._device or self._owner.__dlpack_device__()


class OldProducer(Producer):
    """One that knows the first version of the protocol alone."""

    def __dlpack__(self, stream=None):
        return self._owner.__dlpack__()


def decode(fields=FIELDS, **changes):
    arguments = {
        "heatmaps": fields.heatmaps,
        "short_offsets": fields.short_offsets,
        "mid_offsets": fields.mid_offsets,
        "stride": fields.stride,
        "skeleton": PAIR,
        "options": OPTIONS,
        **changes,
    }
    first = [arguments.pop(name) for name in ("heatmaps", "short_offsets", "mid_offsets")]
    return decode_poses(*first, **arguments)


POSES = decode()


def masks(**changes):
    arguments = {
        "poses": POSES,
        "segmentation": FIELDS.segmentation,
        "long_offsets": FIELDS.long_offsets,
        "short_offsets": FIELDS.short_offsets,
        "stride": 8,
        "size": SIZE,
        "options": mask_options(distance_threshold=1.0),
        **changes,
    }
    first = [arguments.pop(name) for name in ("poses", "segmentation", "long_offsets")]
    return decode_masks(*first, **arguments)


# --- Containers -------------------------------------------------------------------------------------------------------


def fortran(a):
    return np.asfortranarray(a)


def strided(a):
    return np.repeat(a, 2, axis=-1)[..., ::2]


def reversed_twice(a):
    return np.ascontiguousarray(a[..., ::-1, ::-1])[..., ::-1, ::-1]


def read_only(a):
    a = a.copy()
    a.flags.writeable = False
    return a


def misaligned(a):
    return np.frombuffer(b"\0" + a.tobytes(), np.float32, offset=1).reshape(a.shape)


def channels_last(a):
    return np.ascontiguousarray(np.moveaxis(a, 0, -1)).transpose(a.ndim - 1, *range(a.ndim - 1))


SAME_VALUES = {
    "fortran order": fortran,
    "strided": strided,
    "negative strides": reversed_twice,
    "read-only": read_only,
    "misaligned": misaligned,
    "channels last": channels_last,
    "memory map": lambda a: a.view(np.memmap),
    "torch": torch.tensor,
    "torch, strided": lambda a: torch.tensor(strided(a).copy()).transpose(-1, -2).contiguous().transpose(-1, -2),
    "torch, with gradient": lambda a: torch.tensor(a, requires_grad=True),
    "torch, result of a calculation": lambda a: torch.tensor(a, requires_grad=True) * 1,
    "torch, parameter": lambda a: torch.nn.Parameter(torch.tensor(a)),
    "DLPack": Producer,
    "DLPack, read-only": lambda a: Producer(read_only(a)),
    "DLPack of torch": lambda a: Producer(torch.tensor(a)),
    "DLPack, first version": OldProducer,
}


@pytest.mark.parametrize("container", SAME_VALUES)
def test_any_container_gives_the_same_bytes(container):
    wrap = SAME_VALUES[container]
    wrapped = {name: wrap(getattr(FIELDS, name)) for name in ("heatmaps", "short_offsets", "mid_offsets")}
    assert len(POSES) > 3
    assert_same_bytes(decode(**wrapped), POSES)
    wrapped = {name: wrap(getattr(FIELDS, name)) for name in ("segmentation", "long_offsets", "short_offsets")}
    expected = masks()
    assert expected.any()
    np.testing.assert_array_equal(masks(**wrapped), expected)


HALVES = {
    "float16": (lambda a: a.astype(np.float16), lambda a: a.astype(np.float16).astype(np.float32)),
    "float16, strided": (lambda a: strided(a.astype(np.float16)), lambda a: a.astype(np.float16).astype(np.float32)),
    "torch float16": (lambda a: torch.tensor(a).half(), lambda a: a.astype(np.float16).astype(np.float32)),
    "torch bfloat16": (lambda a: torch.tensor(a).bfloat16(), lambda a: torch.tensor(a).bfloat16().float().numpy()),
    "torch bfloat16, strided": (
        lambda a: torch.tensor(a).bfloat16().transpose(-1, -2).contiguous().transpose(-1, -2),
        lambda a: torch.tensor(a).bfloat16().float().numpy(),
    ),
    "torch bfloat16, with gradient": (
        lambda a: torch.tensor(a).bfloat16().requires_grad_(),
        lambda a: torch.tensor(a).bfloat16().float().numpy(),
    ),
    "DLPack float16": (lambda a: Producer(torch.tensor(a).half()), lambda a: a.astype(np.float16).astype(np.float32)),
    "DLPack bfloat16": (
        lambda a: Producer(torch.tensor(a).bfloat16()),
        lambda a: torch.tensor(a).bfloat16().float().numpy(),
    ),
}


@pytest.mark.parametrize("kind", HALVES)
def test_half_precision_is_computed_in_float32(kind):
    narrow, widened = HALVES[kind]
    names = ("heatmaps", "short_offsets", "mid_offsets")
    actual = decode(**{name: narrow(getattr(FIELDS, name)) for name in names})
    assert len(actual) > 3
    assert_same_bytes(actual, decode(**{name: widened(getattr(FIELDS, name)) for name in names}))
    names = ("segmentation", "long_offsets", "short_offsets")
    actual = masks(**{name: narrow(getattr(FIELDS, name)) for name in names})
    np.testing.assert_array_equal(actual, masks(**{name: widened(getattr(FIELDS, name)) for name in names}))


def test_contiguous_float32_is_not_copied():
    a = FIELDS.heatmaps
    assert as_field(a, "a") is a
    for other in (read_only(a), a.view(np.memmap), torch.tensor(a), torch.tensor(a, requires_grad=True), Producer(a)):
        taken = as_field(other, "a")
        owner = other.detach().numpy() if isinstance(other, torch.Tensor) else getattr(other, "_owner", other)
        assert np.shares_memory(taken, owner), type(other)


def as_wide(columns):
    """One row of cells for each plane."""
    return {name: np.zeros((*a.shape[:-2], 1, columns), np.float32) for name, a in PLAIN.items()}


PLAIN = {"heatmaps": FIELDS.heatmaps, "short_offsets": FIELDS.short_offsets, "mid_offsets": FIELDS.mid_offsets}
NOT_PLAIN = {
    "strided": {"short_offsets": strided(FIELDS.short_offsets)},
    "misaligned": {"heatmaps": misaligned(FIELDS.heatmaps)},
    "other byte order": {"mid_offsets": FIELDS.mid_offsets.astype(FIELDS.mid_offsets.dtype.newbyteorder())},
    "float64": {"heatmaps": FIELDS.heatmaps.astype(float)},
    "int32": {"heatmaps": FIELDS.heatmaps.astype(np.int32)},
    "tensor": {"mid_offsets": torch.tensor(FIELDS.mid_offsets)},
    "list": {"heatmaps": FIELDS.heatmaps.tolist()},
    "None": {"short_offsets": None},
    "no axis": {"heatmaps": np.float32(0)},
    "two axes": {"heatmaps": FIELDS.heatmaps[0]},
    "one keypoint more": {"heatmaps": np.zeros((3, 5, 8), np.float32)},
    "other grid": {"short_offsets": np.zeros((2, 2, 8, 5), np.float32)},
    "one edge more": {"mid_offsets": np.zeros((4, 2, 5, 8), np.float32)},
    "batch of heatmaps alone": {"heatmaps": FIELDS.heatmaps[None]},
    "batches of two lengths": {
        "heatmaps": np.stack([FIELDS.heatmaps] * 2),
        "short_offsets": np.stack([FIELDS.short_offsets] * 2),
        "mid_offsets": np.stack([FIELDS.mid_offsets] * 3),
    },
    "stride 0": {"stride": 0},
    "stride past the largest": {"stride": _core.MAX_STRIDE + 1},
    "enormous input": {"stride": 4096, **as_wide(257)},
    "stride past all integers": {"stride": 2**70},
    "bool stride": {"stride": True},
    "float stride": {"stride": 8.0},
}


def glance(**changes):
    arguments = {**PLAIN, "stride": 8, "skeleton": PAIR.native, "options": OPTIONS.native, **changes}
    return _core.decode_plain(**arguments)


def test_ordinary_arrays_need_no_more_than_a_glance():
    (arrays,) = glance()
    np.testing.assert_array_equal(arrays[0], POSES.keypoints)
    assert [len(arrays[0]) for arrays in glance(**{name: np.stack([a] * 3) for name, a in PLAIN.items()})] == (
        [len(POSES)] * 3
    )
    assert glance(**{name: a[None][:0] for name, a in PLAIN.items()}) == []
    assert len(glance(stride=_core.MAX_STRIDE, **as_wide(256))) == 1  # the largest input


@pytest.mark.parametrize("case", NOT_PLAIN)
def test_other_arguments_are_looked_at_more_closely(case):
    assert glance(**NOT_PLAIN[case]) is None


def test_stages_take_tensors():
    tensor = torch.tensor(FIELDS.heatmaps)
    hough = stages.hough_vote(tensor, torch.tensor(FIELDS.short_offsets), stride=8, options=OPTIONS)
    peaks = stages.find_peaks(torch.tensor(hough), options=OPTIONS)
    groups = stages.group_poses(
        tuple(torch.tensor(a) for a in peaks), tensor, FIELDS.short_offsets, FIELDS.mid_offsets,
        stride=8, skeleton=PAIR, options=OPTIONS,
    )  # fmt: skip
    ranked = stages.score_poses(
        tuple(torch.tensor(a) for a in groups), torch.tensor(hough), skeleton=PAIR, options=OPTIONS
    )
    np.testing.assert_array_equal(groups.keypoints[ranked.kept], POSES.keypoints)


# --- Wrong input ------------------------------------------------------------------------------------------------------


def cells(*shape):
    return np.zeros(shape, np.float32)


WRONG_TYPE = {
    "None": ({"heatmaps": None}, "heatmaps: expected an array or tensor, got NoneType"),
    "list": ({"short_offsets": [[1.0]]}, "short_offsets: expected an array or tensor, got list"),
    "float64": ({"mid_offsets": np.zeros((2, 2, 5, 8))}, "mid_offsets: expected float32, .* got float64"),
    "int32": ({"heatmaps": np.zeros((2, 5, 8), np.int32)}, "heatmaps: expected float32, .* got int32"),
    "complex": ({"heatmaps": np.zeros((2, 5, 8), np.complex64)}, "heatmaps: expected float32, .* got complex64"),
    "objects": ({"heatmaps": np.zeros((2, 5, 8), object)}, "heatmaps: expected float32, .* got object"),
    "torch float64": ({"heatmaps": torch.zeros(2, 5, 8, dtype=torch.float64)}, "heatmaps: .* got float64"),
    "torch int": ({"heatmaps": torch.zeros(2, 5, 8, dtype=torch.int32)}, "heatmaps: expected .*, got int32"),
    "torch meta": ({"heatmaps": torch.empty(2, 5, 8, device="meta")}, "heatmaps: expected host memory, got .*meta"),
    "CUDA": (
        {"short_offsets": Producer(FIELDS.short_offsets, (2, 0))},
        "heatmaps: expected device memory, as short_offsets is, got host memory",
    ),
    "float stride": ({"stride": 8.0}, "stride: expected an integer, got 8.0"),
    "bool stride": ({"stride": True}, "stride: expected an integer, got True"),
    "no stride": ({"stride": None}, "stride: expected an integer, got None"),
    "options None": ({"options": None}, "options: expected DecodeOptions, got NoneType"),
    "mask options": ({"options": MaskOptions()}, "options: expected DecodeOptions, got MaskOptions"),
    "skeleton": ({"skeleton": "coco"}, "skeleton: expected Skeleton, got str"),
}

WRONG_VALUE = {
    "no grid": ({"heatmaps": cells(2, 5)}, r"heatmaps: expected shape .*\(K, h, w\).*, got \(2, 5\)"),
    "five axes": ({"heatmaps": cells(1, 1, 2, 5, 8)}, r"heatmaps: expected shape .*, got \(1, 1, 2, 5, 8\)"),
    "other skeleton": ({"heatmaps": cells(3, 5, 8)}, r"heatmaps: expected .* K = 2, got \(3, 5, 8\)"),
    "channels last": ({"heatmaps": cells(5, 8, 2)}, r"heatmaps: expected .* K = 2, got \(5, 8, 2\)"),
    "transposed": (
        {"short_offsets": cells(2, 2, 8, 5)},
        r"short_offsets: expected .*\(2, 2, 5, 8\), got \(2, 2, 8, 5\)",
    ),
    "flat offsets": ({"short_offsets": cells(4, 5, 8)}, r"short_offsets: expected .*\(2, 2, 5, 8\), got \(4, 5, 8\)"),
    "half the edges": (
        {"mid_offsets": cells(1, 2, 5, 8)},
        r"mid_offsets: expected .*\(2, 2, 5, 8\), got \(1, 2, 5, 8\)",
    ),
    "unbatched": ({"heatmaps": cells(1, 2, 5, 8)}, r"short_offsets: expected .*\(1, 2, 2, 5, 8\), got \(2, 2, 5, 8\)"),
    "stride 0": ({"stride": 0}, "stride: expected an integer from 1 to 4096, got 0"),
    "negative stride": ({"stride": -8}, "stride: expected an integer from 1 to 4096, got -8"),
    "stride too great": ({"stride": 5000}, "stride: expected an integer from 1 to 4096, got 5000"),
}


@pytest.mark.parametrize("case", WRONG_TYPE)
def test_a_wrong_type_is_named(case):
    changes, message = WRONG_TYPE[case]
    with pytest.raises(TypeError, match=message):
        decode(**changes)


@pytest.mark.parametrize("case", WRONG_VALUE)
def test_a_wrong_shape_or_range_is_named(case):
    changes, message = WRONG_VALUE[case]
    with pytest.raises(ValueError, match=message):
        decode(**changes)


@pytest.mark.parametrize("options", [OPTIONS, DecodeOptions.posenet(0.5)], ids=["personlab", "posenet"])
def test_an_input_too_large_for_its_pixels_to_be_counted_is_refused(options):
    # 600000 cells at stride 4096 reach pixel 2457595904, beyond 2^31.
    wide = cells(2, 1, 600000)
    with pytest.raises(ValueError, match=r"heatmaps: expected .*, got 1 x 600000 cells of stride 4096"):
        decode(
            heatmaps=wide, short_offsets=cells(2, 2, 1, 600000), mid_offsets=cells(2, 2, 1, 600000),
            stride=4096, options=options,
        )  # fmt: skip


def test_a_lattice_too_large_is_refused_where_there_is_one():
    # 32769 x 32769 pixels.
    fields = {"heatmaps": cells(2, 9, 9), "short_offsets": cells(2, 2, 9, 9), "mid_offsets": cells(2, 2, 9, 9)}
    with pytest.raises(ValueError, match=r"hough_stride: expected at most 1073741824 lattice points .*, got 1"):
        decode(**fields, stride=4096, options=decode_options(hough_stride=1))
    decode(**fields, stride=4096, options=DecodeOptions.posenet(0.9))


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"poses": None}, TypeError, "poses: expected Poses.*, got NoneType"),
        ({"poses": 5}, TypeError, "poses: expected Poses.*, got int"),
        ({"poses": POSES.keypoints}, TypeError, "poses: expected Poses.*, got "),
        ({"poses": "ab"}, TypeError, r"poses\[0\]: expected Poses, got str"),
        ({"poses": [POSES, None]}, TypeError, r"poses\[1\]: expected Poses, got NoneType"),
        ({"segmentation": cells(5, 8)}, ValueError, r"segmentation: expected .*\(1, h, w\).*, got \(5, 8\)"),
        ({"segmentation": cells(2, 5, 8)}, ValueError, r"segmentation: expected .*, got \(2, 5, 8\)"),
        (
            {"long_offsets": cells(3, 2, 5, 8)},
            ValueError,
            r"long_offsets: expected .*\(2, 2, 5, 8\), got \(3, 2, 5, 8\)",
        ),
        ({"short_offsets": cells(2, 2, 5, 7)}, ValueError, r"short_offsets: expected .*, got \(2, 2, 5, 7\)"),
        ({"segmentation": np.zeros((1, 5, 8))}, TypeError, "segmentation: expected float32.*, got float64"),
        ({"stride": 0}, ValueError, "stride: expected .*, got 0"),
        ({"size": 5}, TypeError, r"size: expected \(H, W\), got 5"),
        ({"size": (5, 6, 7)}, TypeError, r"size: expected \(H, W\), got \(5, 6, 7\)"),
        ({"size": (5.0, 6)}, TypeError, r"size\[0\]: expected an integer, got 5.0"),
        ({"size": (5, -1)}, ValueError, r"size\[1\]: expected .*, got -1"),
        ({"size": (2**30, 5)}, ValueError, r"size\[0\]: expected .*, got 1073741824"),
        ({"options": None}, TypeError, "options: expected MaskOptions, got NoneType"),
        ({"options": DecodeOptions()}, TypeError, "options: expected MaskOptions, got DecodeOptions"),
    ],
)
def test_wrong_arguments_of_masks_are_named(changes, error, message):
    with pytest.raises(error, match=message):
        masks(**changes)


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"keypoints": np.zeros((1, 3, 3))}, ValueError, r"keypoints: expected .*, got \(1, 3, 3\)"),
        ({"keypoints": [[1, 2, 3]]}, TypeError, "keypoints: expected an array or tensor, got list"),
        ({"keypoints": np.full((1, 2, 3), np.nan)}, ValueError, "keypoints: expected finite"),
        ({"keypoints": np.full((1, 2, 3), 1e300)}, ValueError, "keypoints: expected finite"),
        ({"masks": np.zeros((1, 9, 16), bool)}, ValueError, r"masks: expected .*\(1, 9, 17\), got \(1, 9, 16\)"),
        ({"masks": np.zeros((1, 9, 17), np.float32)}, TypeError, "masks: expected bool or uint8, got float32"),
        ({"crowd": np.zeros((1, 9, 17), bool)}, ValueError, r"crowd: expected .*\(9, 17\), got \(1, 9, 17\)"),
        ({"size": (10, 17)}, ValueError, r"size: expected a multiple of the stride 8 plus 1 .*, got \(10, 17\)"),
        ({"size": (0, 17)}, ValueError, r"size: expected .*, got \(0, 17\)"),
        ({"size": (9, 2**20 + 1)}, ValueError, r"size\[1\]: expected .* to 1048576, got 1048577"),
        ({"stride": 0}, ValueError, "stride: expected .*, got 0"),
        ({"disk_radius": 0.0}, ValueError, "disk_radius: expected .*, got 0.0"),
        ({"disk_radius": np.inf}, ValueError, "disk_radius: expected .*, got inf"),
        ({"disk_radius": 5000}, ValueError, "disk_radius: expected .* <= 4096, got 5000"),
        ({"disk_radius": "far"}, TypeError, "disk_radius: expected .*, got 'far'"),
        ({"skeleton": None}, TypeError, "skeleton: expected Skeleton, got NoneType"),
    ],
)
def test_wrong_arguments_of_targets_are_named(changes, error, message):
    arguments = {
        "keypoints": np.zeros((1, 2, 3)),
        "masks": None,
        "size": (9, 17),
        "stride": 8,
        "skeleton": PAIR,
        **changes,
    }
    with pytest.raises(error, match=message):
        encode_targets(arguments.pop("keypoints"), arguments.pop("masks"), **arguments)
