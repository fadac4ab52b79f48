"""Checkpoints come back as they were written, and nothing else is taken for one."""

import io
import json
import pickle
import re

import numpy as np
import pytest
import torch
from published import random_model
from safetensors.torch import load_file, save_file

import personlab
from personlab import Skeleton
from personlab.methods.personlab.config import ModelConfig
from personlab.methods.personlab.network import PersonLab
from personlab.weights import convert, load_checkpoint, load_model, load_stored, save_model

SMALL = Skeleton(names=("a", "b", "c"), edges=((0, 1), (1, 2), (2, 0)), sigmas=(0.1, 0.2, 0.3), flip=(1, 0, 2))


@pytest.mark.parametrize(
    "config",
    [
        ModelConfig(width=0.5, norm="none"),
        ModelConfig(width=0.75, stride=8, masks=False, refine_steps=2, skeleton=SMALL),
        ModelConfig(width=0.5, norm="batch", intermediate=True, normalization="imagenet"),
    ],
    ids=["folded", "small", "intermediate"],
)
def test_a_network_comes_back_as_it_was(tmp_path, config):
    model = PersonLab(config).train()
    save_model(model, tmp_path / "model.safetensors", {"step": 7, "data": "drawn"})
    read, metadata = load_checkpoint(tmp_path / "model.safetensors")
    assert read.config == config
    assert metadata == {"step": 7, "data": "drawn"}
    assert not read.training
    state = read.state_dict()
    assert list(state) == list(model.state_dict())
    for name, value in model.state_dict().items():
        assert torch.equal(value, state[name]), name


def test_the_same_network_makes_the_same_file(tmp_path):
    for name in "ab":
        save_model(random_model(), tmp_path / f"{name}.safetensors", {"x": 1, "y": 2, "z": 3})
    assert (tmp_path / "a.safetensors").read_bytes() == (tmp_path / "b.safetensors").read_bytes()


def test_load_model_takes_the_stride_and_the_device(tmp_path):
    file = tmp_path / "model.safetensors"
    save_model(random_model(stride=16), file)
    assert load_model(str(file)).config.stride == 16
    model = personlab.load_model(file, stride=8, device=torch.device("cpu"))
    assert model.config.stride == 8
    assert not model.training
    with torch.inference_mode():
        assert model(torch.zeros(1, 3, 17, 33)).heatmaps.shape == (1, 17, 3, 5)
    with pytest.raises(ValueError, match="stride: expected one of 8, 16, got 4"):
        load_model(file, stride=4)


def test_saving_is_atomic_and_says_where_it_cannot(tmp_path):
    model = random_model()
    with pytest.raises(ValueError, match=r"model\.pt: expected a file name that ends in \.safetensors"):
        save_model(model, tmp_path / "model.pt")
    with pytest.raises(FileNotFoundError, match="no such folder"):
        save_model(model, tmp_path / "none" / "model.safetensors")
    with pytest.raises(TypeError, match="not JSON serializable"):
        save_model(model, tmp_path / "model.safetensors", {"x": object()})
    assert list(tmp_path.iterdir()) == []


def pickled(kind):
    content = io.BytesIO()
    if kind == "zip":
        torch.save(random_model().state_dict(), content)
    else:
        pickle.dump({"state": [1.0]}, content, protocol=kind)
    return content.getvalue()


@pytest.mark.parametrize("name", ["a.pt", "a.safetensors", "a.onnx", "a"])
@pytest.mark.parametrize("kind", ["zip", 2, 5])
def test_a_pickle_is_refused_whatever_its_name(tmp_path, name, kind):
    file = tmp_path / name
    file.write_bytes(pickled(kind))
    with pytest.raises(ValueError, match=rf"{name}: .* got a pickle: loading one runs whatever code .* safetensors"):
        load_model(file)
    if name.endswith("safetensors"):
        with pytest.raises(ValueError, match="got a pickle"):
            load_checkpoint(file)


@pytest.mark.parametrize("name", ["a.pt", "a.pth", "a.ckpt", "a.bin", "A.PT"])
def test_names_of_pickles_are_refused_whatever_they_hold(tmp_path, name):
    (tmp_path / name).write_bytes(b"")
    with pytest.raises(ValueError, match="got a pickle"):
        load_model(tmp_path / name)


def test_a_header_as_long_as_a_pickle_begins_is_none(tmp_path):
    file = tmp_path / "model.safetensors"  # 8 bytes of length 0x0280, which begin as a pickle of protocol 2 does
    header = json.dumps({"__metadata__": {"x": ""}})
    file.write_bytes((0x0280).to_bytes(8, "little") + header.encode().ljust(0x0280))
    with pytest.raises(ValueError, match="no config in metadata"):
        load_checkpoint(file)


def rewritten(tmp_path, change):
    """The message about a checkpoint whose arrays and metadata `change` edited."""
    file = tmp_path / "model.safetensors"
    save_model(random_model(), file)
    header_length = int.from_bytes(file.read_bytes()[:8], "little")
    metadata = json.loads(file.read_bytes()[8 : 8 + header_length])["__metadata__"]
    entry = json.loads(metadata["personlab"])
    state = load_file(file)
    change(state, entry)
    save_file(state, file, {"personlab": json.dumps(entry)})
    with pytest.raises(ValueError, match=r"model\.safetensors: ") as caught:
        load_checkpoint(file)
    return str(caught.value).partition(".safetensors: ")[2]


def test_wrong_weights_are_named(tmp_path):
    name = "heads.heatmaps.bias"
    assert rewritten(tmp_path, lambda state, _: state.pop(name)) == f"weights missing: {name}"
    assert (
        rewritten(tmp_path, lambda state, _: state.update(more=torch.zeros(1))) == "weights not of this network: more"
    )
    message = rewritten(tmp_path, lambda state, _: state.update({name: torch.zeros(3)}))
    assert message == f"{name}: expected shape (17,), got (3,)"
    message = rewritten(tmp_path, lambda _, entry: entry["config"].update(norm="batch"))
    assert message.startswith("weights missing: backbone.stem.norm.weight, ")
    assert message.endswith(" more")


def test_wrong_metadata_is_named(tmp_path):
    message = rewritten(tmp_path, lambda _, entry: entry["config"].update(width=3))
    assert message == "width: expected one of 0.5, 0.75, 1.0, got 3.0"
    assert "got other" in rewritten(tmp_path, lambda _, entry: entry["config"].update(other=3))
    assert "from a newer personlab?" in rewritten(tmp_path, lambda _, entry: entry.update(version=2))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "metadata: expected JSON, got none (Expecting value: line 1 column 1 (char 0))"),
        ("{", "metadata: expected JSON, got none (Expecting property name"),
        ('{"version": ' + "9" * 5000 + "}", "metadata: expected JSON, got none (Exceeds the limit"),
        ("null", "metadata: expected a JSON object, got NoneType"),
        ("[1]", "metadata: expected a JSON object, got list"),
    ],
)
def test_metadata_that_is_no_json_is_named(tmp_path, text, message):
    file = tmp_path / "model.safetensors"
    save_file({"a": torch.zeros(1)}, file, {"personlab": text})
    with pytest.raises(ValueError, match=re.escape(f"{file}: {message}")):
        load_checkpoint(file)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda value: value.index_fill(0, torch.tensor([3]), float("nan")), "expected finite weights"),
        (lambda value: value.index_fill(0, torch.tensor([3]), float("-inf")), "expected finite weights"),
        (lambda value: value.double() * 0 + 1e300, "expected finite weights"),
        (lambda value: value.to(torch.int32), "expected torch.float32, got torch.int32"),
        (lambda value: value.to(torch.bool), "expected torch.float32, got torch.bool"),
        (lambda value: value.to(torch.complex64), "expected torch.float32, got torch.complex64"),
    ],
)
def test_weights_that_are_no_numbers_of_use_are_named(tmp_path, change, message):
    name = "heads.heatmaps.bias"
    told = rewritten(tmp_path, lambda state, _: state.update({name: change(state[name])}))
    assert told.startswith(f"{name}: {message}")


def test_other_files_are_refused(tmp_path):
    file = tmp_path / "model.safetensors"
    for content in (b"", b"{}", b"\x00" * 40, b"\xff" * 40):
        file.write_bytes(content)
        with pytest.raises(ValueError, match=r"model\.safetensors: expected a safetensors file, got another"):
            load_checkpoint(file)
    save_model(random_model(), file)
    file.write_bytes(file.read_bytes()[:-1])
    with pytest.raises(ValueError, match="damaged"):
        load_checkpoint(file)
    save_file({"a": torch.zeros(1)}, file)
    with pytest.raises(ValueError, match="no config in metadata"):
        load_checkpoint(file)
    with pytest.raises(FileNotFoundError):
        load_checkpoint(tmp_path / "none.safetensors")
    (tmp_path / "image.jpg").write_bytes(b"\xff\xd8")
    with pytest.raises(ValueError, match=r"expected \.safetensors, \.onnx, \.json or a folder .*, got \.jpg"):
        load_model(tmp_path / "image.jpg")
    with pytest.raises(FileNotFoundError, match=r"nor the name of a network: people-mobilenet-075, "):
        load_model("bodypix-mobilenet-060")


def test_weights_in_16_bits_are_read_as_float32(tmp_path):
    model = PersonLab(ModelConfig(width=0.5, norm="none"))
    save_model(model, tmp_path / "a.safetensors", {"note": 1})
    convert(tmp_path / "a.safetensors", tmp_path / "b.safetensors", float16=True)
    small, large = (tmp_path / f"{name}.safetensors" for name in "ba")
    assert small.stat().st_size < 0.55 * large.stat().st_size
    other = load_model(small)
    for name, tensor in model.state_dict().items():
        assert other.state_dict()[name].dtype == torch.float32
        torch.testing.assert_close(other.state_dict()[name], tensor.half().float(), rtol=0, atol=0)
        assert load_stored(small).weights.state[name].dtype == np.float32
    with torch.no_grad():
        next(model.parameters()).view(-1)[0] = 1e5
    save_model(model, tmp_path / "a.safetensors")
    with pytest.raises(ValueError, match=r"expected weights of at most 65504 for float16, got larger ones"):
        convert(tmp_path / "a.safetensors", tmp_path / "c.safetensors", float16=True)
    assert not (tmp_path / "c.safetensors").exists()
