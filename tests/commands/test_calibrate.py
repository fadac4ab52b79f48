"""`personlab evaluate --calibrate` and `--reliability`, from drawn scenes to predictions with calibrated scores."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest

from personlab import DecodeOptions, Predictor, visualize
from personlab.calibration import Calibration, scheme_of
from personlab.cli import main
from personlab.weights import load_checkpoint, load_model, load_settings, save_model

SIZE = (257, 321)
NETWORK = ("--weights", "drawn-mobilenet-050", "--stride", "16", "--long-edge", "321")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Twenty drawn scenes, images/ and person_keypoints.json."""
    place = tmp_path_factory.mktemp("scenes")
    size = [str(side) for side in SIZE]
    assert main(["scenes", "--output", str(place), "--count", "20", "--seed", "3", "--size", *size]) == 0
    return place


@pytest.fixture
def run(capfd, folder, monkeypatch, tmp_path):
    def call(*argv):
        monkeypatch.chdir(tmp_path)
        where = ("--annotations", f"{folder}/person_keypoints.json", "--images", f"{folder}/images")
        code = main(["evaluate", *where, *map(str, argv)])
        return (code, *capfd.readouterr())

    return call


def predict(weights, image, **more):
    return Predictor(weights, options=DecodeOptions(min_score=0.05), **more)(image)


def test_a_network_is_calibrated_and_says_so(run, folder, tmp_path):
    code, out, err = run(*NETWORK, "--calibrate", "c.safetensors", "--reliability", "r.png")
    assert code == 0, err
    raw = [line.split() for line in out.splitlines() if " .. " in line]
    assert sum(int(row[-3]) for row in raw if row[:2] == ["as", "decoded"]) >= 60
    image = visualize.read_image(tmp_path / "r.png")
    assert image.shape[0] > image.shape[1]

    checkpoint = load_checkpoint(tmp_path / "c.safetensors")
    settings = checkpoint.settings
    assert settings.calibration.suits(DecodeOptions())
    assert (settings.long_edge, settings.stride) == (321, 16)
    shipped = load_model("drawn-mobilenet-050")
    assert all((a == b).all() for a, b in zip(checkpoint.model.parameters(), shipped.parameters(), strict=True))

    path = next((folder / "images").iterdir())
    mapped = predict(tmp_path / "c.safetensors", path)
    plain = predict(tmp_path / "c.safetensors", path, calibrated=False)
    assert len(plain.poses) > 0
    assert np.array_equal(mapped.poses.keypoints, plain.poses.keypoints)
    assert np.array_equal(mapped.poses.scores, settings.calibration(plain.poses.scores))
    assert not np.allclose(mapped.poses.scores, plain.poses.scores)
    assert np.array_equal(mapped.mask_scores, plain.mask_scores)
    paper = Predictor(tmp_path / "c.safetensors", options=DecodeOptions.paper(min_score=0.05))
    assert paper.calibration is None

    code, again, err = run("--weights", "c.safetensors", "--reliability", "s.png")
    assert code == 0, err
    assert "calibrated scores" in err
    figures = [line for line in out.splitlines() if "AP" in line or "AR" in line]
    assert figures == [line for line in again.splitlines() if "AP" in line or "AR" in line]
    rows = [line.split() for line in again.splitlines() if " .. " in line]
    held = [(int(n), float(score), float(oks)) for *_, n, score, oks in rows if n != "0"]
    off = sum(n * abs(score - oks) for n, score, oks in held) / sum(n for n, _, _ in held)
    assert off < 0.05


def test_a_checkpoint_is_calibrated_in_place(run, tmp_path):
    knots = Calibration(scores=(0.5,), expected_oks=(0.01,), scheme=scheme_of(DecodeOptions()))
    model = load_model("drawn-mobilenet-050")
    model.settings = dataclasses.replace(model.settings, calibration=knots)
    save_model(model, tmp_path / "own.safetensors", {"source": "own"})
    code, out, err = run("--weights", "own.safetensors", *NETWORK[2:], "--calibrate", "own.safetensors")
    assert code == 0, err
    assert " .. " not in out
    checkpoint = load_checkpoint(tmp_path / "own.safetensors")
    assert checkpoint.metadata == {"source": "own"}
    assert checkpoint.settings.calibration(0.5) > 0.3  # fitted to scores as decoded, not as mapped before


def test_checkpoints_without_are_as_they_were(tmp_path):
    assert load_settings("drawn-mobilenet-050").calibration is None
    assert Predictor("drawn-mobilenet-050").calibration is None


@pytest.mark.parametrize(
    ("argv", "code", "text"),
    [
        (("--calibrate", "c.pt"), 1, "c.pt: expected a file name that ends in .safetensors"),
        (("--calibrate", "none/c.safetensors"), 1, "none/c.safetensors: no such folder"),
        (("--reliability", "none/r.png"), 1, "none/r.png: no such folder"),
        (("--reliability", "r.xyz"), 1, "r.xyz: expected a name that ends in .png"),
    ],
)
def test_what_cannot_be_written_is_known_first(run, argv, code, text):
    found, _, err = run(*NETWORK, *argv)
    assert found == code
    assert text in err


def test_no_network_no_calibration(run):
    code, _, err = run("--ceiling", "--calibrate", "c.safetensors")
    assert code == 2
    assert "--calibrate: has no effect with --ceiling" in err


def test_too_few_poses(run, tmp_path):
    code, _, err = run(*NETWORK, "--decode.max_poses", 1, "--calibrate", "c.safetensors")
    assert code == 1
    assert "expected at least 60 poses to calibrate with, got" in err
    assert not (tmp_path / "c.safetensors").exists()


def test_a_damaged_calibration_names_the_file_and_the_field(tmp_path):
    model = load_model("drawn-mobilenet-050")
    model.settings = dataclasses.replace(
        model.settings, calibration=Calibration(scores=(0.5,), expected_oks=(0.6,), scheme="")
    )
    path = tmp_path / "c.safetensors"
    save_model(model, path)
    content = path.read_bytes()
    old, new = json.dumps(json.dumps([0.6]))[1:-1].encode(), json.dumps(json.dumps([9.6]))[1:-1].encode()
    assert content.count(old) == 1
    path.write_bytes(content.replace(old, new))
    with pytest.raises(ValueError, match=r"c\.safetensors: settings\.calibration\.expected_oks: expected rising"):
        load_checkpoint(path)
