"""Published weights of Simple Pose: read from files of torch.save, of which no code runs, and converted."""

from __future__ import annotations

import zipfile

import pytest

torch = pytest.importorskip("torch")

from personlab import load_model  # noqa: E402
from personlab.cli import main  # noqa: E402
from personlab.methods.simple_pose.config import SimplePoseConfig  # noqa: E402
from personlab.methods.simple_pose.network import SimplePose  # noqa: E402
from personlab.weights import load_checkpoint  # noqa: E402

pytestmark = pytest.mark.torch
TINY = SimplePoseConfig(backbone="hourglass", stacks=2, channels=32, increase=8)


@pytest.fixture(scope="module")
def state():
    """State dict of a small hourglass, under the published names."""
    torch.manual_seed(4)
    return SimplePose(TINY).state_dict()


def published(state):
    """What a file of the published training holds."""
    return {"weights": state, "optimizer_weight": {"state": {}, "param_groups": []}, "train_loss": 1.5, "epoch": 51}


@pytest.mark.parametrize("modern", [True, False])
@pytest.mark.parametrize("wrap", [published, lambda state: state])
@pytest.mark.parametrize("prefix", ["", "module."])
def test_published_weights_are_read(tmp_path, state, modern, wrap, prefix):
    path = tmp_path / "posenet.pth"
    named = {f"{prefix}{name}": value for name, value in state.items()}
    torch.save(wrap(named), path, _use_new_zipfile_serialization=modern)
    network = load_model(path)
    assert isinstance(network, SimplePose)
    assert not network.training
    assert network.config == TINY
    for name, value in network.state_dict().items():
        assert torch.equal(value, state[name]), name


def test_weights_without_the_prefix_or_counts(tmp_path, state):
    path = tmp_path / "bare.pt"
    torch.save({n.removeprefix("posenet."): v for n, v in state.items() if "num_batches" not in n}, path)
    assert torch.equal(load_model(path).posenet.outs[0][0].conv.bias, state["posenet.outs.0.0.conv.bias"])


class Evil:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (self.path, "w")


@pytest.mark.parametrize("modern", [True, False])
def test_no_code_in_a_file_runs(tmp_path, state, modern):
    path, victim = tmp_path / "posenet.pth", tmp_path / "victim"
    torch.save({"weights": state, "evil": Evil(str(victim))}, path, _use_new_zipfile_serialization=modern)
    with pytest.raises(ValueError, match=r"posenet\.pth: expected a safetensors file, got a pickle"):
        load_model(path)
    assert not victim.exists()


def damaged(state, change):
    changed = dict(state)
    change(changed)
    return {"weights": changed}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: s.pop("posenet.outs.1.2.conv.bias"), r"weights missing: posenet\.outs\.1\.2\.conv\.bias"),
        (lambda s: s.update({"posenet.more": torch.zeros(1)}), r"weights not of this network: posenet\.more"),
        (lambda s: s.update({"posenet.outs.0.0.conv.bias": torch.zeros(51)}), r"expected shape \(50,\), got \(51,\)"),
        (lambda s: s.update({"posenet.outs.0.0.conv.bias": torch.full((50,), torch.nan)}), "expected finite weights"),
        (lambda s: s.pop("posenet.pre.res1.convBlock.6.weight"), "weights missing: posenet.pre.res1"),
        (lambda s: s.update({"posenet.hourglass.9999999999.x": torch.zeros(1)}), "expected at most 16 stacks"),
    ],
)
def test_weights_of_another_network(tmp_path, state, change, message):
    path = tmp_path / "posenet.pth"
    torch.save(damaged(state, change), path)
    with pytest.raises(ValueError, match=r"posenet\.pth: .*" + message):
        load_model(path)


@pytest.mark.parametrize(
    "content", [{"weights": 3}, {"weights": {"a": torch.zeros(1)}}, [1], {"posenet.pre.conv1.weight": 3}, 5]
)
def test_other_files_are_refused_as_pickles(tmp_path, content):
    path = tmp_path / "other.pth"
    torch.save(content, path)
    with pytest.raises(ValueError, match="got a pickle"):
        load_model(path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(ValueError, match="got a pickle"):
        load_model(path)


def test_a_compressed_archive_is_not_read(tmp_path, state):
    path = tmp_path / "posenet.pth"
    torch.save({"weights": state}, path)
    with zipfile.ZipFile(path) as source, zipfile.ZipFile(tmp_path / "small.pth", "w", zipfile.ZIP_DEFLATED) as target:
        for entry in source.namelist():
            target.writestr(entry, source.read(entry))
    with pytest.raises(ValueError, match="got a pickle"):
        load_model(tmp_path / "small.pth")


def test_the_command(tmp_path, state, capfd):
    path, made = tmp_path / "posenet.pth", tmp_path / "posenet.safetensors"
    torch.save({"weights": state, "epoch": 3}, path)
    assert main(["convert", str(path), str(made)]) == 0
    out, err = capfd.readouterr()
    rows = dict(line.split(maxsplit=1) for line in out.splitlines())
    assert (rows["method"], rows["backbone"], rows["stride"]) == ("simple_pose", "hourglass", "4")
    assert (rows["heads"], rows["input"]) == ("limbs, keypoints", "0..1")
    assert err == f"personlab: wrote {made}\n"
    checkpoint = load_checkpoint(made)
    assert checkpoint.model.config == TINY
    assert checkpoint.metadata == {"source": "posenet.pth"}
    assert all(torch.equal(value, state[name]) for name, value in checkpoint.model.state_dict().items())
    assert main(["info", str(made)]) == 0
    facts = capfd.readouterr().out
    assert "hourglass, 2 stacks, 32 + 8 channels" in facts
    assert "18 keypoints, 30 limbs, person mask, max of keypoints" in facts
    assert main(["convert", str(path), str(made), "--method", "personlab"]) == 1
    assert "got a pickle" in capfd.readouterr().err
    assert main(["convert", str(made), str(tmp_path / "other.safetensors"), "--method", "personlab"]) == 1
    assert "method: expected personlab, got 'simple_pose'" in capfd.readouterr().err
