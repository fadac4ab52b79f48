"""The network for photographs that comes with the package: what it is, and that it runs where none is named."""

from __future__ import annotations

import socket
from pathlib import Path

import numpy as np
import pytest

import personlab.data
from personlab import Predictor
from personlab.cli import main
from personlab.settings import PHOTOGRAPHS
from personlab.weights import default_name, download, load_model, load_settings, load_stored

ASTRONAUT = Path(personlab.data.__file__).parent / "shipped" / "astronaut.jpg"
NOSE, SHOULDERS = (224.0, 127.0), ((323.0, 267.0), (98.0, 267.0))  # of the photograph, pixels


@pytest.fixture(autouse=True)
def _offline(monkeypatch):
    def refuse(*_):
        raise AssertionError("a connection was opened")

    monkeypatch.setattr(socket.socket, "connect", refuse)


def test_it_is_small_and_knows_photographs():
    name = default_name()
    assert default_name("simple_pose") is None
    assert download(name).stat().st_size <= 8_000_000
    settings = load_settings(name)
    assert (settings.domain, settings.long_edge, settings.stride) == (PHOTOGRAPHS, 641, 16)
    stored, model = load_stored(name), load_model(name)
    assert model.config.masks
    for key, tensor in model.state_dict().items():
        assert stored.weights.state[key].dtype == np.float32
        np.testing.assert_array_equal(tensor.numpy(), stored.weights.state[key])


@pytest.mark.parametrize(("stride", "pixels"), [(8, 45), (16, 20)])  # she is larger than what stride 8 is good at
def test_it_finds_the_astronaut(stride, pixels):
    (prediction,) = Predictor(stride=stride)([ASTRONAUT])
    assert len(prediction.poses) == 1
    nose, left, right = prediction.poses.keypoints[0, [0, 5, 6]]
    for point, wanted in zip((nose, left, right), (NOSE, *SHOULDERS), strict=True):
        np.testing.assert_allclose(point, wanted, atol=pixels)
    assert 0.25 < prediction.masks[0].mean() < 0.65
    assert not prediction.masks[0, :100, :60].any()  # the flag


def test_predict_needs_no_name_of_a_network(tmp_path, capsys):
    assert main(["predict", str(ASTRONAUT), "--masks", "--json", str(tmp_path / "people.json")]) == 0
    assert (tmp_path / "people.json").exists()
    assert main(["predict", str(ASTRONAUT), "--method", "simple_pose"]) == 2
    assert "--weights: expected a network's file or one of these names: people-mobilenet-075" in capsys.readouterr().err


def test_the_demo_shows_a_photograph(tmp_path, capsys):
    assert main(["demo", "--photograph", "--output", str(tmp_path / "out.png"), "--fields", str(tmp_path / "f")]) == 0
    out = capsys.readouterr().out
    assert out.startswith("people-mobilenet-075 on a photograph: scores of people 0.")
    assert len(list((tmp_path / "f").iterdir())) > 5
    assert main(["demo", "--photograph", "--people", "3"]) == 2
    assert main(["demo", "--photograph", "--method", "simple_pose"]) == 2
