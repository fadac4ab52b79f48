"""Videos of every kind are read past damage, at the times, in the colours and the right way up as the file says."""

from __future__ import annotations

import contextlib
import math
import os
import socket
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

from personlab.io import camera, image_header, media
from personlab.io.containers import has_table_at_end, is_avi, is_cut_short
from personlab.io.reader import Reader
from personlab.io.sources import VIDEOS, Source, find_sources
from personlab.io.timeline import Timeline
from personlab.io.video import Video

av = pytest.importorskip("av")

from videos import moving_disc, opened, packets_of, read, write_video  # noqa: E402  # imports PyAV

KINDS = [
    ("mp4", "libx264"), ("mov", "mpeg4"), ("3gp", "mpeg4"), ("avi", "mjpeg"), ("mkv", "libx264"), ("flv", "flv"),
    ("wmv", "wmv2"), ("ts", "libx264"), ("mts", "libx264"), ("mpg", "mpeg1video"), ("webm", "libvpx"),
    ("webm", "libvpx-vp9"), ("mxf", "mpeg2video"), ("nut", "ffv1"), ("ivf", "libvpx"), ("gif", "gif"),
    ("h264", "libx264"), ("m2v", "mpeg2video"), ("rm", "rv10"), ("wtv", "mpeg2video"),
]  # fmt: skip
TIMED = ("mp4", "mov", "3gp", "avi", "mkv", "flv", "wmv", "webm", "nut", "gif", "mts")  # formats of any frame rate
WHOLE = ("ts", "mts", "mpg", "mxf", "ivf", "h264", "m2v", "nut", "rm", "wtv")  # formats that do not say where they end


@pytest.mark.parametrize(("ending", "codec"), KINDS)
def test_videos_of_every_kind_are_read_at_their_times(tmp_path, ending, codec):
    rate = 20 if ending in TIMED else 25
    path = write_video(tmp_path / f"v.{ending}", moving_disc(), codec, rate=rate)
    assert f".{ending}" in VIDEOS
    assert find_sources([str(path)])[0] == [Source(str(path), "video")]
    nameless = path.rename(tmp_path / f"{ending}: clip")  # by how it begins; FFmpeg would take this for an address
    assert find_sources([str(nameless)])[0] == [Source(str(nameless), "video")]
    video, images, times = read(nameless)
    assert (len(images), video.missing, video.damaged, video.problem) == (40, 0, 0, "")
    assert times == pytest.approx(np.arange(40) / rate, abs=0.011)
    assert video.end == pytest.approx(40 / rate, abs=0.011)
    for i in (0, 20, 39):  # the frame itself, not another one
        red = images[i][40, :, 0].astype(int) - images[i][40, :, 1]
        assert abs(np.flatnonzero(red > 100).mean() - (10 + 2 * i)) < 1 or i == 39
    assert images[0].shape == (80, 112, 3)


@pytest.mark.parametrize(("ending", "codec"), [kind for kind in KINDS if kind[0] not in WHOLE])
def test_a_video_that_was_cut_is_read_and_said_to_lack_its_end(tmp_path, ending, codec):
    path = write_video(tmp_path / f"v.{ending}", moving_disc(), codec)
    assert not is_cut_short(path)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) * 3 // 5])
    assert is_cut_short(path)
    if has_table_at_end(path.read_bytes()):
        with pytest.raises(ValueError, match=r"expected a video, got a damaged one"):
            opened(path)
        return
    video, images, _ = read(path)
    assert 5 < len(images) < 39
    assert video.missing == 40 - len(images) if video.counts_frames else video.missing >= 1


def test_a_cut_mp4_file_whose_table_stands_first_lacks_its_end(tmp_path):
    path = write_video(tmp_path / "v.mp4", moving_disc(), "libx264")
    moved = tmp_path / "moved.mp4"
    with av.open(str(path)) as source, av.open(str(moved), "w", options={"movflags": "faststart"}) as target:
        stream = target.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(video=0):
            if packet.dts is not None:
                packet.stream = stream
                target.mux(packet)
    cut = packets_of(moved)[25][0] + 5
    moved.write_bytes(moved.read_bytes()[:cut])
    video, images, _ = read(moved)
    assert (len(images) in (25, 26), video.missing) == (True, 40 - len(images))
    assert video.counts_frames


@pytest.mark.parametrize("ending", ["mkv", "ts", "mp4"])
def test_frames_that_are_decoded_in_part_are_counted(tmp_path, ending):
    path = write_video(tmp_path / f"v.{ending}", moving_disc(40, (160, 224)), "libx264", rate=25, keys=40)
    content = bytearray(path.read_bytes())
    position, size = max(packets_of(path)[5:30], key=lambda packet: packet[1])
    start = position + min(400, size // 2)
    content[start : start + 40] = bytes(255 - byte for byte in content[start : start + 40])
    path.write_bytes(content)
    video, images, _ = read(path)
    assert video.damaged + video.missing > 0
    assert len(images) + video.missing == 40


def test_a_frame_that_cannot_be_read_does_not_end_a_video(data):
    for name, count, missing, damaged in (("v.mp4", 55, 5, 0), ("cut.avi", 16, 14, 1)):
        video, images, times = read(data / "faults" / "22-damaged-video" / name)
        assert (len(images), video.missing, video.damaged) == (count, missing, damaged)
        assert (video.counts_frames, video.count) == (True, count + missing)
        assert times == sorted(set(times))


@pytest.mark.parametrize("name", ["v.webm", "v.mkv", "recorder.webm"])
def test_a_variable_frame_rate_keeps_its_time(data, name):
    video, images, times = read(data / "faults" / "23-variable-frame-rate" / name)
    assert (len(images), video.missing) == (20, 0)
    steps = np.diff(times)
    assert min(steps) == pytest.approx(0.033, abs=0.002)
    assert max(steps) == pytest.approx(0.5, abs=0.002)
    assert video.end == pytest.approx(5.337, abs=0.001)


@pytest.mark.parametrize("ending", ["mp4", "mkv", "avi"])
def test_times_do_not_depend_on_a_rate(tmp_path, ending):
    times = [0.0, 0.04, 0.08, 0.48, 0.52, 1.52, 1.56] if ending == "avi" else [0.0, 0.01, 0.35, 0.36, 0.9, 1.0, 3.0]
    codec = "mpeg4" if ending == "avi" else "libx264"
    path = write_video(tmp_path / f"v.{ending}", moving_disc(7), codec, rate=25, times=times)
    video, _, own = read(path)
    assert own == pytest.approx(times, abs=0.002)
    assert video.missing == 0


def test_audio_covers_and_data_are_left_out(tmp_path):
    """The video stands after an audio stream and after a cover image, which is a video stream, too."""
    path = tmp_path / "v.mp4"
    with av.open(str(path), "w") as file:
        sound = file.add_stream("aac", rate=8000)
        cover = file.add_stream("png", rate=1)
        cover.width, cover.height, cover.pix_fmt = 64, 64, "rgb24"
        cover.disposition = av.stream.Disposition.attached_pic
        stream = file.add_stream("mpeg4", rate=20)
        stream.width, stream.height, stream.pix_fmt = 112, 80, "yuv420p"
        file.mux(cover.encode(av.VideoFrame.from_ndarray(np.zeros((64, 64, 3), np.uint8), format="rgb24")))
        for i, image in enumerate(moving_disc(10)):
            noise = av.AudioFrame.from_ndarray(np.full((1, 400), i / 10, np.float32), format="fltp", layout="mono")
            noise.sample_rate = 8000
            file.mux(sound.encode(noise))
            file.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        for one in (sound, cover, stream):
            file.mux(one.encode(None))
    with av.open(str(path)) as file:
        assert [one.type for one in file.streams].count("video") == 2
    video, images, times = read(path)
    assert (len(images), images[0].shape, video.missing) == (10, (80, 112, 3), 0)
    assert times[-1] == pytest.approx(0.45, abs=0.002)
    only = tmp_path / "sound.mp4"
    with av.open(str(only), "w") as file:
        sound = file.add_stream("aac", rate=8000)
        noise = av.AudioFrame.from_ndarray(np.zeros((1, 4000), np.float32), format="fltp", layout="mono")
        noise.sample_rate = 8000
        file.mux(sound.encode(noise))
        file.mux(sound.encode(None))
    with pytest.raises(ValueError, match=r"sound\.mp4: expected a video, got a file without one"):
        opened(only)


def test_a_cut_gif_lacks_its_end(tmp_path):
    path = write_video(tmp_path / "a.gif", moving_disc(6), "gif", rate=10)
    whole, images, _ = read(path)
    assert (len(images), whole.missing) == (6, 0)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    cut, images, _ = read(path)
    assert 0 < len(images) < 6
    assert cut.missing > 0


def test_what_is_no_video_is_named(tmp_path, capfd, monkeypatch):
    (tmp_path / "a.mp4").write_bytes(b"no video")
    with pytest.raises(ValueError, match=r"a\.mp4: expected a video, got another kind of file"):
        opened(tmp_path / "a.mp4")
    with pytest.raises(ValueError, match="77: expected a camera of this number, got none"):
        Video(Source("77", "camera"))
    with pytest.raises(FileNotFoundError):
        opened(tmp_path / "none.mp4")
    assert capfd.readouterr().err == ""
    for module, source, line in (
        ("av", Source("a.mp4", "video"), media.INSTALL),
        ("cv2", Source("0", "camera"), "OpenCV"),
    ):
        with monkeypatch.context() as patch:
            patch.setitem(sys.modules, module, None)
            with pytest.raises(ValueError, match=line.replace("[", r"\[")) as caught:
                Video(source)
            assert "\n" not in str(caught.value)


def test_frames_of_too_many_pixels_are_refused(tmp_path, monkeypatch):
    path = write_video(tmp_path / "v.mp4", moving_disc(5), "libx264")
    monkeypatch.setattr(image_header, "MAX_PIXELS", 80 * 112 - 1)
    video, images, _ = read(path)
    assert (images, video.missing) == ([], 5)
    monkeypatch.setattr(image_header, "MAX_PIXELS", 80 * 112)
    monkeypatch.setattr(media, "MAX_PIXELS", 80 * 100)  # the decoder's own limit, before it allocates
    assert read(path)[1] == []


def test_a_playlist_opens_no_address(tmp_path):
    """A file from a stranger may name others: an address in it is not asked."""
    asked = threading.Event()

    def wait():
        with contextlib.suppress(OSError):
            server.accept()[0].close()
            asked.set()

    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(5)
        thread = threading.Thread(target=wait)
        thread.start()
        port = server.getsockname()[1]
        (tmp_path / "v.mp4").write_text(f"#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\nhttp://127.0.0.1:{port}/a.ts\n")
        with pytest.raises(ValueError, match="expected a video"):
            list(opened(tmp_path / "v.mp4"))
        assert not asked.is_set()
        socket.create_connection(("127.0.0.1", port)).close()
        thread.join()


class Capture:
    """Stands in for cv2.VideoCapture: three frames, blue at the left."""

    def __init__(self, _):
        self._left = 3

    def isOpened(self):  # OpenCV's name
        return True

    def read(self):
        self._left -= 1
        frame = np.zeros((4, 6, 3), np.uint8)
        frame[:, 0, 0] = 255
        return self._left >= 0, frame

    def get(self, _):
        return 0.0

    def release(self):
        pass


def test_a_camera_gives_frames_by_the_clock(monkeypatch):
    cv2 = pytest.importorskip("cv2")
    monkeypatch.setattr(cv2, "VideoCapture", Capture)
    clock = iter([0.0, 10.0, 10.05, 10.05])
    monkeypatch.setattr(camera.time, "monotonic", lambda: next(clock))
    video = Video(Source("0", "camera"))
    frames = list(video)
    assert [frame.time for frame in frames] == pytest.approx([0, 0.05, 0.05], abs=1e-5)
    assert frames[2].time > frames[1].time
    assert frames[0].image[0, 0].tolist() == [0, 0, 255]
    assert (video.is_live, video.rate, video.count, video.missing, video.end) == (True, 25.0, None, 0, None)


@pytest.mark.parametrize(
    ("stamps", "times"),
    [
        ([0, 0.04, 0.12], [0, 0.04, 0.12]),
        ([5, 5.04, 5.08], [0, 0.04, 0.08]),  # a stream that does not begin at 0
        ([-0.5, 0, 0.04], [0, 0.5, 0.54]),
        ([0, 0.04, 0.04, math.nan, 0.16], [0, 0.04, 0.08, 0.12, 0.16]),
        ([0, 0.04, 9e9, 0.12], [0, 0.04, 0.08, 0.12]),  # a damaged time stamp
        ([0, 0.04, -50, 0.12], [0, 0.04, 0.08, 0.12]),
        ([0, 0, 0], [0, 0.04, 0.08]),
        ([None, None, 0.2], [0, 0.04, 0.2]),
        ([50, 50.1, 3, 3.3, 3.4], [0, 0.1, 0.14, 0.44, 0.54]),  # another recording follows
        ([0, 0.5, 100, 100.5], [0, 0.5, 0.54, 1.04]),
        ([0, 0.1, 0.05, 0.2], [0, 0.1, 0.14, 0.2]),  # frames in the wrong order
    ],
)
def test_times_increase_from_0_whatever_the_file_says(stamps, times):
    line = Timeline(25.0, 10.0)
    assert [line.add(stamp) for stamp in stamps] == pytest.approx(times)


def test_frames_that_an_edit_list_leaves_out_are_not_missing(tmp_path):
    """The header of an MP4 file counts them, too: a cut without encoding again keeps the frames before its start."""
    path = write_video(tmp_path / "v.mp4", moving_disc(40), "libx264", keys=40)
    content = path.read_bytes()
    place = content.index(b"elst")
    # version and flags, entries, then for each: duration, media time, rate
    duration, start = (int.from_bytes(content[place + at : place + at + 4], "big") for at in (12, 16))
    with av.open(str(path)) as file:
        base = file.streams.video[0].time_base.denominator
    changed = bytearray(content)
    changed[place + 12 : place + 16] = (duration * 3 // 4).to_bytes(4, "big")
    changed[place + 16 : place + 20] = (start + base // 2).to_bytes(4, "big")  # half a second: ten frames
    path.write_bytes(changed)
    video, images, times = read(path)
    assert len(images) == 30
    assert video.missing == 0
    assert times[0] == 0
    assert video.end == pytest.approx(1.5)


@pytest.mark.parametrize(
    ("content", "cut"),
    [
        (b"", False),
        (b"\0\0\0\x10ftypisom\0\0\0\0", False),
        (b"\0\0\0\x10ftypisom\0\0\0\0\0\0\0\x20mdat", True),
        (b"\0\0\0\x10ftypisom\0\0\0\0\0\0\0\1mdat\0\0\0\0\0\0\0\x12ab", False),
        (b"\0\0\0\x10ftypisom\0\0\0\0\0\0\0\0mdat12", False),  # up to the end of the file
        (b"RIFF\x04\0\0\0AVI ", False),
        (b"RIFF\x05\0\0\0AVI ", True),
        (b"RIFF\0\0\0\0AVI 123", False),  # never finished, so that the length is unknown
        (b"\x1aE\xdf\xa3\x81a\x18S\x80g\x82ab", False),
        (b"\x1aE\xdf\xa3\x81a\x18S\x80g\x83ab", True),
        (b"\x1aE\xdf\xa3\x81a\x18S\x80g\xffab", False),  # a live recording
        (b"FLV\1\5\0\0\0\x09\0\0\0\0\x09\0\0\1\0\0\0\0\0\0\0z\0\0\0\x0c", False),
        (b"FLV\1\5\0\0\0\x09\0\0\0\0\x09\0\0\1\0\0\0\0\0\0\0z\0\0", True),
        (b"GIF89a\2\0\1\0\0\0\0;", False),
        (b"GIF89a\2\0\1\0\0\0\0", True),
        (b"GIF89a\2\0\1\0\x80\0\0;;;;;;!\xfe\2;;\0,\0\0\0\0\2\0\1\0\x80;;;;;;\2\1;\0;more", False),
        (b"GIF89a\2\0\1\0\x80\0\0;;;;;;!\xfe\2;;\0,\0\0\0\0\2\0\1\0\x80;;;;;;\2\3;\0;", True),
    ],
)
def test_the_outer_structure_tells_whether_a_file_was_cut(tmp_path, content, cut):
    (tmp_path / "v").write_bytes(content)
    assert is_cut_short(tmp_path / "v") is cut
    assert is_avi(tmp_path / "v") is (content[8:12] == b"AVI ")


@pytest.mark.parametrize(
    ("duration", "lasts", "end"),
    [(0.2, None, 0.2), (0.2, 0.04, 0.2), (0.1, 0.04, 0.12), (60.0, 0.04, 60.0), (70.0, 0.04, 0.12), (70.0, None, None)],
)
def test_the_last_frame_stays_as_long_as_a_header_can_be_believed(tmp_path, duration, lasts, end):
    path = write_video(tmp_path / "v.mkv", moving_disc(3), "mpeg4", rate=25)
    reader = Reader(Source(str(path), "video"))
    assert len(list(reader)) == 3
    reader.duration, reader._last_lasts = duration, lasts
    assert reader.end == (None if end is None else pytest.approx(end))


@pytest.mark.parametrize(
    "kind", [("mp4", "libx264"), ("avi", "mjpeg"), ("mkv", "libx264"), ("ts", "mpeg2video"), ("gif", "gif")]
)
def test_damaged_bytes_anywhere_neither_crash_nor_hang(tmp_path, kind):
    """Cuts, flipped bytes and holes: frames or one error; what is read of a file never exceeds what it holds."""
    ending, codec = kind
    whole = write_video(tmp_path / f"v.{ending}", moving_disc(12), codec, rate=25).read_bytes()
    rng = np.random.default_rng(len(ending) + len(codec))
    path = tmp_path / f"damaged.{ending}"
    for case in range(24):
        content = bytearray(whole)
        if case % 3 == 0:
            del content[int(rng.integers(len(content))) :]
        elif case % 3 == 1:
            for place in rng.integers(len(content), size=1 + case):
                content[place] ^= int(rng.integers(1, 256))
        else:
            start, length = int(rng.integers(len(content))), int(rng.integers(1, len(content) // 3))
            del content[start : start + length]
        path.write_bytes(content)
        try:
            video, images, times = read(path)
        except ValueError as error:
            assert str(error).startswith(str(path))  # noqa: PT017
            continue
        assert len(images) <= 13
        assert times == sorted(set(times))
        assert video.missing >= 0
        assert all(image.dtype == np.uint8 and image.ndim == 3 for image in images)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="pipes with names are POSIX's")
def test_a_video_may_come_by_a_named_pipe(tmp_path):
    content = write_video(tmp_path / "v.ts", moving_disc(), "libx264", rate=25).read_bytes()
    pipe = tmp_path / "pipe.ts"
    os.mkfifo(pipe)
    thread = threading.Timer(0.3, Path(pipe).write_bytes, args=(content,))  # opened before there is a writer
    thread.start()
    video, images, _ = read(pipe)
    thread.join()
    assert (len(images), video.missing) == (40, 0)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="pipes with names are POSIX's")
def test_a_pipe_that_nothing_writes_to_can_be_left(tmp_path):
    os.mkfifo(tmp_path / "pipe.mkv")
    source = Source(str(tmp_path / "pipe.mkv"), "video")
    keeper = os.open(source.name, os.O_RDWR)
    content = write_video(tmp_path / "v.mkv", moving_disc(), "libx264").read_bytes()
    os.write(keeper, content[: len(content) * 2 // 3])
    video = Video(source)
    frames = iter(video)
    next(frames)
    threading.Timer(0.3, video.stop).start()
    assert len(list(frames)) < 40
    os.close(keeper)
