"""Held-out images of the file that is trained on, and runs as long as passes over the others."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from taught_runs import COUNT, config, make_source

from personlab.train import EvaluationOptions, TrainConfig, train
from personlab.train.evaluation import Evaluation, is_scored
from personlab.train.network import make_network
from personlab.train.start import open_images, with_steps


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    return make_source(tmp_path_factory.mktemp("held_out"))


def settings_of(source, output, held_out, **more):
    settings = replace(config(source, output, **more), teachers=())
    return replace(settings, data=replace(settings.data, held_out=held_out))


def test_held_out_images_are_scored_and_no_others_are_trained_on(source, tmp_path):
    (tmp_path / "ids.txt").write_text("2\n")
    settings = settings_of(source, tmp_path / "run", str(tmp_path / "ids.txt"))
    images = open_images(settings)
    assert images.image_ids == [1, 3, 4]
    assert is_scored(settings)
    summary = train(replace(settings, steps=1))
    assert {"keypoint_ap", "mask_ap"} < summary.figures.keys()


def test_a_share_is_the_same_for_both(source, tmp_path):
    settings = settings_of(source, tmp_path / "run", "0.3")
    images = open_images(settings)
    from personlab.methods import get_method

    model = make_network(get_method("personlab"), settings.network, images.skeleton, has_masks=True)
    scored = Evaluation(settings, model)._annotations.imgs
    assert len(scored) == 2  # at most half
    assert sorted([*scored, *images.image_ids]) == list(range(1, COUNT + 1))


def test_passes_make_steps(source, tmp_path):
    settings = settings_of(source, tmp_path / "run", None)
    settings = replace(settings, steps=0, passes=3.0, batch_size=8)
    for count, steps in ((4, 200), (10_001, 3751), (10**6, 50_000)):
        sized = with_steps(settings, count)
        assert (sized.steps, sized.evaluation.every) == (steps, -(-steps // 10))
    own = replace(settings, evaluation=EvaluationOptions(every=7))
    assert with_steps(own, 10_001).evaluation.every == 7
    assert with_steps(replace(settings, steps=5), 10_001).steps == 5


def test_a_run_of_passes_goes_on(source, tmp_path, monkeypatch):
    """The saved configuration has the number of steps."""
    monkeypatch.setattr("personlab.train.start._MIN_STEPS", 2)
    settings = replace(settings_of(source, tmp_path / "run", None), steps=0, passes=1.0)
    assert train(settings).step == 2
    saved = json.loads((tmp_path / "run" / "config.json").read_text())
    assert (saved["steps"], saved["passes"]) == (2, 1.0)
    assert train(settings, resume=True).step == 2
    assert train(replace(settings, steps=4), resume=True).step == 4


def test_steps_are_needed_without_passes():
    with pytest.raises(ValueError, match="steps: expected an integer from 1"):
        TrainConfig(steps=0)
    with pytest.raises(ValueError, match="steps: expected an integer from 1, for drawn scenes have no passes, got 0"):
        TrainConfig(steps=0, passes=2.0)
    with pytest.raises(ValueError, match="passes: expected"):
        TrainConfig(passes=0.0)


@pytest.mark.parametrize("held_out", ["nowhere", "1.5"])
def test_wrong_lists_are_refused_before_training(source, tmp_path, held_out):
    with pytest.raises((OSError, ValueError), match=f"{held_out}: no such file|held_out: expected a share"):
        train(settings_of(source, tmp_path / "run", held_out))
    assert not (tmp_path / "run").exists()
