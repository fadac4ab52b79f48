"""Published weights of Simple Baselines: read from files of torch.save, of which no code runs, and converted."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from personlab import COCO_PERSON, MPII_PERSON, load_model  # noqa: E402
from personlab.cli import main  # noqa: E402
from personlab.methods.simple_baseline.config import SimpleBaselineConfig  # noqa: E402
from personlab.methods.simple_baseline.network import SimpleBaseline  # noqa: E402
from personlab.weights import load_checkpoint  # noqa: E402

pytestmark = pytest.mark.torch
SMALL = SimpleBaselineConfig(backbone="resnet18", channels=8, order="bgr")


@pytest.fixture(scope="module")
def state():
    """State dict of a small network, under the published names."""
    torch.manual_seed(4)
    return SimpleBaseline(SMALL).state_dict()


def training(state):
    """What a checkpoint of the published training holds."""
    return {"epoch": 140, "model": "pose_resnet", "state_dict": state, "perf": 0.7, "optimizer": {"state": {}}}


@pytest.mark.parametrize(
    ("name", "wrap", "prefix", "size"),
    [
        ("pose_resnet_18_384x288.pth.tar", lambda state: state, "", (384, 288)),
        ("checkpoint.pth", training, "module.", (256, 192)),
    ],
)
def test_published_weights_are_read(tmp_path, state, name, wrap, prefix, size):
    torch.save(wrap({f"{prefix}{key}": value for key, value in state.items()}), tmp_path / name)
    network = load_model(tmp_path / name)
    assert isinstance(network, SimpleBaseline)
    assert not network.training
    assert network.config == SimpleBaselineConfig(backbone="resnet18", channels=8, order="bgr", input_size=size)
    for key, value in network.state_dict().items():
        assert torch.equal(value, state[key]), key


def test_sixteen_keypoints_are_those_of_mpii(tmp_path):
    config = SimpleBaselineConfig(backbone="resnet18", channels=8, skeleton=MPII_PERSON)
    old = {n: v for n, v in SimpleBaseline(config).state_dict().items() if "num_batches" not in n}  # before torch 0.4.1
    torch.save(old, tmp_path / "weights.pth")
    assert load_model(tmp_path / "weights.pth").config.skeleton == MPII_PERSON
    assert load_model(tmp_path / "weights.pth").config.input_size == (256, 256)


@pytest.mark.parametrize("backbone", ["resnet34", "resnet50", "resnet101", "resnet152"])
def test_the_backbone_is_told_by_its_blocks(backbone):
    from personlab.methods.simple_baseline.convert import backbone_of

    with torch.device("meta"):
        state = SimpleBaseline(SimpleBaselineConfig(backbone=backbone)).state_dict()
    assert backbone_of(state) == backbone


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: s.pop("layer4.1.bn2.bias"), r"weights missing: layer4\.1\.bn2\.bias"),
        (lambda s: s.update(more=s["conv1.weight"]), "weights not of this network: more"),
        (lambda s: s.update({"bn1.bias": s["bn1.bias"][:3]}), r"bn1\.bias: expected shape \(64,\), got \(3,\)"),
        (lambda s: s.update({"bn1.bias": s["bn1.bias"] * float("nan")}), r"bn1\.bias: expected finite weights"),
        (lambda s: s.update({"final_layer.weight": s["final_layer.weight"][:5]}), "expected 17 keypoints .* got 5"),
        (lambda s: s.update({"final_layer.weight": s["bn1.bias"]}), r"final_layer\.weight: expected 4 axes, got 1"),
        (lambda s: s.update({"layer3.7.conv1.weight": s["conv1.weight"]}), "expected those of a ResNet.* got 8 blocks"),
    ],
)
def test_damaged_weights_are_one_line(tmp_path, state, change, message):
    changed = dict(state)
    change(changed)
    torch.save(changed, tmp_path / "pose.pth")
    with pytest.raises(ValueError, match=rf"pose\.pth: {message}|pose\.pth: .*{message}") as error:
        load_model(tmp_path / "pose.pth")
    assert "\n" not in str(error.value)


def test_convert_writes_a_checkpoint(tmp_path, state, capsys):
    torch.save(state, tmp_path / "pose_resnet_18_128x96.pth.tar")
    assert main(["convert", str(tmp_path / "pose_resnet_18_128x96.pth.tar"), str(tmp_path / "own.safetensors")]) == 0
    printed = capsys.readouterr().out
    assert "simple_baseline" in printed
    assert "resnet18" in printed
    model = load_checkpoint(tmp_path / "own.safetensors").model
    assert model.config.input_size == (128, 96)
    assert model.config.skeleton == COCO_PERSON
    assert torch.equal(model.conv1.weight, state["conv1.weight"])


def test_what_weights_do_not_tell_can_be_said(tmp_path, capsys):
    with torch.device("meta"):
        names = SimpleBaseline(SimpleBaselineConfig(channels=8)).state_dict()
    torch.manual_seed(0)
    state = {n: torch.zeros(v.shape, dtype=v.dtype) for n, v in names.items()}
    torch.save(state, tmp_path / "pose.pth")
    flags = ["--style", "caffe", "--skeleton", "posetrack", "--input-size", "384", "288"]
    assert main(["convert", str(tmp_path / "pose.pth"), str(tmp_path / "own.safetensors"), *flags]) == 0
    config = load_checkpoint(tmp_path / "own.safetensors").model.config
    assert (config.style, config.input_size) == ("caffe", (384, 288))
    assert config.skeleton.names[1] == "head_bottom"
    assert main(["convert", "drawn-mobilenet-050", str(tmp_path / "own.safetensors"), "--style", "caffe"]) == 2
    assert "--style: has no effect on a network of personlab" in capsys.readouterr().err
