"""Drawn videos play in browsers, keep the times of their frames, and are written whole or not at all."""

from __future__ import annotations

import errno
import json
import resource
import shutil
import subprocess
from fractions import Fraction

import numpy as np
import pytest

from personlab.io import video_writer
from personlab.io.sources import Source
from personlab.io.video import Video
from personlab.io.video_writer import VideoWriter

av = pytest.importorskip("av")

from videos import moving_disc, write_video  # noqa: E402  # imports PyAV

BLACK = np.zeros((32, 48, 3), np.uint8)


def read(path):
    """The times of the frames, their mean grey levels, and the end."""
    video = Video(Source(str(path), "video"))
    frames = list(video)
    return [frame.time for frame in frames], [round(float(frame.image.mean())) for frame in frames], video.end


def redraw(source, target):
    video = Video(Source(str(source), "video"))
    writer = VideoWriter(target, video.rate, video.pixel_aspect)
    for frame in video:
        writer.write(frame.image, frame.time)
    writer.close(video.end)
    return target


def probe(path):
    """What ffprobe says of the first video stream."""
    command = [
        "ffprobe",
        "-v",
        "error",
        "-select_streams",
        "v:0",
        "-show_streams",
        "-count_frames",
        "-of",
        "json",
        path,
    ]
    return json.loads(subprocess.run(command, capture_output=True, check=True).stdout)["streams"][0]


needs_ffprobe = pytest.mark.skipif(shutil.which("ffprobe") is None, reason="ffprobe is not installed")


@needs_ffprobe
@pytest.mark.parametrize("name", ["v.webm", "v.mkv", "recorder.webm"])
def test_ffprobe_sees_what_browsers_play_and_the_same_duration(data, tmp_path, name):
    source = data / "faults" / "23-variable-frame-rate" / name
    stream = probe(redraw(source, tmp_path / "o.mp4"))
    assert (stream["codec_name"], stream["pix_fmt"], stream["nb_read_frames"]) == ("h264", "yuv420p", "20")
    assert (stream["color_space"], stream["color_range"]) == ("bt709", "tv")
    assert float(stream["duration"]) == pytest.approx(5.337, abs=0.001)
    assert float(stream["start_time"]) == 0
    content = (tmp_path / "o.mp4").read_bytes()
    assert content.index(b"moov") < content.index(b"mdat")  # it plays while it loads


@needs_ffprobe
def test_a_display_matrix_and_pixels_that_are_no_squares_are_kept(tmp_path):
    image = np.zeros((48, 64, 3), np.uint8)
    image[:24] = 200
    turned = redraw(write_video(tmp_path / "v.mp4", [image] * 3, "libx264", rotation=(90,)), tmp_path / "t.mp4")
    stream = probe(turned)
    assert (stream["width"], stream["height"]) == (48, 64)
    assert not stream.get("side_data_list")  # it is turned already
    writer = VideoWriter(tmp_path / "a.mp4", 10, Fraction(16, 11))
    writer.write(BLACK)
    writer.close()
    assert probe(tmp_path / "a.mp4")["sample_aspect_ratio"] == "16:11"


def test_frames_appear_at_their_times_and_last_until_the_next(tmp_path):
    writer = VideoWriter(tmp_path / "a.mp4", 10)
    times = [0.0, 0.1, 0.5, 0.52, 1.0]
    for value, time in zip((0, 40, 80, 120, 160), times, strict=True):
        writer.write(np.full((32, 48, 3), value, np.uint8), time)
    assert writer.close(1.3) == tmp_path / "a.mp4"
    own, levels, end = read(tmp_path / "a.mp4")
    assert own == pytest.approx(times, abs=1e-4)
    assert levels == pytest.approx([0, 40, 80, 120, 160], abs=2)
    assert end == pytest.approx(1.3)


def test_frames_without_times_follow_at_the_rate(tmp_path):
    writer = VideoWriter(tmp_path / "a.mp4", 12.5)
    for _ in range(5):
        writer.write(BLACK)
    writer.close()
    own, _, end = read(tmp_path / "a.mp4")
    assert own == pytest.approx(np.arange(5) / 12.5)
    assert end == pytest.approx(0.4)


def test_times_that_do_not_increase_and_an_end_before_the_last_frame_are_mended(tmp_path):
    writer = VideoWriter(tmp_path / "a.mp4", 10)
    for time in (0.0, 0.3, 0.3, 0.2, 0.6):
        writer.write(BLACK, time)
    writer.close(0.1)
    own, _, end = read(tmp_path / "a.mp4")
    assert own == pytest.approx([0, 0.3, 0.3, 0.3, 0.6], abs=1e-3)
    assert own == sorted(set(own))
    assert end == pytest.approx(0.6, abs=1e-3)


def test_many_frames_a_second_and_long_steps_are_kept(tmp_path):
    writer = VideoWriter(tmp_path / "a.mp4", 1000)
    times = [*(np.arange(200) / 240), 10.0, 600.0]
    for time in times:
        writer.write(BLACK, float(time))
    writer.close(601.0)
    own, _, end = read(tmp_path / "a.mp4")
    assert len(own) == 202
    assert own[:200] == pytest.approx(times[:200], abs=1e-4)
    assert (own[-1], end) == (pytest.approx(600), pytest.approx(601))


@pytest.mark.parametrize(
    ("size", "written"),
    [((97, 129), (96, 128)), ((1, 1), (2, 2)), ((1, 37), (2, 36)), ((3, 2), (2, 2)), ((16, 4000), (16, 4000))],
)
def test_an_odd_row_or_column_is_cut_off_and_nothing_is_scaled(tmp_path, size, written):
    y, x = np.mgrid[: size[0], : size[1]]
    image = np.repeat((40 + 8 * (x // 8 % 16) + 2 * (y // 8 % 16)).astype(np.uint8)[..., None], 3, 2)
    writer = VideoWriter(tmp_path / "a.mp4", 10)
    for _ in range(3):
        writer.write(image)
    writer.close()
    got = [frame.image for frame in Video(Source(str(tmp_path / "a.mp4"), "video"))][2]
    assert got.shape == (*written, 3)
    least = tuple(min(a, b) for a, b in zip(size, written, strict=True))
    assert np.abs(got[: least[0], : least[1]].astype(int) - image[: least[0], : least[1]]).mean() < 3


def test_colours_are_those_of_the_frames(tmp_path):
    colours = [(255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255), (0, 0, 0), (128, 128, 128), (200, 30, 90)]
    image = np.repeat(np.repeat(np.array([colours], np.uint8), 32, 1), 32, 0)
    writer = VideoWriter(tmp_path / "a.mp4", 10)
    for _ in range(3):
        writer.write(image)
    writer.close()
    got = [frame.image for frame in Video(Source(str(tmp_path / "a.mp4"), "video"))][2]
    assert np.abs(got[16, 16::32].astype(int) - colours).max() <= 6


def test_frames_of_another_size_are_resized_to_the_first_ones(tmp_path):
    writer = VideoWriter(tmp_path / "a.mp4", 10)
    for size in ((32, 48), (64, 96), (21, 35)):
        writer.write(np.full((*size, 3), 90, np.uint8))
    writer.close()
    shapes = [frame.image.shape for frame in Video(Source(str(tmp_path / "a.mp4"), "video"))]
    assert shapes == [(32, 48, 3)] * 3
    assert read(tmp_path / "a.mp4")[1] == pytest.approx([90] * 3, abs=2)


@pytest.mark.parametrize("codec", ["libvpx-vp9", "mpeg4"])
def test_without_an_h264_encoder_another_one_is_taken(tmp_path, monkeypatch, codec):
    monkeypatch.setattr(av, "codecs_available", {codec, "mpeg4"})
    path = redraw(write_video(tmp_path / "v.mkv", moving_disc(5), "mpeg4"), tmp_path / "a.mp4")
    own, _, end = read(path)
    assert own == pytest.approx(np.arange(5) / 20, abs=1e-3)
    assert end == pytest.approx(0.25, abs=1e-3)


def test_a_part_stands_beside_the_whole(tmp_path):
    (tmp_path / "a.mp4").write_bytes(b"whole")
    writer = VideoWriter(tmp_path / "a.mp4", 10)
    writer.write(BLACK)
    assert writer.close(is_part=True) == tmp_path / "a.part.mp4"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.mp4", "a.part.mp4"]
    assert (tmp_path / "a.mp4").read_bytes() == b"whole"


def test_a_link_stays_and_what_it_points_at_is_written(tmp_path):
    (tmp_path / "real").mkdir()
    target, link = tmp_path / "real" / "b.mp4", tmp_path / "a.mp4"
    link.symlink_to(target)
    for _ in range(2):  # the file is made, then replaced
        writer = VideoWriter(link, 10)
        writer.write(BLACK)
        assert writer.close() == link
        assert link.is_symlink()
        assert [path.name for path in target.parent.iterdir()] == ["b.mp4"]
        assert len(read(target)[0]) == 1
    part = VideoWriter(link, 10)
    part.write(BLACK)
    assert part.close(is_part=True) == tmp_path / "real" / "b.part.mp4"
    device = tmp_path / "device.mp4"
    device.symlink_to("/dev/null")
    writer = VideoWriter(device, 10)
    writer.write(BLACK)
    writer.close()
    assert device.is_file()  # in place of the link
    assert not device.is_symlink()


def test_two_writers_and_long_names_do_not_meet(tmp_path):
    paths = [tmp_path / ("é" * 110 + number + ".mp4") for number in "12"]
    writers = [VideoWriter(path, 10) for path in (*paths, paths[0])]
    for writer in writers:
        writer.write(BLACK)
    for writer in writers:
        writer.close()
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(path.name for path in paths)


def test_a_name_with_a_colon_is_a_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    writer = VideoWriter("rtmp:a.mp4", 10)
    writer.write(BLACK)
    writer.close()
    assert len(read("rtmp:a.mp4")[0]) == 1


def test_a_full_disk_while_writing_leaves_nothing(tmp_path):
    """RLIMIT_FSIZE stands in for it."""
    (tmp_path / "a.mp4").write_bytes(b"older")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    writer = VideoWriter(tmp_path / "a.mp4", 10)
    rng = np.random.default_rng(0)

    def write_all():
        for _ in range(80):
            writer.write(rng.integers(0, 255, (160, 160, 3), np.uint8))
        writer.close()

    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limits[1]))
    try:
        with pytest.raises(OSError, match=r"a\.mp4") as caught:
            write_all()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        writer.discard()
    assert caught.value.filename == str(tmp_path / "a.mp4")
    assert [path.name for path in tmp_path.iterdir()] == ["a.mp4"]
    assert (tmp_path / "a.mp4").read_bytes() == b"older"


@pytest.mark.parametrize("room", [0, 30_000, 200_000])
def test_a_disk_that_is_full_at_the_end_is_an_error(tmp_path, room):
    """Whichever part of the file no longer fits, its head included, which is written twice."""
    path = tmp_path / "a.mp4"
    writer = VideoWriter(path, 10)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    rng = np.random.default_rng(0)
    for _ in range(12):
        writer.write(rng.integers(0, 255, (160, 160, 3), np.uint8))
    resource.setrlimit(resource.RLIMIT_FSIZE, (room, limits[1]))
    try:
        with pytest.raises(OSError, match=r"a\.mp4"):
            writer.close()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert list(tmp_path.iterdir()) == []


def test_a_target_that_cannot_be_written_is_named_as_it_was_given(tmp_path, monkeypatch):
    def refuse(self, *_):
        raise PermissionError(errno.EACCES, "Permission denied", str(self))

    with pytest.raises(FileNotFoundError, match="no such folder"):
        VideoWriter(tmp_path / "none" / "a.mp4", 10)
    writer = VideoWriter(tmp_path / "a.mp4", 10)
    monkeypatch.setattr("pathlib.Path.open", refuse)
    with pytest.raises(OSError, match="Permission denied") as caught:
        writer.write(BLACK)
    assert caught.value.filename == str(tmp_path / "a.mp4")


def test_without_a_frame_there_is_no_file(tmp_path):
    assert VideoWriter(tmp_path / "a.mp4", 10).close() is None
    writer = VideoWriter(tmp_path / "a.mp4", 10)
    writer.write(BLACK)
    writer.discard()
    writer.discard()
    assert writer.close() is None
    assert list(tmp_path.iterdir()) == []


def test_the_fallbacks_are_encoders_by_name():
    assert video_writer._CODECS[0][0] == "libx264"
    assert all(isinstance(options, dict) for _, options in video_writer._CODECS)
