"""Files of weights that are made to cost more than they hold: each is one line, at once, in little memory."""

import json
import struct

import numpy as np
import pytest
from cost import measure
from published import random_model, tfjs_of

from personlab.weights import load_checkpoint, load_model, save_model  # first: it and `convert` import each other

# isort: split
from personlab.io.limits import LONGEST_HEADER
from personlab.methods.personlab.convert.manifest import MAX_JSON_BYTES
from personlab.nn.state import check_shapes

# All that is imported where it is used: a first call is not to be taken for a slow one.
MODULES = "import personlab.weights, personlab.nn; from personlab.methods.personlab.convert import onnx, tfjs"
LOAD = f"import onnx, safetensors, torch; {MODULES}; from personlab.weights import load_model", "load_model(path)"


def refused(files, messages, *, mib=16.0):
    """Whether each file is refused with one short line that names it and says what is wrong, in little time."""
    for file, message, cost in zip(files, messages, measure(*LOAD, files), strict=True):
        assert cost.message.startswith(f"{file}: "), (file.name, cost.message)
        assert message in cost.message, (file.name, cost.message)
        assert "\n" not in cost.message
        assert len(cost.message) < 5000, file.name
        assert cost.seconds < 1, file.name
        assert cost.mib < max(mib, 2 * file.stat().st_size / 2**20), file.name


# --- safetensors ------------------------------------------------------------------------------------------------------


def safetensors(path, header, content=b""):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + content)
    return path


def checkpoint(path, config, **more):
    """A file that holds one small weight, and says that it is this network."""
    entry = config if isinstance(config, str) else json.dumps({"version": 1, "config": config, **more})
    header = {"__metadata__": {"personlab": entry}, "a": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}
    return safetensors(path, header, bytes(4))


def skeleton(k, edges):
    return {"names": [f"k{i}" for i in range(k)], "edges": edges, "sigmas": [0.1] * k, "flip": list(range(k))}


def test_checkpoints_that_name_more_than_they_hold(tmp_path):
    resnet = {"backbone": "resnet152"}
    many = {"backbone": "resnet50", "skeleton": skeleton(2, [[0, 1]] * 10_000)}
    deep = "[" * 5_000 + "]" * 5_000
    cases = {
        "edges": (many, "weights missing: "),
        "names": ({"backbone": "resnet50", "skeleton": skeleton(50_000, [[0, 1]])}, "weights missing: "),
        "large": (resnet, "weights missing: "),
        "deep": (f'{{"version": 1, "config": {deep}}}', "without end"),
        "digits": (f'{{"version": 1, "config": {{"width": {"9" * 4000}}}}}', "width: expected"),
        "infinity": ('{"version": 1, "config": {"width": 1e999}}', "width: expected"),
        "edges of infinity": (
            json.dumps({"version": 1, "config": {"skeleton": skeleton(2, [[0, 1e300]])}}).replace("1e+300", "1e999"),
            "edges: expected a list of pairs of integers, got [[0, inf]]",
        ),
        "version": ('{"version": %s}' % ("9" * 4000), "expected metadata of version 1, got"),
    }
    files = [checkpoint(tmp_path / f"{name}.safetensors", config) for name, (config, _) in cases.items()]
    # 50,000 names are 2 MB of JSON and as many Python objects
    refused(files, [message for _, message in cases.values()], mib=64)


def test_a_long_header_is_not_read(tmp_path):
    path = safetensors(tmp_path / "a.safetensors", b'{"a":' + b"[" * (LONGEST_HEADER + 9))
    refused([path], [f"expected a header of at most {LONGEST_HEADER} bytes, got {LONGEST_HEADER + 14}"])
    beyond = tmp_path / "b.safetensors"
    beyond.write_bytes(struct.pack("<Q", 2**62) + b"{" + bytes(99))
    refused([beyond], ["expected a safetensors file"])


def test_what_is_written_can_be_read_again(tmp_path):
    path = tmp_path / "a.safetensors"
    model = random_model(masks=False)
    save_model(model, path, {"notes": "x" * 1_000_000})
    assert len(load_checkpoint(path).metadata["notes"]) == 1_000_000
    with pytest.raises(ValueError, match="metadata: expected at most 2097152 bytes of JSON, got 3"):
        save_model(model, path, {"notes": "x" * 3_000_000})


def test_shapes_are_compared_by_name():
    expected = {"a": (1, 2), "b": (3,)}
    check_shapes(expected, {"b": [3], "a": [1, 2]})
    for got, message in (
        ({"a": (1, 2)}, "weights missing: b"),
        ({**expected, "c": ()}, "weights not of this network: c"),
        ({"a": (2, 1), "b": (3,)}, r"a: expected shape \(1, 2\), got \(2, 1\)"),
        ({**expected, **{str(n): () for n in range(9)}}, "weights not of this network: 0, 1, 2 and 6 more"),
    ):
        with pytest.raises(ValueError, match=message):
            check_shapes(expected, got)


def test_the_shared_checkpoint_of_many_edges_is_refused(data):
    refused([data / "faults" / "files" / "st_many_edges.safetensors"], ["weights missing: "], mib=16)


# --- tfjs -------------------------------------------------------------------------------------------------------------


def tfjs(path, *weights, paths=(), nodes=()):
    manifest = [{"paths": list(paths), "weights": list(weights)}]
    path.write_text(json.dumps({"modelTopology": {"node": list(nodes)}, "weightsManifest": manifest}))
    return path


def weight(*shape, dtype="float32", name="a", **more):
    return {"name": name, "shape": list(shape), "dtype": dtype, **more}


def test_manifests_of_absurd_arrays(tmp_path):
    infinite = {"dtype": "uint8", "min": float("inf"), "scale": 1}
    cases = {
        "infinity": (weight(float("inf")), "expected sizes of at least 0, got (inf)"),
        "nan": (weight(float("nan")), "expected sizes of at least 0, got (nan)"),
        "fraction": (weight(1.5), "expected sizes of at least 0, got (1.5)"),
        "text": (weight("3"), "expected sizes of at least 0, got (3)"),
        "true": (weight(True), "expected sizes of at least 0, got (True)"),
        "negative": (weight(-1, -1), "expected sizes of at least 0, got (-1, -1)"),
        "large": (weight(10**40), "expected at most 8 sizes of at most 2147483648"),
        "many axes": (weight(*[2] * 100_000), "expected at most 8 sizes"),
        "exabytes": (weight(2**31, 2**31), f"expected {4 * 2**62} bytes of weights in , got 0"),
        "quantised": (weight(1, quantization=infinite), "expected a finite quantization, got inf and 1.0"),
        "digits": (weight(1, quantization={"dtype": "uint8", "min": 10**400, "scale": 1}), "OverflowError"),
        "a long name": (weight(-1, name="n" * 10**6), "expected sizes of at least 0"),
        "a long type": (weight(1, dtype="n" * 10**6), "expected one of"),
    }
    files = [tfjs(tmp_path / f"{name}.json", entry) for name, (entry, _) in cases.items()]
    refused(files, [message for _, message in cases.values()])


def test_manifests_of_files_elsewhere(tmp_path):
    secret = tmp_path / "secret.bin"
    secret.write_bytes(bytes(4))
    folder = tmp_path / "model"
    folder.mkdir()
    outside = ["../secret.bin", str(secret), "a/../../secret.bin", "a\\..\\secret.bin", "file:secret.bin", "", ".", "/"]
    files = [tfjs(folder / f"{number}.json", weight(1), paths=[path]) for number, path in enumerate(outside)]
    refused(files, ["expected files of weights beside the model, got "] * len(files))
    twice = tfjs(folder / "twice.json", weight(2), paths=["a.bin", "a.bin"])
    (folder / "a.bin").write_bytes(bytes(4))
    refused([twice], ["expected each file of weights once, got a.bin, a.bin"])


def test_shards_are_not_read_beyond_what_they_should_hold(tmp_path):
    shard = tmp_path / "a.bin"
    with shard.open("wb") as file:
        file.truncate(1 << 31)
    file = tfjs(tmp_path / "model.json", weight(3), paths=["a.bin"])
    (cost,) = measure(*LOAD, [file])
    assert cost.message == f"{file}: a.bin: expected at most 12 bytes, got {1 << 31}"
    assert cost.mib < 4
    (tmp_path / "long.json").write_bytes(b" " * (MAX_JSON_BYTES + 1))
    (tmp_path / "deep.json").write_text("[" * 100_000)
    refused([tmp_path / "long.json", tmp_path / "deep.json"],
            [f"at most {MAX_JSON_BYTES} bytes, got {MAX_JSON_BYTES + 1}", "got lists without end"])  # fmt: skip


def test_a_pipe_is_not_waited_for(tmp_path):
    import os

    os.mkfifo(tmp_path / "a.bin")
    file = tfjs(tmp_path / "model.json", weight(1), paths=["a.bin"])
    with pytest.raises(FileNotFoundError, match=r"a\.bin: no such file"):
        load_model(file)


def graph(folder, change):
    """A model of ours in which some arrays have other shapes; `change` takes name -> array."""
    writer = tfjs_of(random_model(masks=False), folded=False)
    arrays, at = {}, 0
    for entry in writer.manifest:
        size = int(np.prod(entry["shape"])) * 4
        arrays[entry["name"]] = np.frombuffer(writer.content[at : at + size], "<f4").reshape(entry["shape"])
        at += size
    change(arrays)
    for entry in writer.manifest:
        entry["shape"] = list(arrays[entry["name"]].shape)
    writer.content = b"".join(arrays[entry["name"]].tobytes() for entry in writer.manifest)
    return writer.write(folder)


def test_graphs_whose_arrays_would_grow(tmp_path):
    first = "MobilenetV1/Conv2d_0"

    def outer(arrays):  # 65536 x 65536 numbers from 2 x 65536
        arrays[f"{first}/gamma"] = np.zeros((65536, 1), np.float32)
        arrays[f"{first}/variance"] = np.zeros((1, 65536), np.float32)

    def empty(arrays):  # a bias of 2**31 numbers for no weight
        arrays[f"{first}/weights"] = np.zeros((0, 3, 3, 2**31), np.float32)

    folders = [graph(tmp_path / change.__name__, change) for change in (outer, empty)]
    messages = ["expected batch norm by channel, got shapes (65536, 1)", "expected weights before "]
    refused([folder / "model-stride16.json" for folder in folders], messages)


def test_a_chain_without_end_is_given_up(tmp_path):
    writer = tfjs_of(random_model(masks=False))
    tensor, constant = "sub_2", writer.constant("c", np.ones(1, np.float32))
    for number in range(2_000):
        tensor = writer.node(f"step{number}", "Mul", tensor, constant)
    for node in writer.nodes:
        if node["name"].startswith("MobilenetV1/Conv2d_0/out"):
            node["input"] = [tensor if text == "sub_2" else text for text in node["input"]]
    folder = writer.write(tmp_path / "long")
    refused(
        [folder / "model-stride16.json"],
        ["expected a chain of convolutions, got a circle through 'step1899', or more than 100 steps"],
    )


def test_the_shared_manifest_of_infinity_is_refused(data):
    refused(
        [data / "faults" / "files" / "tfjs_shape_inf.json"], ["weight 'a': expected sizes of at least 0, got (inf)"]
    )


# --- ONNX -------------------------------------------------------------------------------------------------------------


def onnx_file(path, *, initializers=(), constants=(), dims=None):
    from onnx import TensorProto, helper

    nodes = [helper.make_node("Constant", [], [tensor.name], value=tensor) for tensor in constants]
    nodes.append(helper.make_node("Identity", ["image"], ["heatmaps"]))
    image = helper.make_tensor_value_info("image", TensorProto.FLOAT, dims or [1, 3, 5, 7])
    out = helper.make_tensor_value_info("heatmaps", TensorProto.FLOAT, None)
    network = helper.make_graph(nodes, "graph", [image], [out], list(initializers))
    path.write_bytes(helper.make_model(network).SerializeToString())
    return path


def tensor(name, dims, content=b"", outside=""):
    from onnx import TensorProto

    made = TensorProto(name=name, dims=dims, data_type=TensorProto.FLOAT)
    made.raw_data = content
    if outside:
        made.data_location = TensorProto.EXTERNAL
        made.external_data.add(key="location", value=outside)
    return made


def test_onnx_files_that_point_elsewhere_or_claim_too_much(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "secret.bin").write_bytes(bytes(400))
    cases = {
        "initializer": ({"initializers": [tensor("a", [100], outside="secret.bin")]}, "got 'a' in another"),
        "constant": ({"constants": [tensor("a", [100], outside="secret.bin")]}, "got 'a' in another"),
        "absolute": ({"constants": [tensor("a", [1], outside="/etc/passwd")]}, "got 'a' in another"),
        "large": ({"initializers": [tensor("a", [2**40], bytes(4))]}, "expected 1099511627776 numbers, got 1"),
        "constants": (
            {"constants": [tensor("a", [2**31, 2**31], bytes(4))]},
            "expected 4611686018427387904 numbers, got 1",
        ),
        "negative": ({"initializers": [tensor("a", [-1], bytes(4))]}, "expected at most 8 sizes of at least 0"),
        "many": ({"initializers": [tensor("a", [1] * 100_000, bytes(4))]}, "expected at most 8 sizes"),
        "image": ({"dims": [2**40, 2**40, 2**40]}, "expected a PoseNet or BodyPix network, got one without"),
    }
    files = [onnx_file(tmp_path / f"{name}.onnx", **changes) for name, (changes, _) in cases.items()]
    refused(files, [message for _, message in cases.values()])
