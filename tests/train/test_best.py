"""Runs that keep the best network: the start among them, an early stop, and going on after a kill."""

from __future__ import annotations

import json

import pytest
import torch
from tiny_runs import same, tensors, tiny

from personlab.train import EvaluationOptions, OptimizerOptions, TrainConfig, train
from personlab.train.best import best_of, is_over, score_of
from personlab.train.evaluation import Evaluation
from personlab.weights import load_checkpoint

RATES = OptimizerOptions(rate=1e-3, warmup=0, schedule="constant")


@pytest.fixture
def scored(monkeypatch):
    """Evaluation by a list of keypoint AP, one for each call."""
    calls = []

    def give(*scores):
        calls.clear()
        left = list(scores)

        def score(_, model):
            calls.append(1)
            return {"keypoint_ap": left.pop(0), "mask_ap": 0.5, "evaluation_seconds": 0.1}

        monkeypatch.setattr(Evaluation, "score", score)
        return calls

    return give


def run(folder, **more):
    options = EvaluationOptions(scenes=1, long_edge=129, every=2, keep="best", **more)
    return tiny(folder, steps=8, optimizer=RATES, evaluation=options)


def evaluated(folder):
    entries = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    return [entry["step"] for entry in entries if "keypoint_ap" in entry]


def test_the_best_network_is_kept(scored, tmp_path):
    scored(0.1, 0.3, 0.2, 0.25, 0.1)
    summary = train(run(tmp_path / "run"))
    assert evaluated(tmp_path / "run") == [0, 2, 4, 6, 8]
    assert summary.weights == tmp_path / "run" / "weights-best.safetensors"
    assert (summary.step, summary.figures["keypoint_ap"]) == (8, 0.3)
    metadata = load_checkpoint(summary.weights).metadata
    assert (metadata["steps"], metadata["scores"]["keypoint_ap"]) == (2, 0.3)
    scored(0.1, 0.3)
    train(tiny(tmp_path / "short", steps=2, optimizer=RATES, evaluation=run("").evaluation))
    assert same(tensors(tmp_path / "run", "weights-best"), tensors(tmp_path / "short", "weights-best"))
    assert not same(tensors(tmp_path / "run", "weights-best"), tensors(tmp_path / "run"))


def test_training_that_does_harm_ends_with_the_start(scored, tmp_path):
    scored(0.3, 0.2, 0.3, 0.1, 0.1)
    summary = train(run(tmp_path / "run"))
    assert load_checkpoint(summary.weights).metadata["steps"] == 0
    scored(0.3, 0.2)
    train(tiny(tmp_path / "other", steps=2, evaluation=run("").evaluation))  # the same seed, other rates
    assert same(tensors(tmp_path / "run", "weights-best"), tensors(tmp_path / "other", "weights-best"))


def test_a_run_stops_when_nothing_gets_better(scored, tmp_path, capfd):
    calls = scored(0.1, 0.3, 0.2, 0.25, 0.9)
    summary = train(run(tmp_path / "run", patience=2))
    assert (summary.step, len(calls), evaluated(tmp_path / "run")) == (6, 4, [0, 2, 4, 6])
    assert "stopped after step 6: 2 evaluations without a better network" in capfd.readouterr().err
    assert load_checkpoint(summary.weights).metadata["steps"] == 2
    again = train(run(tmp_path / "run", patience=2), resume=True)  # over it stays
    assert (again.step, len(calls)) == (6, 4)
    more = train(run(tmp_path / "run", patience=0), resume=True)
    assert (more.step, more.figures["keypoint_ap"]) == (8, 0.9)
    assert load_checkpoint(more.weights).metadata["steps"] == 8


def test_a_run_killed_and_resumed_keeps_the_same(scored, tmp_path):
    scored(0.1, 0.3, 0.2, 0.25, 0.1)
    train(run(tmp_path / "whole"))
    scored(0.1, 0.3)
    train(tiny(tmp_path / "run", steps=2, optimizer=RATES, evaluation=run("").evaluation))
    lines = (tmp_path / "run" / "log.jsonl").read_text().splitlines(keepends=True)
    (tmp_path / "run" / "log.jsonl").write_text("".join(lines[:-1]))  # killed before the score was logged
    scored(0.3, 0.2, 0.25, 0.1)
    summary = train(run(tmp_path / "run"), resume=True)
    assert evaluated(tmp_path / "run") == [0, 2, 4, 6, 8]
    assert load_checkpoint(summary.weights).metadata["steps"] == 2
    for name in ("weights", "weights-best"):
        assert same(tensors(tmp_path / "whole", name), tensors(tmp_path / "run", name))


def test_scores_are_means_of_precisions():
    assert score_of({"keypoint_ap": 0.2, "mask_ap": 0.4, "evaluation_seconds": 9.0}) == pytest.approx(0.3)
    assert score_of({}) == 0
    evaluations = [(step, {"keypoint_ap": ap}) for step, ap in ((0, 0.2), (5, 0.4), (10, 0.4), (15, 0.1))]
    assert best_of(evaluations) == (5, 0.4)
    assert best_of([]) == (-1, -1.0)
    assert [is_over(evaluations, patience) for patience in (0, 1, 2, 3)] == [False, True, True, False]
    assert not is_over([], 1)


def test_patience_asks_for_the_best():
    with pytest.raises(ValueError, match=r"evaluation\.patience: expected evaluation\.keep best, got last"):
        TrainConfig(evaluation=EvaluationOptions(patience=3))
    with pytest.raises(ValueError, match=r"evaluation\.keep: expected one of last, best, got 'first'"):
        TrainConfig(evaluation=EvaluationOptions(keep="first"))


def test_a_plain_run_has_no_best(tmp_path):
    summary = train(tiny(tmp_path / "run", steps=2))
    assert summary.weights.name == "weights.safetensors"
    assert not (tmp_path / "run" / "weights-best.safetensors").exists()
    assert torch.isfinite(torch.tensor(list(summary.figures.values()))).all()
