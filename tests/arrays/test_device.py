"""Arrays on a GPU: how they come in, what is said of those that cannot, and how votes on them agree with the core's."""

import ast
import re
import sys
from pathlib import Path

import numpy as np
import pytest
from cuda_device import OnDevice, Produced, in_halves, make_gpu
from scenes import PAIR, decode_options, random_fields

import personlab
from personlab import stages
from personlab.arrays import cuda_module

FIELDS = random_fields(3, PAIR, 5, 8, 8)


def votes(gpu, heatmaps, short_offsets, **changes):
    return stages.hough_vote(heatmaps, short_offsets, **{"stride": 8, "options": decode_options(), **changes})


@pytest.mark.parametrize("shape", [(0, 6), (4, 0)])
def test_grids_without_cells_give_scores_without_points(gpu, shape):
    heatmaps, short_offsets = (gpu.put(np.zeros((2, *axes, *shape), np.float32)) for axes in ((), (2,)))
    assert tuple(votes(gpu, heatmaps, short_offsets).shape) == (2, 0, 0)


def test_the_backend_can_be_named(gpu):
    on_device = gpu.put(FIELDS.heatmaps), gpu.put(FIELDS.short_offsets)
    np.testing.assert_array_equal(gpu.get(votes(gpu, *on_device, backend="cuda")), gpu.get(votes(gpu, *on_device)))
    for backend in ("cpu", "reference"):
        with pytest.raises(TypeError, match=f"heatmaps: expected host memory for backend '{backend}', got device"):
            votes(gpu, *on_device, backend=backend)
    with pytest.raises(TypeError, match="heatmaps: expected device memory for backend 'cuda', got host memory"):
        stages.hough_vote(None, None, stride=8, backend="cuda")
    with pytest.raises(TypeError, match="heatmaps: expected device memory for backend 'cuda', got host memory"):
        votes(gpu, FIELDS.heatmaps, FIELDS.short_offsets, backend="cuda")


def test_host_and_device_do_not_mix(gpu):
    with pytest.raises(TypeError, match="short_offsets: expected device memory, as heatmaps is, got host memory"):
        votes(gpu, gpu.put(FIELDS.heatmaps), FIELDS.short_offsets)


@pytest.mark.parametrize("dtype", [np.float64, np.int32, np.complex64])
def test_other_element_types_are_named(gpu, dtype):
    with pytest.raises(TypeError, match=r"heatmaps: expected .*float32.*, got .*"):
        votes(gpu, gpu.put(FIELDS.heatmaps.astype(dtype)), gpu.put(FIELDS.short_offsets))


def test_wrong_shapes_are_named(gpu):
    with pytest.raises(ValueError, match=r"short_offsets: expected shape \(K, 2, h, w\)"):
        votes(gpu, gpu.put(FIELDS.heatmaps), gpu.put(FIELDS.mid_offsets[:1]))
    with pytest.raises(ValueError, match=r"heatmaps: expected shape \(K, h, w\)"):
        votes(gpu, gpu.put(FIELDS.short_offsets), gpu.put(FIELDS.short_offsets))


@pytest.fixture
def host(request, monkeypatch):
    """The host that stands in for a GPU: what other libraries say of their arrays is made up there."""
    return make_gpu("host", monkeypatch)


@pytest.mark.torch
def test_strides_that_are_not_c_order_are_named(host):
    array = np.zeros((2, 5, 8), np.float32)
    turned = OnDevice(array, strides=(4, 64, 8))
    with pytest.raises(ValueError, match=r"heatmaps: expected a C-contiguous array, got strides \(4, 64, 8\)"):
        votes(host, turned, host.put(FIELDS.short_offsets))
    transposed = Produced(in_halves(np.zeros((2, 8, 5)), "float32").transpose(1, 2))
    with pytest.raises(ValueError, match="heatmaps: expected a C-contiguous array"):
        votes(host, transposed, host.put(FIELDS.short_offsets))


def test_an_address_between_elements_is_named(host):
    at = FIELDS.heatmaps.ctypes.data
    with pytest.raises(ValueError, match=r"heatmaps: expected an aligned array of float32, got one at address 0x"):
        votes(host, OnDevice(FIELDS.heatmaps, data=(at + 2, False)), host.put(FIELDS.short_offsets))


def test_strides_of_c_order_are_taken(host):
    heatmaps = OnDevice(FIELDS.heatmaps, strides=FIELDS.heatmaps.strides, version=3, stream=1)
    expected = stages.hough_vote(FIELDS.heatmaps, FIELDS.short_offsets, stride=8, options=decode_options())
    np.testing.assert_array_equal(host.get(votes(host, heatmaps, host.put(FIELDS.short_offsets))), expected)


def test_masked_arrays_are_refused(host):
    masked = OnDevice(FIELDS.heatmaps, mask=OnDevice(FIELDS.heatmaps > 0))
    with pytest.raises(TypeError, match=r"heatmaps: expected an array of .*, got a mask"):
        votes(host, masked, host.put(FIELDS.short_offsets))


@pytest.mark.torch
@pytest.mark.parametrize("kind", [2, 13])
def test_dlpack_producers_are_asked_for_the_stream(host, kind):
    producer = Produced(in_halves(FIELDS.heatmaps, "float32"), (kind, 0))
    short_offsets = OnDevice(FIELDS.short_offsets, version=3, stream=7)
    expected = stages.hough_vote(FIELDS.heatmaps, FIELDS.short_offsets, stride=8, options=decode_options())
    np.testing.assert_array_equal(host.get(votes(host, producer, short_offsets)), expected)
    assert producer.streams == [7]


@pytest.mark.torch
def test_devices_do_not_mix(host):
    far = Produced(in_halves(FIELDS.heatmaps, "float32"), (2, 1))
    with pytest.raises(ValueError, match="short_offsets: expected device 1, where heatmaps lies, got device 0"):
        votes(host, far, host.put(FIELDS.short_offsets))


def test_results_say_where_they_lie(host):
    scores = votes(host, OnDevice(FIELDS.heatmaps, version=3, stream=5), host.put(FIELDS.short_offsets))
    known = scores.__cuda_array_interface__
    assert (known["version"], known["stream"], known["typestr"]) == (3, 5, "<f4")
    assert len(scores) == PAIR.n_keypoints


@pytest.mark.parametrize("order", ["1", "2", "77"])
def test_the_order_of_blocks_and_threads_changes_nothing(host, monkeypatch, order):
    arrays = host.put(FIELDS.heatmaps), host.put(FIELDS.short_offsets)
    expected = host.get(votes(host, *arrays))
    monkeypatch.setenv("PERSONLAB_CUDA_HOST_ORDER", order)
    np.testing.assert_array_equal(host.get(votes(host, *arrays)), expected)


def test_the_module_takes_arguments_by_keyword_only_and_the_stub_mirrors_them(host):
    module, _ = cuda_module._load()
    stub = ast.parse((Path(personlab.__file__).parent / "_cuda.pyi").read_text(encoding="utf-8"))
    functions = {node.name: node for node in stub.body if isinstance(node, ast.FunctionDef)}
    classes = {node.name: node.body[0] for node in stub.body if isinstance(node, ast.ClassDef)}
    numbers = {node.target.id for node in stub.body if isinstance(node, ast.AnnAssign)}
    assert {*functions, *classes, *numbers} == {name for name in dir(module) if not name.startswith("__")}
    for name, node in {**functions, **classes}.items():
        native = getattr(module, name)
        signature = (native.__init__ if name in classes else native).__doc__.splitlines()[0]
        by_keyword = [argument.arg for argument in node.args.kwonlyargs]
        assert re.findall(r", (\w+): ", signature) == by_keyword, name
        assert not by_keyword or re.search(r"[(,] ?\*, ", signature), name
        assert len(node.args.args) == (name in classes), name
    with pytest.raises(TypeError, match="incompatible function arguments"):
        module.wait_for(0, 0, 0)


def test_candidates_are_records_of_the_modules_layout(host):
    module, _ = cuda_module._load()
    dtype = np.dtype(module.peak_layout)
    assert dtype.names == ("score", "keypoint", "x", "y")
    assert [dtype[name] for name in dtype.names] == ["f4", "i4", "f4", "f4"]


def test_an_element_type_that_no_field_has_is_named(host):
    module, _ = cuda_module._load()
    with pytest.raises(ValueError, match=r"^element: expected float32, float16 or bfloat16, got float64$"):
        module.DeviceField(data=0, element="float64", images=1, planes=1, height=1, width=1, stride=1)


def test_a_missing_module_is_one_clear_sentence(monkeypatch):
    monkeypatch.setitem(sys.modules, "personlab._cuda", None)  # as if there were no such file
    monkeypatch.setattr(cuda_module, "_load", cuda_module._load.__wrapped__)
    with pytest.raises(
        RuntimeError, match=r"^CUDA: personlab was built without CUDA: when it was installed there was no CUDA"
    ):
        stages.hough_vote(OnDevice(FIELDS.heatmaps), OnDevice(FIELDS.short_offsets), stride=8)
    assert personlab.build_info()["cuda"].startswith("no: personlab was built without CUDA: when it was")


def test_a_module_that_cannot_be_loaded_is_quoted(monkeypatch):
    def refuse(name):
        raise ImportError("undefined symbol: cudaNothing", name=name)

    monkeypatch.setattr(cuda_module.importlib, "import_module", refuse)
    monkeypatch.setattr(cuda_module, "_load", cuda_module._load.__wrapped__)
    assert "cannot be loaded: undefined symbol: cudaNothing" in personlab.build_info()["cuda"]


def test_a_driver_that_refuses_is_quoted(host, monkeypatch):
    module, _ = cuda_module._load()

    class Refusing:
        compiler, architectures = module.compiler, module.architectures

        @staticmethod
        def unavailable_reason():
            return "CUDA driver version is insufficient for CUDA runtime version"

        @staticmethod
        def versions():
            return driver, 13000

    driver = 12000
    monkeypatch.setattr(cuda_module, "_load", lambda: (Refusing, ""))
    with pytest.raises(RuntimeError, match=r"^CUDA: no GPU can be used: CUDA driver version is insufficient"):
        votes(host, host.put(FIELDS.heatmaps), host.put(FIELDS.short_offsets))
    assert personlab.build_info()["cuda"].startswith("no: CUDA driver version is insufficient")
    driver = 0
    assert personlab.build_info()["cuda"].startswith("no: no NVIDIA driver is installed; built by ")
    with pytest.raises(RuntimeError, match=r"^CUDA: no GPU can be used: no NVIDIA driver is installed$"):
        cuda_module.native()


def test_build_info_names_the_device(host):
    assert personlab.build_info()["cuda"].startswith("yes: the host in place of a GPU, driver for CUDA ")


@pytest.mark.cuda
def test_work_waits_for_what_the_current_stream_has_not_done():
    import torch

    heatmaps, short_offsets = (torch.from_numpy(a).cuda() for a in (FIELDS.heatmaps, FIELDS.short_offsets))
    expected = stages.hough_vote(FIELDS.heatmaps, FIELDS.short_offsets, stride=8, options=decode_options())
    torch.cuda.synchronize()
    side = torch.cuda.Stream()
    with torch.cuda.stream(side):
        late = torch.full_like(heatmaps, -50.0)
        torch.cuda._sleep(100_000_000)
        late.copy_(heatmaps)
        scores = stages.hough_vote(late, short_offsets, stride=8, options=decode_options())
        np.testing.assert_array_equal(scores.cpu().numpy(), expected)


@pytest.mark.cuda
def test_tensors_that_torch_holds_otherwise_are_taken():
    import torch

    heatmaps, short_offsets = (torch.from_numpy(a).cuda() for a in (FIELDS.heatmaps, FIELDS.short_offsets))
    expected = stages.hough_vote(FIELDS.heatmaps, FIELDS.short_offsets, stride=8, options=decode_options())
    turned = heatmaps.transpose(1, 2).contiguous().transpose(1, 2).requires_grad_()
    scores = stages.hough_vote(turned, Produced(short_offsets), stride=8, options=decode_options())
    assert scores.is_cuda
    np.testing.assert_array_equal(scores.cpu().numpy(), expected)
