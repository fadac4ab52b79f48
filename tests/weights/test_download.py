"""Networks by name: fetched once from a server on this machine, however it misbehaves."""

import errno
import json
import socket
import subprocess
import sys
import threading
import time

import pytest
import torch
from file_server import FileServer
from published import random_model, tfjs_of

import personlab
from personlab.methods.personlab.published import PUBLISHED
from personlab.weights import cache_folder, download, fetch, known_names, load_checkpoint, load_model
from personlab.weights.download import parse_name
from personlab.weights.lock import locked

names = sys.modules["personlab.weights.download"]  # the package has a function of that name
MODEL, SHARD = "model-stride16.json", "group1-shard1of1.bin"
POSENET = "posenet/mobilenet/quant2/075"


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(fetch, "_PAUSE", 0.0)


@pytest.fixture
def server(data):
    """A server with the shared PoseNet network where Google's bucket has it."""
    folder = data / "weights" / "posenet-mobilenet-075"
    with FileServer({f"{POSENET}/{name}": (folder / name).read_bytes() for name in (MODEL, SHARD)}) as running:
        yield running


@pytest.fixture
def cache(tmp_path, monkeypatch, server):
    """An empty cache folder that names are looked up in; the server stands in for Google's."""
    monkeypatch.setenv("PERSONLAB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("PERSONLAB_WEIGHTS_URL", server.url)
    return tmp_path / "cache"


def left(cache):
    return sorted(file.name for file in cache.iterdir())


def test_a_name_is_fetched_once_converted_and_kept(server, cache, data):
    model = load_model("posenet-mobilenet-075")
    assert [path for path, _ in server.requests] == [f"{POSENET}/{MODEL}", f"{POSENET}/{SHARD}"]
    assert left(cache) == ["posenet-mobilenet-075.safetensors"]
    expected = load_model(data / "weights" / "posenet-mobilenet-075").state_dict()
    for name, value in model.state_dict().items():
        assert torch.equal(value, expected[name]), name
    assert load_checkpoint(cache / "posenet-mobilenet-075.safetensors").metadata == {
        "source": f"{server.url}/{POSENET}/{MODEL}"
    }
    assert model.config.stride == 16
    assert load_model("posenet-mobilenet-075-stride8").config.stride == 8
    assert personlab.load_model("posenet-mobilenet-075", stride=8).config.stride == 8
    assert len(server.requests) == 2
    with pytest.raises(ValueError, match="stride: expected 8 as in the name posenet-mobilenet-075-stride8, got 16"):
        load_model("posenet-mobilenet-075-stride8", stride=16)


def test_bodypix_in_two_shards(server, cache, monkeypatch):
    model = random_model()
    folder = tfjs_of(model, stored="float16").write(cache.parent / "model", shards=2)
    server.files = {f"bodypix/mobilenet/quant2/075/{file.name}": file.read_bytes() for file in folder.iterdir()}
    server.cut["bodypix/mobilenet/quant2/075/group1-shard2of2.bin"] = [1000]
    monkeypatch.setitem(PUBLISHED.digests, "bodypix-mobilenet-075", names.digest(load_model(folder)))
    read = load_model("bodypix-mobilenet-075")
    assert read.config == model.config
    assert server.asked("group1-shard1of2.bin") == [None]
    assert server.asked("group1-shard2of2.bin") == [None, "bytes=1000-"]


def test_a_broken_connection_is_taken_up_where_it_broke(server, cache):
    server.cut[f"{POSENET}/{SHARD}"] = [100_000, 50_000]
    download("posenet-mobilenet-075")
    assert server.asked(SHARD) == [None, "bytes=100000-", "bytes=150000-"]
    assert left(cache) == ["posenet-mobilenet-075.safetensors"]


def test_many_breaks_are_borne_as_long_as_bytes_come(server, cache):
    server.cut[f"{POSENET}/{SHARD}"] = [100_000] * 12
    download("posenet-mobilenet-075")
    assert len(server.asked(SHARD)) == 13


def test_a_later_call_goes_on_where_an_earlier_one_gave_up(server, cache):
    server.cut[f"{POSENET}/{SHARD}"] = [100_000, *[0] * fetch.TRIES]
    with pytest.raises(OSError, match=rf"no download after {fetch.TRIES} tries \(the connection ended after 0 of"):
        download("posenet-mobilenet-075")
    assert left(cache) == ["posenet-mobilenet-075.parts"]
    server.requests.clear()
    load_model("posenet-mobilenet-075")
    assert server.asked(SHARD) == ["bytes=100000-"]
    assert left(cache) == ["posenet-mobilenet-075.safetensors"]


@pytest.mark.parametrize("kind", ["no ranges", "weak tag", "no tag"])
def test_without_safe_parts_the_whole_is_fetched_again(server, cache, kind):
    server.ranges = kind != "no ranges"
    server.etag = {"weak tag": "weak", "no tag": "none"}.get(kind, "strong")
    server.cut[f"{POSENET}/{SHARD}"] = [100_000]
    load_model("posenet-mobilenet-075")
    assert server.asked(SHARD) == [None, "bytes=100000-" if kind == "no ranges" else None]


def test_content_that_changed_meanwhile_is_not_mixed(server, cache):
    path = f"{POSENET}/{SHARD}"
    whole = server.files[path]
    server.files[path] = bytes(len(whole))
    server.cut[path] = [100_000, *[0] * fetch.TRIES]
    with pytest.raises(OSError, match="no download"):
        download("posenet-mobilenet-075")
    server.files[path] = whole
    expected = load_model("posenet-mobilenet-075")  # asks for the rest, gets the whole
    assert expected.state_dict()["backbone.stem.conv.bias"].abs().max() > 0
    assert server.asked(SHARD)[-1] == "bytes=100000-"


def test_an_answer_without_a_length_is_measured_by_the_manifest(server, cache):
    server.announce = False
    server.cut[f"{POSENET}/{SHARD}"] = [100_000]
    with pytest.raises(ValueError, match=r"expected 2516390 bytes of weights in group1-shard1of1\.bin, got 100000"):
        download("posenet-mobilenet-075")
    download("posenet-mobilenet-075")
    assert server.asked(SHARD) == [None, None]


@pytest.mark.parametrize("announce", [True, False])
def test_more_bytes_than_the_manifest_says_are_not_stored(server, cache, announce):
    server.announce = announce
    server.extra[f"{POSENET}/{SHARD}"] = bytes(3_000_000)
    with pytest.raises(ValueError, match="expected at most 2516390 bytes by the manifest, got "):
        download("posenet-mobilenet-075")
    assert not any(file.stat().st_size > 2_516_390 for file in cache.rglob("*") if file.is_file())


def test_fewer_bytes_than_the_manifest_says_are_told(server, cache):
    path = f"{POSENET}/{SHARD}"
    server.files[path] = server.files[path][:-10]
    with pytest.raises(ValueError, match=r"expected 2516390 bytes of weights .*, got 2516380"):
        download("posenet-mobilenet-075")
    assert not list(cache.rglob("*.bin"))  # the next call starts anew


@pytest.mark.parametrize("status", [404, 403])
def test_a_missing_file_is_told_at_once(server, cache, status):
    server.status[f"{POSENET}/{SHARD}"] = [status]
    with pytest.raises(OSError, match=rf"{SHARD}: the server answers {status} "):
        download("posenet-mobilenet-075")
    assert len(server.asked(SHARD)) == 1
    with pytest.raises(OSError, match=r"bodypix.*model-stride16\.json: the server answers 404 Not Found"):
        download("bodypix-mobilenet-075")
    assert "bodypix-mobilenet-075.parts" not in left(cache)


def test_passing_trouble_of_the_server_is_waited_out(server, cache):
    server.status = {f"{POSENET}/{SHARD}": [503, 429], f"{POSENET}/{MODEL}": [500]}
    server.cut[f"{POSENET}/{MODEL}"] = [3000]
    download("posenet-mobilenet-075")
    assert len(server.asked(MODEL)) == 3
    assert len(server.asked(SHARD)) == 3


def test_a_part_that_the_server_does_not_have_is_dropped(server, cache):
    server.cut[f"{POSENET}/{SHARD}"] = [100_000]
    server.status[f"{POSENET}/{SHARD}"] = [200, 416]
    load_model("posenet-mobilenet-075")
    assert server.asked(SHARD) == [None, "bytes=100000-", None]


def test_offline_is_one_clear_error(tmp_path, monkeypatch):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with pytest.raises(
        OSError, match=r"tries \(.*refused\); without a connection, give the file .* PERSONLAB_WEIGHTS_URL"
    ):
        download("bodypix-mobilenet-075", base_url=f"http://127.0.0.1:{port}", cache=tmp_path / "cache")
    assert left(tmp_path / "cache") == []
    for url in (tmp_path.as_uri(), "ftp://host/models", "models"):
        with pytest.raises(ValueError, match="expected a URL of http or https"):
            download("bodypix-mobilenet-075", base_url=url, cache=tmp_path)


def test_other_files_at_the_url_are_refused(server, cache):
    server.files[f"{POSENET}/{MODEL}"] = b"<html>sign in</html>"
    with pytest.raises(ValueError, match=r"model-stride16\.json: expected the JSON of a tfjs graph model, got no JSON"):
        download("posenet-mobilenet-075")
    folder = tfjs_of(random_model(masks=False)).write(cache.parent / "model")
    server.files = {
        f"{POSENET}/{MODEL}": (folder / MODEL).read_bytes().replace(b"displacement_bwd", b"other"),
        f"{POSENET}/{SHARD}": (folder / SHARD).read_bytes(),
    }
    with pytest.raises(ValueError, match="got one without displacement_bwd"):
        download("posenet-mobilenet-075")
    server.files[f"{POSENET}/{MODEL}"] = bytes(17 << 20)
    with pytest.raises(ValueError, match="expected at most 4194304 bytes, got more"):
        download("posenet-mobilenet-075")


def test_a_full_disk_is_told_and_gives_the_space_back(server, cache, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(fetch, "_read_to", full)
    with pytest.raises(OSError, match="no space left for a download of up to 2516390 bytes"):
        download("posenet-mobilenet-075")
    assert not [file for file in cache.rglob("*.part") if file.is_file()]


def test_two_callers_at_once_fetch_once(server, cache):
    found = []
    threads = [threading.Thread(target=lambda: found.append(download("posenet-mobilenet-075"))) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [cache / "posenet-mobilenet-075.safetensors"] * 3
    assert len(server.asked(SHARD)) == 1


def test_progress_is_shown_on_a_terminal_alone(server, cache, monkeypatch, capsys):
    server.cut[f"{POSENET}/{SHARD}"] = [100_000]
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    download("posenet-mobilenet-075")
    out, err = capsys.readouterr()
    assert out == ""
    assert "posenet-mobilenet-075: 100%" in err
    assert "2.40M/2.40M" in err
    (cache / "posenet-mobilenet-075.safetensors").unlink()
    monkeypatch.undo()
    download("posenet-mobilenet-075", base_url=server.url, cache=cache)
    assert capsys.readouterr() == ("", "")


def test_names_and_folders(monkeypatch, tmp_path):
    assert known_names() == (
        "people-mobilenet-075", "drawn-mobilenet-050", "drawn-simple-pose-050", "bodypix-mobilenet-075",
        "posenet-mobilenet-075",
    )  # fmt: skip
    assert parse_name("bodypix-mobilenet-075") == ("bodypix-mobilenet-075", None)
    assert parse_name("posenet-mobilenet-075-stride8") == ("posenet-mobilenet-075", 8)
    for text in ("bodypix-mobilenet-060", "bodypix-resnet50", "bodypix-mobilenet-075-stride32", "", "x.onnx"):
        assert parse_name(text) is None
    with pytest.raises(ValueError, match=r"name: expected one of people-mobilenet-075, .*, got 'bodypix'"):
        download("bodypix")
    assert PUBLISHED.base_url.startswith("https://")
    for name in ("PERSONLAB_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    assert cache_folder() == tmp_path / ".cache" / "personlab"
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache_folder() == tmp_path / "xdg" / "personlab"
    monkeypatch.setenv("PERSONLAB_CACHE", "~/own")
    assert cache_folder() == tmp_path / "own"


def test_the_shipped_network_needs_no_server(cache):
    for name in ("drawn-mobilenet-050", "drawn-mobilenet-050-stride8"):
        assert download(name, base_url="http://127.0.0.1:9", cache=cache).is_file()
    assert not any(cache.iterdir()) if cache.exists() else True
    assert load_model("drawn-mobilenet-050-stride8").config.stride == 8


def test_a_file_of_that_name_comes_first(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    tfjs_of(random_model(masks=False)).write(tmp_path / "posenet-mobilenet-075")
    assert load_model("posenet-mobilenet-075").config.width == 0.5


# --- Servers that lie, drip or change ---------------------------------------------------------------------------------


@pytest.mark.parametrize("name", list(PUBLISHED.digests))
def test_every_name_that_is_fetched_has_its_digest(name, data):
    """The shared files are Google's: those weights are what the name stands for."""
    assert names.digest(load_model(data / "weights" / name / MODEL)) == PUBLISHED.digests[name]


@pytest.mark.parametrize("at", [1000, 1_258_195, 2_516_389])
def test_one_bit_that_changed_is_not_kept(server, cache, at):
    path, shard = f"{POSENET}/{SHARD}", bytearray(server.files[f"{POSENET}/{SHARD}"])
    shard[at] ^= 0x40
    whole, server.files[path] = server.files[path], bytes(shard)
    with pytest.raises(ValueError, match=r"expected weights of SHA-256 5e0d5832\w+, got \w+: a damaged download"):
        download("posenet-mobilenet-075")
    assert not [file for file in cache.rglob("*") if file.is_file()]
    server.files[path] = whole
    assert download("posenet-mobilenet-075").is_file()


def test_a_model_whose_numbers_changed_is_not_kept(server, cache):
    path = f"{POSENET}/{MODEL}"
    scale = b'"scale": 0.00003065459286401699'
    assert scale in server.files[path]
    server.files[path] = server.files[path].replace(scale, scale.replace(b"3065", b"3066"))
    with pytest.raises(ValueError, match="expected weights of SHA-256"):
        download("posenet-mobilenet-075")
    assert not list(cache.glob("*.safetensors"))


def test_a_rest_that_is_another_is_not_kept(server, cache):
    path = f"{POSENET}/{SHARD}"
    server.cut[path] = [100_000]
    server.zeros = True  # of the right length and with the right headers
    with pytest.raises(ValueError, match="expected weights of SHA-256"):
        download("posenet-mobilenet-075")
    assert server.asked(SHARD) == [None, "bytes=100000-"]
    assert not [file for file in cache.rglob("*") if file.is_file()]


@pytest.mark.parametrize("name", [MODEL, SHARD])
def test_a_part_that_was_not_asked_for_is_refused(server, cache, name):
    server.partial = name
    with pytest.raises(OSError, match=rf"{name}: the server answers 206 to a request for the whole"):
        download("posenet-mobilenet-075")
    assert not list(cache.glob("*.safetensors"))


@pytest.mark.parametrize("name", [MODEL, SHARD])
@pytest.mark.parametrize("headers", [False, True], ids=["content", "headers"])
def test_a_server_that_drips_is_given_up(server, cache, monkeypatch, name, headers):
    monkeypatch.setattr(fetch, "_TIMEOUT", 0.3)
    server.drip[f"{POSENET}/{name}"] = "headers" if headers else "content"
    start = time.monotonic()
    with pytest.raises(OSError, match=r"no download after 4 tries \(\d+ bytes in 0 s, expected 2048 a second\)"):
        download("posenet-mobilenet-075")
    assert time.monotonic() - start < 5
    with locked(cache, patience=0):  # nobody holds it any longer
        pass


def test_a_download_ends_after_its_time(server, cache, monkeypatch):
    monkeypatch.setattr(fetch, "TOTAL", 0.5)
    server.pause[f"{POSENET}/{SHARD}"] = 0.05  # seconds before each 64 KiB: fast enough, but two seconds in all
    start = time.monotonic()
    with pytest.raises(OSError, match=r"no download within 0\.5 s \(.*\); the next call goes on"):
        download("posenet-mobilenet-075")
    assert time.monotonic() - start < 1.5
    server.pause.clear()
    assert download("posenet-mobilenet-075").is_file()
    assert server.asked(SHARD)[-1].startswith("bytes=")


def test_a_manifest_of_more_than_a_disk_holds_is_refused(server, cache):
    path = f"{POSENET}/{MODEL}"
    model = json.loads(server.files[path])
    model["weightsManifest"][0]["weights"][0]["shape"] = [2**31, 2**31]
    server.files[path] = json.dumps(model).encode()
    with pytest.raises(ValueError, match="expected at most 268435456 bytes of weights in 64 files, got "):
        download("posenet-mobilenet-075")
    assert server.asked(SHARD) == []


def test_a_redirection_leads_to_the_web_alone(server, cache):
    server.redirect[f"{POSENET}/{MODEL}"] = "ftp://127.0.0.1:9/model.json"
    with pytest.raises(OSError, match="unknown url type: ftp"):
        download("posenet-mobilenet-075")


@pytest.mark.parametrize("name", ["bodypix-mobilenet-100", "posenet-mobilenet-050-stride8"])
def test_names_without_a_digest_say_what_to_do(name):
    url = r"https://storage\.googleapis\.com/tfjs-models/savedmodel/\w+/mobilenet/quant2/\d+/model-stride16\.json"
    hint = rf"no SHA-256 of \w+-mobilenet-\d+ is known here: fetch {url} and the files it names, and give their folder"
    with pytest.raises(FileNotFoundError, match=hint):
        load_model(name)
    with pytest.raises(ValueError, match=hint):
        download(name)


# --- The lock ---------------------------------------------------------------------------------------------------------

HOLD = (
    "import os, sys, time; from pathlib import Path; from personlab.weights.lock import locked\n"
    "with locked(Path(sys.argv[1]), patience=0):\n"
    "    {inside}\n"
    "    print('held', flush=True); time.sleep(60)"
)


def hold(folder, inside="pass"):
    code = [sys.executable, "-c", HOLD.format(inside=inside), str(folder)]
    process = subprocess.Popen(code, stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "held\n"
    return process


@pytest.mark.parametrize("inside", ["pass", "os.fork() or time.sleep(60)"], ids=["alone", "with a forked child"])
def test_the_lock_ends_with_its_holder(tmp_path, inside):
    process = hold(tmp_path, inside)
    with (
        pytest.raises(OSError, match=r"another process has held this folder for 0\.2 s"),
        locked(tmp_path, patience=0.2),
    ):
        pass
    process.kill()
    process.wait()
    with locked(tmp_path, patience=1):
        pass
    process.stdout.close()


def test_the_lock_holds_threads_off_too(tmp_path):
    with (
        locked(tmp_path, patience=0),
        pytest.raises(OSError, match="another process has held"),
        locked(tmp_path, patience=0.1),
    ):
        pass
    with locked(tmp_path, patience=0):
        pass
