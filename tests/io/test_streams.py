"""Streams, pipes and standard input: read as they come, bounded in time, and left at once."""

from __future__ import annotations

import contextlib
import io
import os
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from personlab.io import images, media
from personlab.io.background import Background
from personlab.io.pipes import Pipe, PipedFile
from personlab.io.sources import SCHEMES, Source, drawing_names, find_sources
from personlab.io.video import Video

av = pytest.importorskip("av")

from servers import give, give_rtsp, serve, serve_folder, silence  # noqa: E402  # beside those that import PyAV
from videos import moving_disc, write_video  # noqa: E402

pytestmark = pytest.mark.skipif(os.name != "posix", reason="pipes and servers as POSIX has them")


@pytest.fixture(scope="module")
def transport_stream(tmp_path_factory):
    path = write_video(tmp_path_factory.mktemp("ts") / "v.ts", moving_disc(), "libx264", rate=25)
    return path.read_bytes()


def source_of(text):
    (source,), problems = find_sources([text])
    assert problems == []
    return source


def read(text):
    video = Video(source_of(text))
    return video, list(video)


def test_rtsp_is_read_to_its_end(transport_stream):
    with serve(give_rtsp(transport_stream)) as port:
        video, frames = read(f"rtsp://user:secret@127.0.0.1:{port}/street/cam-1")
        assert video.is_live
        assert len(frames) >= 38  # the end of a stream may be lost
        assert [frame.time for frame in frames] == pytest.approx(np.arange(len(frames)) / 25, abs=0.02)
        assert (video.missing, video.problem) == (0, "")


def test_http_gives_a_file_that_ends(tmp_path):
    write_video(tmp_path / "a clip.mkv", moving_disc(), "libx264")
    with serve_folder(tmp_path) as port:
        video, frames = read(f"http://127.0.0.1:{port}/a%20clip.mkv")
        assert (len(frames), video.is_live, video.problem) == (40, False, "")
        assert video.end == pytest.approx(2.0, abs=0.01)
        for address, line in (("none.mkv", "404"), ("", "another kind of file")):
            with pytest.raises(ValueError, match=line) as caught:
                Video(source_of(f"http://127.0.0.1:{port}/{address}"))
            assert "\n" not in str(caught.value)


def test_a_stream_that_falls_silent_ends_with_a_reason(transport_stream, monkeypatch):
    monkeypatch.setattr(media, "TIMEOUT", 0.7)
    for server, scheme in ((give, "tcp"), (give_rtsp, "rtsp")):
        start = time.monotonic()
        with serve(server(transport_stream, stalls=True)) as port:
            video, frames = read(f"{scheme}://127.0.0.1:{port}/x")
            assert len(frames) > 30
            assert video.problem
            assert time.monotonic() - start < 10


@pytest.mark.parametrize("scheme", ["http", "rtsp", "tcp", "rtmp"])
def test_a_server_that_does_not_answer_is_one_line_after_a_while(scheme, monkeypatch):
    monkeypatch.setattr(media, "TIMEOUT", 0.7)
    with serve(silence) as port:
        start = time.monotonic()
        with pytest.raises(ValueError, match=r"expected a video, got ") as caught:
            Video(source_of(f"{scheme}://me:secret@127.0.0.1:{port}/x"))
        assert time.monotonic() - start < 8
    assert "secret" not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_no_server_and_no_host_are_one_line():
    for address in (
        "http://127.0.0.1:9/x.mp4",
        "rtsp://127.0.0.1:9/x",
        "tcp://127.0.0.1:9",
        "http://no.such.host.invalid/x",
    ):
        with pytest.raises(ValueError, match=r"expected a video, got ") as caught:
            Video(source_of(address))
        assert "\n" not in str(caught.value)


def test_waiting_for_a_stream_can_be_ended_from_another_thread(transport_stream):
    with serve(give(transport_stream, stalls=True)) as port:
        video = Video(source_of(f"tcp://127.0.0.1:{port}"))
        frames = iter(video)
        for _ in range(20):
            next(frames)
        threading.Timer(0.3, video.stop).start()
        start = time.monotonic()
        assert len(list(frames)) <= 20
        assert time.monotonic() - start < 3


def test_addresses_are_sources_without_their_passwords():
    source = source_of("RTSP://me:pa@ss/word@host:554/street/cam.sdp?x=1")
    assert source.kind == "stream"
    source = source_of("rtsp://me:secret@host:554/street/cam.sdp?x=1")
    assert source == Source(
        "rtsp://me:***@host:554/street/cam.sdp?x=1", "stream", "rtsp://me:secret@host:554/street/cam.sdp?x=1"
    )
    assert source_of("http://host/a").name == "http://host/a"
    for scheme in SCHEMES:
        assert source_of(f"{scheme}://host/a").kind == "stream"
    assert find_sources(["ftp://host/a.mp4"])[0] == []
    assert find_sources(["concat:a|b"]) == ([], ["concat:a|b: no such file"])
    names = [
        "rtsp://h/street/cam.sdp?x=1",
        "http://h:80/",
        "http://h/%2e%2e/b%2fc.mp4",
        "udp://239.0.0.1:5000",
        "http://h/.x",
    ]
    assert drawing_names([Source(name, "stream", name) for name in names]) == [
        "cam.mp4", "h.mp4", "c.mp4", "239.0.0.1.mp4", "x.mp4"
    ]  # fmt: skip


def test_a_local_address_is_a_file(tmp_path):
    path = write_video(tmp_path / "a clip.mp4", moving_disc(3), "libx264")
    assert source_of(path.as_uri()) == Source(str(path), "video")


@contextlib.contextmanager
def standard_input(monkeypatch, content, *, is_file=False, tmp_path=None, closes=True):
    """Stand in for standard input with a pipe or a file that holds these bytes."""
    if is_file:
        (tmp_path / "stdin").write_bytes(content)
        with (tmp_path / "stdin").open() as file:
            monkeypatch.setattr("sys.stdin", file)
            yield
        return
    reading, writing = os.pipe()

    def write():
        with contextlib.suppress(OSError):
            os.set_blocking(writing, True)
            rest = content
            while rest:
                rest = rest[os.write(writing, rest[:4096]) :]
        if closes:
            os.close(writing)

    thread = threading.Thread(target=write)
    thread.start()
    with os.fdopen(reading) as file:
        monkeypatch.setattr("sys.stdin", file)
        yield
    thread.join()
    if not closes:
        os.close(writing)


@pytest.mark.parametrize("is_file", [True, False])
@pytest.mark.parametrize(
    ("ending", "codec"), [("mkv", "libx264"), ("ts", "mpeg2video"), ("gif", "gif"), ("avi", "mjpeg")]
)
def test_a_video_on_standard_input(tmp_path, monkeypatch, is_file, ending, codec):
    content = write_video(tmp_path / f"v.{ending}", moving_disc(), codec, rate=25).read_bytes()
    with standard_input(monkeypatch, content, is_file=is_file, tmp_path=tmp_path):
        source = source_of("-")
        assert (source.name, source.kind) == ("-", "stream")
        video = Video(source)
        frames = list(video)
    assert (len(frames), video.problem) == (40, "")
    assert drawing_names([source]) == ["stdin.mp4"]


@pytest.mark.parametrize("is_file", [True, False])
def test_an_mp4_file_on_standard_input_may_have_its_table_at_the_end(tmp_path, monkeypatch, is_file):
    content = write_video(tmp_path / "v.mp4", moving_disc(40, (160, 240)), "libx264", rate=25).read_bytes()
    assert len(content) > 1 << 16
    assert content.index(b"mdat") < content.index(b"moov")
    with standard_input(monkeypatch, content, is_file=is_file, tmp_path=tmp_path):
        assert len(list(Video(source_of("-")))) == 40


@pytest.mark.parametrize("is_file", [True, False])
def test_an_image_on_standard_input(tmp_path, monkeypatch, is_file):
    rng = np.random.default_rng(0)
    image = rng.integers(0, 255, (300, 400, 3), np.uint8)  # more than is peeked at
    images.write_image(tmp_path / "a.png", image)
    with standard_input(monkeypatch, (tmp_path / "a.png").read_bytes(), is_file=is_file, tmp_path=tmp_path):
        source = source_of("-")
        assert (source.kind, drawing_names([source])) == ("image", ["stdin.png"])
        readable = source.readable()
    assert str(readable) == "-"
    assert np.array_equal(images.read_image(readable), image)


def test_standard_input_of_a_stream_is_read_as_it_comes(transport_stream, monkeypatch):
    """The first frames are there before the end is."""
    with standard_input(monkeypatch, transport_stream * 4, closes=False):
        video = Video(source_of("-"))
        frames = iter(video)
        assert next(frames).image.shape == (80, 112, 3)
        threading.Timer(0.3, video.stop).start()
        start = time.monotonic()
        assert sum(1 for _ in frames) <= 160
        assert time.monotonic() - start < 5


def test_what_standard_input_lacks_is_one_line(tmp_path, monkeypatch):
    monkeypatch.setattr("sys.stdin", io.StringIO("text"))
    assert "-: standard input cannot be read" in find_sources(["-"])[1][0]
    with standard_input(monkeypatch, b""):
        assert find_sources(["-"]) == ([], ["-: expected an image or a video on standard input, got nothing"])
    with standard_input(monkeypatch, b"plain text " * 50):
        source = source_of("-")
        with pytest.raises(ValueError, match="-: expected a video, got another kind of file"):
            Video(source)
    (tmp_path / "-").write_bytes(b"")
    monkeypatch.chdir(tmp_path)
    assert find_sources(["-"])[0] == [Source("-", "image")]  # a file has that name


def test_pipes_give_what_they_hold_and_stop(tmp_path):
    reading, writing = os.pipe()
    pipe = Pipe(reading, "pipe")
    os.write(writing, b"abcdef")
    threading.Timer(0.2, os.close, args=(writing,)).start()
    assert pipe.peek() == b"abcdef"
    assert pipe.read(4) == b"abcd"
    assert pipe.read(4) == b"ef"
    assert pipe.read(4) == b""
    assert not pipe.seekable()
    os.close(reading)
    reading, writing = os.pipe()
    pipe = Pipe(reading, "pipe")
    threading.Timer(0.2, pipe.stop).start()
    assert pipe.read(4) == b""
    os.close(writing)
    os.close(reading)
    (tmp_path / "a").write_bytes(b"0123456789")
    with (tmp_path / "a").open("rb") as file:
        pipe = Pipe(file.fileno(), "a")
        assert pipe.seekable()
        assert pipe.read(2) == b"01"
        assert pipe.peek() == b"23456789"
        assert (pipe.seek(5), pipe.tell(), pipe.read(9)) == (5, 5, b"56789")
        pipe.seek(0)
        assert Path(PipedFile(pipe, 4)).stat().st_size == 10  # at least the limit: the reader says that it is too much


def test_a_background_gives_items_and_errors_in_order_and_stays_bounded():
    made = []

    def items():
        for number in range(5):
            made.append(number)
            yield number
        raise KeyError("broken")

    background = Background(items())
    time.sleep(0.3)
    assert len(made) <= 4  # it does not run ahead of its reader
    assert [next(background) for _ in range(5)] == list(range(5))
    with pytest.raises(KeyError, match="broken"):
        next(background)
    assert list(background) == []
    ended = threading.Event()

    def endless():
        try:
            while True:
                yield 0
        finally:
            ended.set()

    background = Background(endless())
    next(background)
    background.stop()
    assert list(background) == []
    assert ended.wait(5)
