"""Prediction where torch, OpenCV, onnx and all else that `personlab[onnx]` leaves out cannot be imported."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest
from file_server import FileServer

from personlab import Predictor
from personlab.data.synthetic import make_scene
from personlab.io.images import write_image
from personlab.weights import load_model, save_model

# Runs the command line where nothing can be imported but the standard library and what the extra `onnx` installs.
LEAN = """
import sys
ALLOWED = {
    "numpy", "personlab", "jsonargparse", "yaml", "_yaml", "onnxruntime", "flatbuffers", "packaging", "google",
    "PIL", "safetensors",
}

class Finder:
    def __init__(self, finder):
        self.finder = finder

    def find_spec(self, name, path=None, target=None):
        top = name.partition(".")[0]
        known = top in ALLOWED or top in sys.stdlib_module_names
        return self.finder.find_spec(name, path, target) if known else None

sys.meta_path[:] = [Finder(finder) for finder in sys.meta_path]
from personlab.cli import main
sys.exit(main())
"""


@pytest.fixture
def lean(tmp_path, monkeypatch):
    """Run a command line in a lean installation."""
    pytest.importorskip("onnxruntime")
    pytest.importorskip("PIL")
    monkeypatch.setenv("PERSONLAB_CACHE", str(tmp_path / "cache"))

    def call(*argv):
        done = subprocess.run(
            [sys.executable, "-c", LEAN, *map(str, argv)],
            cwd=tmp_path, capture_output=True, text=True, timeout=300, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return done

    return call


@pytest.fixture
def drawn(tmp_path):
    """A drawn image of three people, as a file; its size is that of the network input, so that nothing is resized."""
    scene = make_scene(4, size=(481, 641), people=3)
    write_image(tmp_path / "drawn.png", scene.image)
    return scene.image


def results(path):
    return sorted(json.loads(path.read_text()), key=lambda result: -result["score"])


def compare(lean_results, image, weights, **options):
    """Compare with PyTorch's engine: keypoints to 0.01 px, scores to 0.001."""
    expected = Predictor(weights, engine="torch", precision="float32", **options)(image)
    assert len(lean_results) == len(expected.poses)
    for result, points, score in zip(lean_results, expected.poses.keypoints, expected.poses.scores, strict=True):
        np.testing.assert_allclose(np.reshape(result["keypoints"], (-1, 3))[:, :2], points, atol=1e-2)
        assert abs(result["score"] - score) < 1e-3


def test_the_network_of_the_package_by_its_name(lean, drawn, tmp_path):
    lean("predict", "drawn.png", "--weights", "drawn-mobilenet-050", "--masks", "--output", "out", "--json", "r.json")
    compare(results(tmp_path / "r.json"), drawn, "drawn-mobilenet-050")
    assert (tmp_path / "out" / "drawn.png").stat().st_size > 10_000
    assert not (tmp_path / "cache").exists()  # the network is in the package


@pytest.mark.parametrize("flags", [["--scales", "0.75", "1", "--flip"], ["--stride", "16", "--batch-size", "2"]])
def test_several_scales_mirror_images_and_another_stride(lean, drawn, tmp_path, flags):
    lean("predict", "drawn.png", "--weights", "drawn-mobilenet-050", "--json", "r.json", *flags)
    options = {"scales": (0.75, 1.0), "flip": True} if "--flip" in flags else {"stride": 16}
    compare(results(tmp_path / "r.json"), drawn, "drawn-mobilenet-050", **options)


def test_an_exported_file_and_a_checkpoint_of_ones_own(lean, drawn, tmp_path):
    save_model(load_model("drawn-mobilenet-050"), tmp_path / "own.safetensors")
    lean("export", "own.safetensors", "own.onnx")
    for name in ("own.safetensors", "own.onnx"):
        lean("predict", "drawn.png", "--weights", name, "--json", f"{name}.json")
        compare(results(tmp_path / f"{name}.json"), drawn, tmp_path / "own.safetensors")


@pytest.mark.parametrize("stride", [8, 16])
def test_the_published_bodypix_file(lean, data, tmp_path, stride):
    weights, photograph = (
        data / "weights" / f"bodypix-mobilenet-050-stride{stride}.onnx",
        data / "images" / "couple.jpg",
    )
    lean("predict", photograph, "--weights", weights, "--masks", "--json", "r.json")
    found = results(tmp_path / "r.json")
    assert sum(result["score"] > 0.3 for result in found) == 2
    expected = Predictor(weights, engine="torch", precision="float32")(photograph).poses
    for result, points in zip(found[:2], expected.keypoints, strict=False):  # read and resized by another library
        assert np.abs(np.reshape(result["keypoints"], (-1, 3))[:, :2] - points).max() < 5


def test_a_published_network_is_downloaded_and_run_by_its_name(lean, data, tmp_path, monkeypatch):
    folder, address = data / "weights" / "posenet-mobilenet-075", "posenet/mobilenet/quant2/075"
    with FileServer({f"{address}/{file.name}": file.read_bytes() for file in folder.iterdir()}) as server:
        monkeypatch.setenv("PERSONLAB_WEIGHTS_URL", server.url)
        lean("predict", data / "images" / "couple.jpg", "--weights", "posenet-mobilenet-075", "--json", "r.json")
    assert sum(result["score"] > 0.3 for result in results(tmp_path / "r.json")) == 2
    assert [path.name for path in (tmp_path / "cache").iterdir()] == ["posenet-mobilenet-075.safetensors"]
    names = load_model(tmp_path / "cache" / "posenet-mobilenet-075.safetensors").state_dict()
    assert names.keys() == load_model(folder).state_dict().keys()


def test_the_demo_finds_everyone(lean, tmp_path):
    assert lean("demo").stdout.startswith("5 of 5 people found by ")
    assert (tmp_path / "personlab-demo.png").stat().st_size > 10_000


def test_commands_convert_and_export_what_others_published(lean, data, tmp_path):
    lean("convert", data / "weights" / "bodypix-mobilenet-050-stride8.onnx", "b.safetensors", "--stride", "16")
    lean("convert", data / "weights" / "posenet-mobilenet-075", "p.safetensors")
    lean("export", "b.safetensors", "b.onnx", "--size", "97", "129")
    assert {path.name for path in tmp_path.glob("*.*")} >= {"b.onnx", "b.safetensors", "p.safetensors"}
