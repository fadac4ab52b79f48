"""Videos by boxes: who was in the frame before is looked for where optical flow moves them."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

torch = pytest.importorskip("torch")

from personlab import Predictor, TrackOptions  # noqa: E402
from personlab.cli import main  # noqa: E402
from personlab.data.synthetic import make_scene  # noqa: E402
from personlab.methods.simple_baseline.config import SimpleBaselineConfig  # noqa: E402
from personlab.methods.simple_baseline.network import SimpleBaseline  # noqa: E402
from personlab.predict import Boxed  # noqa: E402
from personlab.settings import DRAWN, Settings  # noqa: E402
from personlab.track import Flow, join_boxes, propagate_boxes  # noqa: E402
from personlab.track.written import as_written  # noqa: E402
from personlab.weights import save_model  # noqa: E402

pytestmark = pytest.mark.torch
STEP = 4  # pixels to the right from frame to frame


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """A network that says something else of each keypoint."""
    torch.manual_seed(0)
    network = SimpleBaseline(SimpleBaselineConfig(backbone="mobilenet_v1", width=0.5, channels=8, input_size=(96, 64)))
    torch.nn.init.normal_(network.final_layer.weight, std=1.0)
    torch.nn.init.constant_(network.final_layer.bias, 0.5)
    network.settings = Settings(domain=DRAWN)
    path = tmp_path_factory.mktemp("network") / "weights.safetensors"
    save_model(network.eval(), path)
    return str(path)


@pytest.fixture(scope="module")
def predictor(weights):
    finder = Predictor("drawn-mobilenet-050", long_edge=129, engine="torch", precision="float32")
    return Predictor(weights, finder=finder, engine="torch", precision="float32")


def frames():
    """A texture that moves to the right."""
    wide = np.random.default_rng(0).integers(0, 256, (97, 200, 3), np.uint8)
    wide = cv2.GaussianBlur(wide, (9, 9), 3)
    return [np.ascontiguousarray(wide[:, 60 - STEP * n : 189 - STEP * n]) for n in range(4)]


def test_people_that_nothing_finds_are_followed(predictor):
    images = frames()
    sources = [Boxed(images[0], [(30, 15, 40, 70)]), *(Boxed(image, []) for image in images[1:])]
    assert [len(one.poses) for one in predictor.track(sources)] == [1, 0, 0, 0]
    first, second, *rest = predictor.track(sources, TrackOptions(propagate=True))
    assert [len(one.poses) for one in (first, second, *rest)] == [1, 1, 1, 1]
    flow = Flow()
    flow.advance(images[0])
    moved = propagate_boxes(as_written(first.poses), flow, images[1])
    boxes, scores = join_boxes(np.zeros((0, 4)), np.zeros(0), moved, first.poses.scores)
    expected = predictor(Boxed(images[1], boxes, scores)).poses
    np.testing.assert_array_equal(second.poses.keypoints, expected.keypoints)
    still = propagate_boxes(as_written(first.poses), Flow(), images[0])
    assert np.median((moved - still)[:, ::2]) == pytest.approx(STEP, abs=1)
    assert first.track_ids.tolist() == [1]
    assert all(len(one.track_ids) == 1 for one in (second, *rest))


def test_a_frame_that_cannot_be_read_has_nobody_after_it(predictor):
    images = frames()
    sources = [Boxed(images[0], [(30, 15, 40, 70)]), "absent.jpg", Boxed(images[2], [])]
    stream = predictor.track(sources, TrackOptions(propagate=True))
    assert len(next(stream).poses) == 1
    with pytest.raises(FileNotFoundError, match=r"absent.jpg"):
        next(stream)
    assert len(next(stream).poses) == 0


def test_methods_that_find_people_themselves_are_refused(predictor):
    with pytest.raises(ValueError, match="propagate: expected a network that takes boxes, and one that"):
        predictor.finder.track(frames(), TrackOptions(propagate=True))


def test_a_run_that_goes_on_gives_the_same_bytes(weights, tmp_path, monkeypatch, capsys):
    pytest.importorskip("av")
    from videos import write_video

    monkeypatch.chdir(tmp_path)
    image = make_scene(1, size=(97, 129), people=2).image
    moving = [np.roll(image, 3 * n, axis=1) for n in range(5)]
    write_video("clip.mkv", moving, "ffv1", pix_fmt="bgr0", times=[0.1 * t for t in range(5)])
    arguments = ["predict", "clip.mkv", "--weights", weights, "--boxes", "personlab", "--track"]
    arguments += ["--jsonl", "r.jsonl", "--engine", "torch", "--long-edge", "129"]
    assert main(arguments) == 0, capsys.readouterr().err
    alone = Path("r.jsonl").read_bytes()
    arguments += ["--tracking.propagate", "true"]
    Path("r.jsonl").unlink()
    assert main(arguments) == 0, capsys.readouterr().err
    whole = Path("r.jsonl").read_bytes()
    assert whole != alone
    Path("r.jsonl").write_bytes(b"".join(whole.splitlines(keepends=True)[:3]))
    assert main([*arguments, "--resume"]) == 0, capsys.readouterr().err
    assert Path("r.jsonl").read_bytes() == whole
    found = ["predict", "clip.mkv", "--weights", "drawn-mobilenet-050", "--track", "--tracking.propagate", "true"]
    capsys.readouterr()
    assert main(found) == 1
    assert capsys.readouterr().err.splitlines()[-1].startswith("personlab: error: propagate: expected a network that")
