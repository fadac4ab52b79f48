"""The configuration of a network: defaults, what it refuses, and its way through JSON."""

import json
from dataclasses import replace

import pytest

from personlab import COCO_PERSON, Skeleton
from personlab.nn import ModelConfig

ANT = Skeleton(names=("head", "left", "right"), edges=((0, 1), (0, 2)), sigmas=(0.1, 0.2, 0.2), flip=(0, 2, 1))


def test_normalization_follows_the_backbone():
    assert ModelConfig().normalization == "minus_one_to_one"
    assert ModelConfig(backbone="resnet50").normalization == "imagenet"
    assert ModelConfig(backbone="resnet50", normalization="minus_one_to_one").normalization == "minus_one_to_one"


@pytest.mark.parametrize(
    "config",
    [
        ModelConfig(),
        ModelConfig(backbone="resnet101", stride=8, masks=False, refine_steps=2, intermediate=True),
        ModelConfig(width=0.75, norm="none", normalization="imagenet", skeleton=ANT),
    ],
    ids=["default", "resnet101", "own skeleton"],
)
def test_json_gives_back_the_same(config):
    assert ModelConfig.from_json(config.to_json()) == config
    assert "\n" not in config.to_json()


def test_what_json_does_not_name_has_its_default():
    assert ModelConfig.from_json('{"width": 0.5}') == ModelConfig(width=0.5)
    assert ModelConfig.from_json("{}").skeleton == COCO_PERSON


@pytest.mark.parametrize(
    ("error", "values"),
    [
        ("backbone: expected one of mobilenet_v1, .*got 'vgg'", {"backbone": "vgg"}),
        ("width: expected one of 0.5, 0.75, 1.0, got 0.6", {"width": 0.6}),
        ("width: expected a finite number|width: expected", {"width": float("nan")}),
        ("width: expected 1.0 for resnet50, got 0.5", {"backbone": "resnet50", "width": 0.5}),
        ("stride: expected one of 8, 16, got 32", {"stride": 32}),
        ("norm: expected one of batch, none, got 'group'", {"norm": "group"}),
        ("normalization: expected one of", {"normalization": "tf"}),
        ("refine_steps: expected an integer from 0", {"refine_steps": -1}),
    ],
)
def test_wrong_values_are_named(error, values):
    with pytest.raises(ValueError, match=error):
        ModelConfig(**values)


@pytest.mark.parametrize(
    "values",
    [
        {"width": "1"},
        {"stride": 16.0},
        {"refine_steps": 1.5},
        {"masks": 1},
        {"intermediate": None},
        {"skeleton": "coco"},
    ],
)
def test_wrong_types_are_named(values):
    with pytest.raises(TypeError, match=f"{next(iter(values))}: expected"):
        ModelConfig(**values)


@pytest.mark.parametrize(
    ("error", "text"),
    [
        ("config: expected a JSON object, got list", "[]"),
        ("config: expected the names .*got colour", '{"colour": 1}'),
        ("skeleton: expected a JSON object, got str", '{"skeleton": "coco"}'),
        ("skeleton: sigmas, flip missing", '{"skeleton": {"names": ["a"], "edges": []}}'),
        ("Expecting value", "width = 1"),
    ],
)
def test_json_that_is_no_configuration(error, text):
    with pytest.raises(ValueError, match=error):
        ModelConfig.from_json(text)


def test_json_is_checked_as_arguments_are():
    text = json.dumps(json.loads(ModelConfig().to_json()) | {"stride": 4})
    with pytest.raises(ValueError, match="stride"):
        ModelConfig.from_json(text)


def test_replace_checks_again():
    with pytest.raises(ValueError, match="stride"):
        replace(ModelConfig(), stride=12)
