"""Every engine of the table finds the people that torch finds in float32, and refuses what it cannot do in one line."""

from __future__ import annotations

import dataclasses
import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
import pytest
from agreement import assert_same_poses
from fake_networks import OnePerson
from published import random_model

from personlab import Predictor
from personlab.nn import export_onnx
from personlab.predict import engines, load
from personlab.predict.engines import ENGINES, PRECISIONS
from personlab.predict.load import load_network
from personlab.weights import convert, load_model

SEVERAL = {"scales": (0.75, 1.0), "flip": True}
FILES = [name for name, kind in ENGINES.items() if kind.runs == "files"]


@pytest.fixture(params=ENGINES)
def engine(request):
    """Each engine of the table in turn."""
    kind = ENGINES[request.param]
    if not kind.is_installed:
        pytest.skip(f"no {kind.package}")
    return request.param


@pytest.fixture(scope="module")
def weights(data, tmp_path_factory):
    """A checkpoint of BodyPix, beside which its exported files will lie."""
    path = tmp_path_factory.mktemp("weights") / "bodypix.safetensors"
    convert(data / "weights" / "bodypix-mobilenet-050-stride16.onnx", path)
    return path


@pytest.fixture(scope="module")
def photographs(data):
    """Photographs of several sizes, (H, W, 3) RGB."""
    names = ("couple", "soccer", "office_group")
    images = [cv2.imread(str(data / "images" / f"{name}.jpg"))[:, :, ::-1] for name in names]
    return [*images, np.ascontiguousarray(images[0].transpose(1, 0, 2)), images[1][:37, :411]]


@pytest.fixture(scope="module")
def expected(weights, photographs):
    """What torch says in float32: (stride, more) -> predictions."""
    known = {}

    def predict(stride, **more):
        key = stride, tuple(more.items())
        if key not in known:
            predictor = Predictor(load_model(weights, stride=stride), long_edge=321, **more)
            assert (predictor.engine, predictor.precision) == ("torch", "float32")
            known[key] = [predictor(image) for image in photographs]
        return known[key]

    return predict


def assert_same(found, wanted):
    for ours, theirs in zip(found, wanted, strict=True):
        assert_same_poses(ours.poses, theirs.poses, pixels=1e-2, score=1e-3)
        assert ours.masks.shape == theirs.masks.shape
        assert (ours.masks != theirs.masks).sum() <= 1e-3 * ours.masks.size


@pytest.mark.parametrize("more", [{}, SEVERAL], ids=["plain", "several"])
@pytest.mark.parametrize("stride", [16, 8])
def test_the_same_people_as_torch_in_float32(engine, weights, photographs, expected, stride, more):
    predictor = Predictor(weights, engine=engine, precision="float32", stride=stride, long_edge=321, **more)
    assert (predictor.engine, predictor.precision, predictor.stride) == (engine, "float32", stride)
    wanted = expected(stride, **more)
    assert sum(len(one.poses) for one in wanted) >= 5
    assert_same([predictor(image) for image in photographs], wanted)
    assert_same(predictor(photographs), wanted)


def test_batches(engine, weights, photographs, expected):
    predictor = Predictor(weights, engine=engine, precision="float32", long_edge=321, batch_size=4)
    images = [photographs[0]] * 3 + photographs
    assert_same(predictor(images), [expected(16)[0]] * 3 + expected(16))


def test_outputs_are_those_asked_for(engine, weights):
    loaded = load_network(weights, engine=engine, precision="float32")
    images = np.random.default_rng(0).integers(0, 256, (2, 33, 49, 3), np.uint8)
    names = loaded.method.outputs(True)
    whole = {name: np.asarray(array) for name, array in loaded.engine.run(images, names).items()}
    assert {name: array.shape for name, array in whole.items()} == {
        "heatmaps": (2, 17, 3, 4), "short_offsets": (2, 17, 2, 3, 4), "mid_offsets": (2, 32, 2, 3, 4),
        "segmentation": (2, 1, 3, 4), "long_offsets": (2, 17, 2, 3, 4),
    }  # fmt: skip
    assert all(array.dtype == np.float32 for array in whole.values())
    some = loaded.engine.run(images, ("mid_offsets", "none", "heatmaps"))
    assert list(some) == ["mid_offsets", "heatmaps"]
    for name, array in some.items():
        np.testing.assert_allclose(np.asarray(array), whole[name], atol=1e-3)
    # Other memory layouts: mirrored and cut views, which hold the same numbers.
    wide = np.zeros((2, 33, 60, 3), np.uint8)
    wide[:, :, 5:54] = images[:, :, ::-1]
    mirrored = loaded.engine.run(wide[:, :, 5:54][:, :, ::-1], names)
    for name, array in mirrored.items():
        np.testing.assert_allclose(np.asarray(array), whole[name], atol=1e-3)
    results = loaded.engine.run(images[:1], ["heatmaps"])
    before = np.array(results["heatmaps"])
    loaded.engine.run(255 - images[:1], ["heatmaps"])
    np.testing.assert_array_equal(results["heatmaps"], before)  # no run writes over what another returned


def test_many_threads_run_at_once(engine, weights):
    running = load_network(weights, engine=engine, precision="float32").engine
    assert running.streams >= 1
    rng = np.random.default_rng(1)
    images = [rng.integers(0, 256, (1, 33 + 16 * (n % 3), 49, 3), np.uint8) for n in range(12)]
    alone = [np.array(running.run(one, ["heatmaps"])["heatmaps"]) for one in images]
    with ThreadPoolExecutor(6) as pool:
        for _ in range(3):
            for array, wanted in zip(pool.map(lambda one: running.run(one, ["heatmaps"]), images), alone, strict=True):
                np.testing.assert_allclose(np.asarray(array["heatmaps"]), wanted, atol=1e-3)


def ends_well(child, seconds=120):
    """Whether a forked child ends in time without an error; one that hangs is ended."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return status == 0
        time.sleep(0.05)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return False


@pytest.mark.unsanitized
@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_forked_child_runs_too(engine, weights):
    """So it does where others have ended and where another thread runs, and so does its own child."""
    running, ended, other = (load_network(weights, engine=engine, precision="float32").engine for _ in range(3))
    images = np.random.default_rng(2).integers(0, 256, (1, 49, 65, 3), np.uint8)
    wanted = np.array(running.run(images, ["heatmaps"])["heatmaps"])
    ended.run(images, ["heatmaps"])
    del ended  # whose threads wait for another network to run

    def agrees():
        return np.allclose(np.asarray(running.run(images, ["heatmaps"])["heatmaps"]), wanted, atol=1e-3)

    stopped = threading.Event()

    def run_on():
        while not stopped.is_set():
            other.run(images, ["heatmaps"])

    child = os.fork()
    if child == 0:
        good = agrees() and agrees()
        grandchild = os.fork()
        if grandchild == 0:
            os._exit(0 if agrees() else 3)
        os._exit(0 if good and ends_well(grandchild) else 4)
    assert ends_well(child)
    assert agrees()
    if engine != "openvino":  # PyTorch's and ONNX Runtime's own threads know nothing of forks
        return
    thread = threading.Thread(target=run_on)
    thread.start()
    try:
        for _ in range(5):
            child = os.fork()
            if child == 0:
                os._exit(0 if agrees() else 3)
            assert ends_well(child)
    finally:
        stopped.set()
        thread.join()
    assert agrees()


def run_alone(code, *arguments):
    """Return (exit status, what is printed, errors) of Python code in a process of its own."""
    command = [sys.executable, "-c", code, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=240, check=False)
    return done.returncode, done.stdout, done.stderr


OPENED = """
import os, signal, sys, warnings
import numpy as np
from personlab.predict.load import load_network
warnings.simplefilter("ignore", DeprecationWarning)
images = np.zeros((1, 49, 65, 3), np.uint8)
def opened():
    engines = [load_network(sys.argv[1], engine=sys.argv[2], precision="float32").engine for _ in range(3)]
    for one in engines:
        one.run(images, ["heatmaps"])
    return engines
"""


@pytest.mark.unsanitized
@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
def test_a_forked_child_of_openvino_ends_as_any_process(weights):
    """It lacks the threads of what it inherited, whose end waits for them; a run or the end of engines comes first."""
    pytest.importorskip("openvino")
    code = f"""{OPENED}
engines = opened()
for what in range(3):
    child = os.fork()
    if child == 0:
        signal.alarm(60)  # ends a child that hangs
        if what == 1:
            del engines[:]
        elif what == 2:
            engines[0].run(images, ["heatmaps"])
        sys.exit(5)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)  # or the next child would print it again
"""
    status, printed, errors = run_alone(code, weights, "openvino")
    assert (status, printed) == (0, "5\n5\n5\n"), errors


@pytest.mark.unsanitized
@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
def test_openvino_is_opened_while_the_process_is_forked():
    """So it happens: the package `openvino` forks in a thread while it is imported, to send its telemetry."""
    pytest.importorskip("openvino")
    code = """
import logging, os, openvino
os.register_at_fork(before=lambda: __import__("personlab.predict.engines.openvino_process"))
for _ in range(2):
    child = os.fork()
    if child == 0:
        os._exit(0)
    print(os.waitpid(child, 0)[1], flush=True)
"""
    status, printed, errors = run_alone(code)
    assert (status, printed) == (0, "0\n0\n"), errors
    assert "Process._" not in errors


def test_ctrl_c_is_an_exception_after_engines_have_ended(engine, weights):
    """Engines end in any order, in a process of its own, which a wrong signal stack would end."""
    orders = [(0, 0, 0), (2, 1, 0), (1, 1, 0)] if engine == "openvino" else [(0, 0, 0)]
    code = f"""{OPENED}
for order in {orders}:
    engines = opened()
    for n in order:
        del engines[n]
    if hasattr(os, "fork"):
        child = os.fork()
        if child == 0:
            os._exit(0)
        os.waitpid(child, 0)
    blocks = [bytes(12000) for _ in range(1000)]
    try:
        signal.raise_signal(signal.SIGINT)
    except KeyboardInterrupt:
        print("interrupted")
"""
    status, printed, errors = run_alone(code, weights, engine)
    assert (status, printed) == (0, len(orders) * "interrupted\n"), errors


def test_16_bits_find_the_same_people_nearly(engine, weights, photographs, expected):
    module = ENGINES[engine].load()
    device = load_network(weights, engine=engine, precision="float32").device
    offered = module.precisions(device)
    assert "float32" in offered
    assert set(offered) <= set(PRECISIONS)
    for precision in offered:
        predictor = Predictor(weights, engine=engine, precision=precision, long_edge=321)
        assert predictor.precision == precision
        for found, wanted in zip([predictor(one) for one in photographs[:2]], expected(16), strict=False):
            assert len(found.poses) == len(wanted.poses)
            sure = wanted.poses.keypoint_scores > 0.5
            moved = np.hypot(*np.moveaxis(found.poses.keypoints - wanted.poses.keypoints, -1, 0))
            assert np.median(moved[sure]) < 0.01 * max(wanted.image_size)
    assert Predictor(weights, engine=engine).precision == offered[0]
    for lacking in set(PRECISIONS) - set(offered):
        with pytest.raises(ValueError, match=f"precision: expected .*, as {engine} on cpu computes natively"):
            Predictor(weights, engine=engine, precision=lacking)


def test_auto_takes_the_first_that_is_installed(weights, monkeypatch):
    installed = [name for name, kind in ENGINES.items() if kind.is_installed]
    assert Predictor(weights, device="cpu").engine == installed[0]
    for missing in range(1, len(installed)):
        gone = {ENGINES[name].package for name in installed[:missing]}
        find = engines.find_spec
        monkeypatch.setattr(
            engines, "find_spec", lambda name, gone=gone, find=find: None if name in gone else find(name)
        )
        assert Predictor(weights, device="cpu").engine == installed[missing]
        with pytest.raises(ImportError, match=f"engine: expected an engine that is installed, got {installed[0]}: pip"):
            Predictor(weights, engine=installed[0])
    monkeypatch.undo()
    monkeypatch.setattr(load, "_has_cuda", lambda: True)
    assert load._choose(None) == "torch"
    assert load._choose("cpu") == installed[0]


def test_networks_in_memory_run_in_torch_unless_asked(weights):
    network = load_model(weights)
    predictor = Predictor(network)
    assert (predictor.engine, predictor.precision, predictor.network) == ("torch", "float32", network)
    with pytest.raises(ValueError, match="the network: expected a network that can be exported, got another"):
        Predictor(OnePerson(np.full((17, 2), 0.5)), engine=FILES[0])


@pytest.mark.parametrize("name", FILES)
def test_a_network_in_memory_runs_in_any_engine(name):
    if not ENGINES[name].is_installed:
        pytest.skip(f"no {name}")
    network = random_model()
    images = np.random.default_rng(3).integers(0, 256, (2, 33, 49, 3), np.uint8)
    wanted = load_network(network).engine.run(images, ["mid_offsets"])["mid_offsets"].numpy()
    other = load_network(network, engine=name)
    assert other.engine.precision == "float32"
    np.testing.assert_allclose(other.engine.run(images, ["mid_offsets"])["mid_offsets"], wanted, atol=1e-3)


@pytest.fixture(scope="module")
def own(tmp_path_factory):
    """A network, and its exported files: for images of any size, and of one."""
    network = random_model(stride=8)
    paths = [tmp_path_factory.mktemp("own") / "own.onnx" for _ in range(2)]
    for path, size in zip(paths, (None, (49, 33)), strict=True):
        export_onnx(network, path, size=size)
    return network, paths


@pytest.mark.filterwarnings("ignore:`isinstance.treespec, LeafSpec.` is deprecated:FutureWarning")  # of the exporter
@pytest.mark.parametrize("name", FILES)
def test_exported_files_of_one_size_and_of_any(name, own, tmp_path):
    if not ENGINES[name].is_installed:
        pytest.skip(f"no {name}")
    network, paths = own
    for exported in paths:
        loaded = load_network(exported, engine=name, precision="float32")
        assert loaded.config == network.config
        images = np.random.default_rng(4).integers(0, 256, (1, 33, 49, 3), np.uint8)
        wanted = load_network(network).engine.run(images, ["heatmaps"])["heatmaps"].numpy()
        np.testing.assert_allclose(loaded.engine.run(images, ["heatmaps"])["heatmaps"], wanted, atol=1e-3)
    with pytest.raises(ValueError, match=r"images: expected .* = \(1, 33, 49, 3\) as the network takes"):
        loaded.engine.run(np.zeros((1, 41, 49, 3), np.uint8), ["heatmaps"])
    with pytest.raises(ValueError, match=r"stride: expected 8, as the exported file .*own\.onnx has, got 16"):
        load_network(exported, engine=name, stride=16)
    with pytest.raises(ValueError, match="engine: expected openvino or onnxruntime for the exported file"):
        load_network(exported, engine="torch")
    content = exported.read_bytes()
    damaged = content.replace(b"personlab.config\x12", b"personlab.confiX\x12")
    for n, wrong in enumerate((content[: len(content) // 2], b"", b"no network", damaged)):
        path = tmp_path / f"wrong{n}.onnx"
        path.write_bytes(wrong)
        with pytest.raises((ValueError, ImportError), match=rf"wrong{n}\.onnx") as error:
            load_network(path, engine=name)
        assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("wish", "error", "text"),
    [
        ({"engine": "abacus"}, ValueError, "engine: expected one of auto, openvino, onnxruntime, torch, got 'abacus'"),
        ({"precision": "int3"}, ValueError, "precision: expected one of auto, float32, bfloat16, float16, got 'int3'"),
        ({"engine": "onnxruntime", "device": "cuda"}, ValueError, "device: expected cpu, as onnxruntime can use"),
        ({"engine": "openvino", "device": "cuda:1"}, ValueError, "device: expected cpu, as .*, got cuda:1"),
        ({"engine": "onnxruntime", "engine_options": {"speed": 3}}, ValueError, "expected the names .*, got speed"),
        ({"engine": "onnxruntime", "engine_options": {"providers": ["X"]}}, ValueError, "expected some of .*'X'"),
        ({"engine": "onnxruntime", "engine_options": {"threads": 0}}, ValueError, "engine_options.threads"),
        ({"engine": "openvino", "engine_options": {"SPEED": 3}}, ValueError, "engine_options .*SPEED"),
        ({"engine": "torch", "engine_options": {"compile": 3}}, TypeError, r"engine_options\.compile"),
        ({"engine": "torch", "engine_options": {"x": 3}}, ValueError, "engine_options: expected the name compile"),
        ({"engine": "openvino", "autocast": True}, ValueError, "autocast: expected the engine torch"),
        ({"precision": "float32", "autocast": True}, ValueError, "autocast: expected the engine torch"),
        ({"engine_options": 3}, TypeError, "engine_options"),
    ],
    ids=str,
)  # fmt: skip
def test_what_cannot_be_is_refused_in_a_line(weights, wish, error, text):
    if not all(ENGINES[name].is_installed for name in ENGINES):
        pytest.skip("needs all engines")
    with pytest.raises(error, match=text) as raised:
        Predictor(weights, **wish)
    assert "\n" not in str(raised.value)


def test_options_reach_the_engines(weights):
    pytest.importorskip("onnxruntime")
    options = {"providers": ["CPUExecutionProvider"], "threads": 1}
    running = load_network(weights, engine="onnxruntime", engine_options=options).engine
    assert running._session.get_session_options().intra_op_num_threads == 1
    assert running.streams == 1


def test_autocast_is_torch_in_16_bits(weights):
    predictor = Predictor(weights, autocast=True, device="cpu")
    assert (predictor.engine, predictor.precision) == ("torch", "bfloat16")


def test_a_loaded_network_is_shared(weights, photographs):
    first = Predictor(weights, device="cpu", long_edge=321)
    second = Predictor(first.loaded, flip=True, long_edge=321)
    assert second.loaded is first.loaded
    assert len(second(photographs[0]).poses) == 2
    assert dataclasses.is_dataclass(first.loaded)
    assert first.network.config == first.loaded.config  # the module, loaded when it is asked for


def test_nothing_of_torch_is_imported_for_an_exported_file(weights):
    import subprocess

    Predictor(weights, device="cpu", engine=FILES[0])  # exported now
    program = (
        f"import sys; sys.modules['torch'] = None; from personlab import Predictor\n"
        f"p = Predictor({str(weights)!r}, engine={FILES[0]!r}, device='cpu'); print(p.engine, p.stride)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120, check=False)
    assert done.stdout.split() == [FILES[0], "16"], done.stderr
    assert threading.main_thread().is_alive()
