"""Weights of a network that is only described."""

import subprocess
import sys

import pytest
import torch

from personlab.methods.personlab.network import PersonLab
from personlab.nn import ModelConfig
from personlab.nn.state import describe


@pytest.mark.parametrize("backbone", ["mobilenet_v1", "resnet50"])
def test_a_description_has_the_names_shapes_and_types_of_the_network(backbone):
    build = lambda: PersonLab(ModelConfig(backbone=backbone))  # noqa: E731
    got, expected = describe(build), build().state_dict()
    assert {n: (v.shape, v.dtype) for n, v in got.items()} == {n: (v.shape, v.dtype) for n, v in expected.items()}
    assert all(value.is_meta for value in got.values())


def test_random_numbers_are_drawn_again_after_a_description():
    describe(lambda: torch.nn.Linear(2, 3))
    torch.manual_seed(0)
    first = torch.nn.Linear(2, 3).weight
    torch.manual_seed(0)
    assert torch.equal(first, torch.nn.Linear(2, 3).weight)
    assert first.std() > 0


@pytest.mark.parametrize("method", ["personlab", "simple_pose"])
def test_a_description_imports_neither_a_compiler_nor_algebra(method):
    """PyTorch imports both, in a second, for some operations on tensors without memory."""
    code = f"""
import sys
from personlab.methods import get_method
from personlab.nn.state import describe
method = get_method({method!r})
describe(lambda: method.network(method.config()))
print(*{{"torch._dynamo", "sympy"}} & set(sys.modules))
"""
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == ""
