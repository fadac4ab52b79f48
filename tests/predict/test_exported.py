"""Exported files are made once, kept where they may be, and made again where they are damaged or of other weights."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time

import pytest
from published import random_model

from personlab.predict.exported import digest, exported, read_facts, source_of
from personlab.weights import save_model
from personlab.weights.onnx_file import is_sealed, read_metadata, seal


class Maker:
    """Stands in for the exporter, and counts how often it is asked."""

    def __init__(self):
        self.calls = 0

    def __call__(self, entries):
        self.calls += 1
        return seal(b"", {**entries, "call": str(self.calls)})


@pytest.fixture
def make():
    return Maker()


@pytest.fixture
def weights(tmp_path, monkeypatch):
    """A file of weights in a folder that may be written to; the cache folder is elsewhere."""
    monkeypatch.delenv("PERSONLAB_CACHE", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    (tmp_path / "own").mkdir()
    path = tmp_path / "own" / "model.safetensors"
    path.write_bytes(b"weights")
    return path


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_it_is_made_once_and_lies_beside_the_weights(weights, make, capsys):
    first = exported(source_of(weights, None), make)
    assert is_sealed(first)
    assert read_metadata(first)["personlab.weights"] == digest(weights)
    assert exported(source_of(str(weights), None), make) == first
    assert make.calls == 1
    assert names(weights.parent) == ["model.safetensors", "model.safetensors.onnx"]
    assert exported(source_of(weights, 8), make) != first  # a file for each stride
    assert names(weights.parent)[2:] == ["model.safetensors.stride8.onnx"]
    err = capsys.readouterr().err
    assert err.count("\n") == 2
    assert err.startswith(f"personlab: exporting {weights} once, for faster engines, to {weights}.onnx\n")


def test_other_weights_other_versions_and_damage_make_it_again(weights, make, monkeypatch):
    path = weights.with_name("model.safetensors.onnx")
    exported(source_of(weights, None), make)
    whole = path.read_bytes()
    for n in (0, 1, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:n])
        exported(source_of(weights, None), make)
        path.write_bytes(whole[:n] + bytes([whole[n] ^ 1]) + whole[n + 1 :])
        exported(source_of(weights, None), make)
    assert make.calls == 9
    weights.write_bytes(b"others")
    content = exported(source_of(weights, None), make)
    assert read_metadata(content)["personlab.weights"] == digest(weights)
    assert exported(source_of(weights, None), make) == content
    assert make.calls == 10
    monkeypatch.setattr("personlab.predict.exported.VERSION", "2")
    exported(source_of(weights, None), make)
    assert make.calls == 11


@pytest.mark.parametrize("why", ["read-only", "environment"])
def test_it_lies_in_the_cache_folder_where_it_may_not_be_beside_the_weights(weights, make, monkeypatch, tmp_path, why):
    folder = tmp_path / "cache" / "personlab"
    if why == "read-only":
        weights.parent.chmod(0o555)
    else:
        folder = tmp_path / "elsewhere"
        monkeypatch.setenv("PERSONLAB_CACHE", str(folder))
    try:
        first = exported(source_of(weights, 16), make)
        assert exported(source_of(weights, 16), make) == first
    finally:
        weights.parent.chmod(0o755)
    assert make.calls == 1
    assert names(weights.parent) == ["model.safetensors"]
    assert names(folder) == [f"model.safetensors.{digest(weights)[:16]}.stride16.onnx"]


def test_where_it_can_lie_nowhere_it_is_made_each_time(weights, make, monkeypatch, tmp_path, capsys):
    (tmp_path / "file").write_text("no folder")
    monkeypatch.setenv("PERSONLAB_CACHE", str(tmp_path / "file" / "below"))
    for _ in range(2):
        assert is_sealed(exported(source_of(weights, None), make))
    assert make.calls == 2
    assert "warning: the exported network is not kept: " in capsys.readouterr().err


def test_what_the_exporter_raises_is_raised(weights):
    def fail(entries):
        raise ModuleNotFoundError("no onnxscript", name="onnxscript")

    with pytest.raises(ImportError, match="no onnxscript"):
        exported(source_of(weights, None), fail)
    assert names(weights.parent) == ["model.safetensors"]


PROGRAM = """
    import sys, time
    from pathlib import Path
    from personlab.predict.exported import exported, source_of
    from personlab.weights.onnx_file import seal

    def make(entries):
        with open({log!r}, "a") as log:
            log.write("made\\n")
        time.sleep({seconds})
        return seal(b"", entries)

    print(len(exported(source_of({weights!r}, None), make)))
"""


def start(weights, log, seconds):
    program = textwrap.dedent(PROGRAM).format(weights=str(weights), log=str(log), seconds=seconds)
    return subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)


@pytest.mark.unsanitized
def test_two_processes_at_once_make_it_once(weights, tmp_path):
    pytest.importorskip("fcntl")
    log = tmp_path / "log"
    processes = [start(weights, log, 1.0) for _ in range(3)]
    sizes = {process.communicate(timeout=120)[0] for process in processes}
    assert len(sizes) == 1
    assert log.read_text() == "made\n"


@pytest.mark.unsanitized
@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="no SIGKILL")
def test_a_killed_export_leaves_nothing_in_the_way(weights, tmp_path, make):
    log = tmp_path / "log"
    process = start(weights, log, 600)
    end = time.monotonic() + 60
    while not log.exists() and time.monotonic() < end:
        time.sleep(0.05)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    assert names(weights.parent) == ["model.safetensors"]
    assert is_sealed(exported(source_of(weights, None), make))
    assert make.calls == 1


def test_folders_and_json_of_tfjs_models_are_all_their_files(tmp_path):
    folder = tmp_path / "model"
    folder.mkdir()
    for name in ("model.json", "shard.bin"):
        (folder / name).write_bytes(name.encode())
    before = digest(folder), digest(folder / "model.json")
    (folder / "model.json.onnx").write_bytes(b"exported")  # which does not count
    assert (digest(folder), digest(folder / "model.json")) == before
    (folder / "shard.bin").write_bytes(b"others")
    assert digest(folder) != before[0]
    assert digest(folder / "model.json") != before[1]


def test_metadata_are_read_as_onnx_writes_them(tmp_path):
    onnx = pytest.importorskip("onnx")
    graph = onnx.helper.make_graph([], "g", [], [])
    model = onnx.helper.make_model(graph)
    onnx.helper.set_model_props(model, {"personlab.method": "personlab", "naïve": "ß" * 300})
    content = model.SerializeToString()
    assert read_metadata(content) == {"personlab.method": "personlab", "naïve": "ß" * 300}
    more = seal(content, {"long": "x" * 70_000, "": ""})
    assert is_sealed(more)
    assert not is_sealed(content)
    read = onnx.load_model_from_string(more)
    assert {entry.key: entry.value for entry in read.metadata_props} == read_metadata(more)
    assert read_metadata(more)["long"] == "x" * 70_000


@pytest.mark.parametrize(
    "content", [b"x", b"\x72", b"\x72\xff", b"\x72\x05ab", b"\xff" * 20, b"\x00\x00", b"\x73", b"PK\x03\x04" * 9]
)
def test_other_content_is_no_onnx_file(content):
    with pytest.raises(ValueError, match="expected an ONNX file, got something else or a damaged one"):
        read_metadata(content)
    assert not is_sealed(content)


@pytest.mark.parametrize(
    ("entries", "text"),
    [
        ({"personlab.config": "{"}, "metadata: "),
        ({"personlab.config": "[]"}, "metadata: config: expected a JSON object"),
        ({"personlab.config": "{}", "personlab.settings": "3"}, "metadata: settings: expected a JSON object, got int"),
        ({"personlab.config": "{}", "personlab.settings": '{"stride": "x"}'}, "metadata: settings.stride"),
        ({"personlab.config": "{}", "personlab.method": "abacus"}, "method: expected one of personlab"),
    ],
)
def test_metadata_that_are_wrong_are_refused(entries, text):
    with pytest.raises(ValueError, match=text):
        read_facts(seal(b"", entries))


def test_settings_travel_with_the_file(tmp_path):
    pytest.importorskip("onnxscript")
    from personlab.predict.load import load_network
    from personlab.settings import Settings

    model = random_model(stride=16)
    model.settings = Settings(long_edge=321, stride=8, disk_radius=20.0, domain="photographs")
    save_model(model, tmp_path / "m.safetensors")
    for engine in ("onnxruntime", "openvino"):
        pytest.importorskip(engine)
        loaded = load_network(tmp_path / "m.safetensors", engine=engine)
        assert loaded.settings == model.settings
        assert loaded.config.stride == 8  # the one it was scored at
        other = load_network(tmp_path / "m.safetensors", engine=engine, stride=16)
        assert other.config.stride == other.settings.stride == 16
