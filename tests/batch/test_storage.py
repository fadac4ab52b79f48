"""Addresses, patterns and files of object stores and the web; pyarrow's file system in memory stands for the first."""

from __future__ import annotations

import http.server
import os
import stat
import threading
from pathlib import Path

import pytest
from pyarrow.fs import LocalFileSystem

from personlab.batch.inputs import find_inputs
from personlab.batch.partition import partition_of
from personlab.batch.storage import Files, Store, as_address


@pytest.fixture
def bucket():
    """Files with an object store of a few objects."""
    files = Files()
    system, _ = files.system("mock://bucket/")
    for name in ("a/1.jpg", "a/2.PNG", "a/x.txt", "a/.h.jpg", "a/b/3.jpg", "t/0.tar", "t/1.tar", "t/c.mp4"):
        path = files.system(f"mock://bucket/{name}")[1]
        system.create_dir(path.rpartition("/")[0])
        with system.open_output_stream(path) as stream:
            stream.write(name.encode() * 1000)
    return files


@pytest.mark.parametrize(
    ("word", "source", "names"),
    [
        ("mock://bucket/a", "mock://bucket/a", ["a/1.jpg", "a/2.PNG"]),
        ("mock://bucket/a/", "mock://bucket/a", ["a/1.jpg", "a/2.PNG"]),
        ("mock://bucket/a/1.jpg", "mock://bucket/a", ["a/1.jpg"]),
        ("mock://bucket/*/*.jpg", "mock://bucket", ["a/1.jpg"]),
        ("mock://bucket/**/*.jpg", "mock://bucket", ["a/1.jpg", "a/b/3.jpg"]),
        ("mock://bucket/a/[2-3].*", "mock://bucket/a", ["a/2.PNG"]),
    ],
)
def test_words_name_objects(bucket, word, source, names):
    inputs = find_inputs([word], bucket)
    assert inputs.problems == []
    assert inputs.images == {source: [f"mock://bucket/{name}" for name in names]}


def test_containers_are_of_their_kinds(bucket):
    inputs = find_inputs(["mock://bucket/t"], bucket)
    assert [(kind, name.rpartition("/")[2]) for kind, name, _ in inputs.containers] == [
        ("tar", "0.tar"), ("tar", "1.tar"), ("video", "c.mp4"),
    ]  # fmt: skip


def test_words_without_inputs_are_problems(bucket, tmp_path):
    (tmp_path / "empty").mkdir()
    words = ["mock://bucket/none", "mock://bucket/z*", str(tmp_path / "no"), str(tmp_path / "empty"), "nix://a/b", "0"]
    inputs = find_inputs([*words, "s3://key:secret@bucket/a", "/dev/null"], bucket)
    assert len(inputs.problems) == 8
    assert not inputs.count
    assert not any("secret" in line or "\n" in line for line in inputs.problems), inputs.problems


def test_objects_are_read_and_sought(bucket):
    assert bucket.read("mock://bucket/a/1.jpg") == b"a/1.jpg" * 1000
    with bucket.open("mock://bucket/a/1.jpg") as file:
        file.seek(6993)
        assert (file.tell(), file.read()) == (6993, b"a/1.jpg")
    with pytest.raises(OSError, match="none"):
        bucket.read("mock://bucket/none")


def test_local_words_are_paths(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("b.jpg", "a.jpg", ".c.jpg", "d.txt"):
        (tmp_path / name).write_bytes(b"x")
    (tmp_path / "e.jpg").mkdir()
    (tmp_path / "f.jpg").symlink_to("nowhere.jpg")  # an image that is missed
    inputs = find_inputs([".", "a.jpg", f"file://{tmp_path}/b.jpg", "*.jpg"], Files())
    assert inputs.images == {str(tmp_path): [str(tmp_path / "a.jpg"), str(tmp_path / "b.jpg"), str(tmp_path / "f.jpg")]}
    assert as_address("a.jpg") == str(tmp_path / "a.jpg")


class _Handler(http.server.BaseHTTPRequestHandler):
    ranges = True
    content = bytes(range(256)) * 40
    failures = 0

    def do_GET(self):
        kind = type(self)
        if kind.failures:
            kind.failures -= 1
            self.send_error(503)
            return
        if self.path != "/f.tar":
            self.send_error(404)
            return
        span = self.headers.get("Range")
        content = kind.content
        if span and kind.ranges:
            first, last = map(int, span.removeprefix("bytes=").split("-"))
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {first}-{last}/{len(content)}")
            content = content[first : last + 1]
        else:
            self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_):
        pass


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setattr("personlab.batch.web._PAUSE", 0.01)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Handler) as one:
        threading.Thread(target=one.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{one.server_port}"
        one.shutdown()


@pytest.mark.parametrize("ranges", [True, False])
def test_files_of_the_web_are_read_and_sought(server, monkeypatch, ranges):
    monkeypatch.setattr(_Handler, "ranges", ranges)
    monkeypatch.setattr(_Handler, "failures", 2)
    with Files().open(f"{server}/f.tar") as file:
        file.seek(-3, 2)
        assert file.read() == bytes([253, 254, 255])
        file.seek(300)
        assert file.read(2) == bytes([44, 45])
    assert Files().read(f"{server}/f.tar") == _Handler.content


def test_missing_files_of_the_web_are_one_line(server):
    with pytest.raises(OSError, match="got the answer 404"):
        Files().read(f"{server}/no.jpg")
    inputs = find_inputs([f"{server}/a/no.jpg?x=1"], Files())
    assert inputs.images == {f"{server}/a": [f"{server}/a/no.jpg?x=1"]}


@pytest.mark.parametrize("remote", [False, True])
def test_a_store_writes_reads_lists_and_deletes(tmp_path, remote):
    store = Store(str(tmp_path / "s"))
    if remote:
        store._system = LocalFileSystem()
    assert list(store.names("a")) == []
    assert not store.exists("a/b")
    store.write("a/b", b"1")
    store.write("a/b", b"2")
    assert (store.read("a/b"), list(store.names("a")), store.exists("a/b")) == (b"2", ["b"], True)
    (tmp_path / "s" / "a" / ".b.0123.part").touch()
    store.clean()
    assert ".b.0123.part" not in store.names("a") or remote
    store.delete("a/b")
    store.delete("a/b")
    assert not store.exists("a/b")


def test_names_are_in_place_once_the_disk_has_the_content(tmp_path, monkeypatch):
    store, steps = Store(str(tmp_path)), []
    replace = Path.replace
    kinds = {True: "folder", False: "file"}
    monkeypatch.setattr(os, "fsync", lambda one: steps.append(kinds[stat.S_ISDIR(os.fstat(one).st_mode)]))
    monkeypatch.setattr(Path, "replace", lambda *paths: (steps.append("rename"), replace(*paths)))
    store.write("a/b", b"1")
    assert steps == ["file", "rename", "folder"]


def test_stores_are_no_addresses_of_the_web():
    with pytest.raises(ValueError, match="expected a folder or an object store"):
        Store("http://host/folder")


def test_partitions_fit_in_file_names():
    assert partition_of("/a b/ü") == "source=%2Fa%20b%2F%C3%BC"
    long = "/" + "ü/" * 300
    assert len(partition_of(long)) <= 255
    assert partition_of(long) != partition_of(long[:-2])
