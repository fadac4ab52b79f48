"""A run that starts from the mean of several networks."""

from __future__ import annotations

import pytest
import torch

from personlab import COCO_PERSON, load_model
from personlab.methods import get_method
from personlab.nn import ModelConfig, PersonLab
from personlab.train import NetworkOptions
from personlab.train.network import make_network
from personlab.weights import save_model


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Three networks of one kind, and one without masks."""
    folder, paths = tmp_path_factory.mktemp("runs"), []
    for seed, masks in enumerate((True, True, True, False)):
        torch.manual_seed(seed)
        paths.append(str(folder / f"{seed}.safetensors"))
        save_model(PersonLab(ModelConfig(width=0.5, masks=masks)), paths[-1])
    return paths


def start(options):
    return make_network(get_method("personlab"), options, COCO_PERSON, has_masks=True)


@pytest.mark.parametrize("count", [2, 3])
def test_every_weight_is_the_mean(runs, count):
    model = start(NetworkOptions(weights=runs[0], mean_with=tuple(runs[1:count])))
    states = [load_model(path).state_dict() for path in runs[:count]]
    for name, value in model.state_dict().items():
        if value.is_floating_point():
            expected = sum(state[name].double() for state in states) / count
            torch.testing.assert_close(value, expected.float(), rtol=0, atol=1e-7)


def test_a_mean_with_itself_is_the_network(runs):
    model = start(NetworkOptions(weights=runs[0], mean_with=runs[0]))  # a word, as configurations may give it
    for name, value in load_model(runs[0]).state_dict().items():
        assert torch.equal(model.state_dict()[name], value), name


def test_other_networks_are_refused(runs):
    with pytest.raises(
        ValueError, match=r"mean_with: expected a network with the settings of .*0.safetensors, got .*3"
    ):
        start(NetworkOptions(weights=runs[0], mean_with=(runs[1], runs[3])))
    with pytest.raises(ValueError, match=r"network.mean_with: expected network.weights beside it, got none"):
        start(NetworkOptions(mean_with=(runs[0],)))
    with pytest.raises(FileNotFoundError, match="absent"):
        start(NetworkOptions(weights=runs[0], mean_with=("absent.safetensors",)))
