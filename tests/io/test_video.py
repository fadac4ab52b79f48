"""Videos are read on past damage, keep their time when drawn, and are written whole or not at all."""

from __future__ import annotations

import errno
import resource
import tempfile

import numpy as np
import pytest

from personlab.io import video as videos
from personlab.io.containers import is_avi, is_cut_short, is_mp4
from personlab.io.sources import VIDEOS, Source, find_sources
from personlab.io.video import Video
from personlab.io.video_writer import VideoWriter

cv2 = pytest.importorskip("cv2")

KINDS = [("mp4", "mp4v"), ("mov", "mp4v"), ("3gp", "mp4v"), ("avi", "MJPG"), ("mkv", "mp4v"), ("flv", "FLV1"),
         ("wmv", "WMV2"), ("ts", "mp4v"), ("mts", "mp4v"), ("mpg", "mpg1"), ("webm", "VP80")]  # fmt: skip


def frames(count):
    rng = np.random.default_rng(0)
    for i in range(count):
        frame = rng.integers(0, 40, (80, 112, 3), np.uint8)
        cv2.circle(frame, (10 + 2 * i, 40), 12, (250, 20, 20), -1)
        yield frame


def make(path, code, count=40, rate=20):
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*code), rate, (112, 80))
    if not writer.isOpened():
        pytest.skip(f"this OpenCV writes no {code} in .{path.suffix}")
    for frame in frames(count):
        writer.write(frame)
    writer.release()
    return path


def opened(path):
    return Video(Source(str(path), "video"))


def seconds(path):
    capture = cv2.VideoCapture(str(path))
    return capture.get(cv2.CAP_PROP_FRAME_COUNT) / capture.get(cv2.CAP_PROP_FPS)


def redrawn(video, path):
    writer = VideoWriter(path, video.drawing_rate())
    for number, frame in enumerate(video):
        writer.write(frame, video.times[number])
    writer.close(video.end)
    return path


@pytest.mark.parametrize(("ending", "code"), KINDS)
def test_videos_of_every_kind_are_read_and_keep_their_time(tmp_path, ending, code):
    path = make(tmp_path / f"v.{ending}", code)
    assert f".{ending}" in VIDEOS
    assert find_sources([str(path)])[0] == [Source(str(path), "video")]
    nameless = path.rename(tmp_path / f"{ending} clip")  # by how it begins
    assert find_sources([str(nameless)])[0] == [Source(str(nameless), "video")]
    video = opened(nameless)
    drawn = redrawn(video, tmp_path / "drawn.mp4")
    assert len(video.times) == 40
    assert video.missing == 0
    assert seconds(drawn) == pytest.approx(40 / video.rate, abs=1.01 / video.rate)


@pytest.mark.parametrize(("ending", "code"), [kind for kind in KINDS if kind[0] not in ("ts", "mts", "mpg")])
def test_a_video_that_was_cut_is_read_and_said_to_lack_its_end(tmp_path, ending, code):
    path = make(tmp_path / f"v.{ending}", code)
    assert not is_cut_short(path)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) * 3 // 5])
    assert is_cut_short(path)
    if is_mp4(path):  # its table of frames stands at the end
        with pytest.raises(ValueError, match=r"expected a video, got a damaged one"):
            opened(path)
        return
    video = opened(path)
    read = len(list(video))
    assert 5 < read < 35
    assert video.missing == (40 - read if video.count is not None else 1)


def test_a_gif_that_was_cut_lacks_its_end(tmp_path):
    image = pytest.importorskip("PIL.Image")
    first, *others = [image.fromarray(frame) for frame in frames(6)]
    first.save(tmp_path / "a.gif", save_all=True, append_images=others, duration=100)
    whole = opened(tmp_path / "a.gif")
    assert (len(list(whole)), whole.missing) == (6, 0)
    content = (tmp_path / "a.gif").read_bytes()
    (tmp_path / "a.gif").write_bytes(content[: len(content) // 2])
    cut = opened(tmp_path / "a.gif")
    assert 0 < len(list(cut)) < 6
    assert cut.missing > 0


def test_a_frame_that_cannot_be_read_does_not_end_a_video(data):
    for name, read, missing in (("v.mp4", 55, 5), ("cut.avi", 16, 14)):
        video = opened(data / "faults" / "22-damaged-video" / name)
        assert len(list(video)) == read
        assert (video.missing, video.count) == (missing, read + missing)
        assert video.times == sorted(video.times)


@pytest.mark.parametrize("name", ["v.webm", "v.mkv", "recorder.webm"])
def test_a_variable_frame_rate_keeps_its_time(data, tmp_path, name):
    video = opened(data / "faults" / "23-variable-frame-rate" / name)
    drawn = redrawn(video, tmp_path / "o.mp4")
    assert len(video.times) == 20
    assert video.missing == 0
    assert seconds(drawn) == pytest.approx(5.3, abs=0.06)


def shown(path):
    return [round(float(frame.mean()) / 40) for frame in opened(path)]


def test_frames_are_repeated_until_the_next_one_appears(tmp_path):
    writer = VideoWriter(tmp_path / "a.mp4", 10)
    for value, time in ((0, 0.0), (40, 0.1), (80, 0.5), (120, 0.52), (160, 1.0)):
        writer.write(np.full((32, 48, 3), value, np.uint8), time)
    assert writer.close(1.3) == tmp_path / "a.mp4"
    repeated = shown(tmp_path / "a.mp4")
    # The one at 0.5 s is seen once although the next comes at once; that one lasts the shorter.
    assert [repeated.count(v) for v in range(5)] == [1, 4, 1, 4, 3]


def test_a_burst_does_not_stretch_a_video(tmp_path):
    writer = VideoWriter(tmp_path / "a.mp4", 10)
    for number in range(200):  # 100 a second
        writer.write(np.full((32, 48, 3), 90, np.uint8), number / 100)
    writer.close(2.0)
    assert seconds(tmp_path / "a.mp4") <= 3.1


def test_a_part_stands_beside_the_whole(tmp_path):
    (tmp_path / "a.mp4").write_bytes(b"whole")
    writer = VideoWriter(tmp_path / "a.mp4", 10)
    writer.write(np.zeros((32, 48, 3), np.uint8))
    assert writer.close(is_part=True) == tmp_path / "a.part.mp4"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.mp4", "a.part.mp4"]
    assert (tmp_path / "a.mp4").read_bytes() == b"whole"


def test_a_link_stays_and_what_it_points_at_is_written(tmp_path):
    (tmp_path / "real").mkdir()
    target, link = tmp_path / "real" / "b.mp4", tmp_path / "a.mp4"
    link.symlink_to(target)
    for _ in range(2):  # the file is made, then replaced
        writer = VideoWriter(link, 10)
        writer.write(np.zeros((80, 112, 3), np.uint8))
        assert writer.close() == link
        assert link.is_symlink()
        assert [path.name for path in target.parent.iterdir()] == ["b.mp4"]
        assert cv2.VideoCapture(str(target)).read()[0]
    part = VideoWriter(link, 10)
    part.write(np.zeros((80, 112, 3), np.uint8))
    assert part.close(is_part=True) == tmp_path / "real" / "b.part.mp4"
    device = tmp_path / "device.mp4"
    device.symlink_to("/dev/null")
    writer = VideoWriter(device, 10)
    writer.write(np.zeros((80, 112, 3), np.uint8))
    writer.close()
    assert device.is_file()  # in place of the link
    assert not device.is_symlink()


def test_two_writers_and_long_names_do_not_meet(tmp_path):
    paths = [tmp_path / ("é" * 110 + number + ".mp4") for number in "12"]
    writers = [VideoWriter(path, 10) for path in (*paths, paths[0])]
    for writer in writers:
        writer.write(np.zeros((32, 48, 3), np.uint8))
    for writer in writers:
        writer.close()
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(path.name for path in paths)


def test_a_full_disk_while_writing_leaves_nothing(tmp_path):
    """RLIMIT_FSIZE: the encoder writes nothing beyond and does not say so."""
    (tmp_path / "a.mp4").write_bytes(b"older")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    writer = VideoWriter(tmp_path / "a.mp4", 10)
    rng = np.random.default_rng(0)

    def write_all():
        for _ in range(40):
            writer.write(rng.integers(0, 255, (160, 160, 3), np.uint8))
        writer.close()

    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limits[1]))
    try:
        with pytest.raises(OSError, match=r"a\.mp4"):
            write_all()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        writer.discard()
    assert [path.name for path in tmp_path.iterdir()] == ["a.mp4"]
    assert (tmp_path / "a.mp4").read_bytes() == b"older"


def test_a_disk_without_room_is_an_error_at_once(tmp_path, monkeypatch):
    class Full:
        def __enter__(self):
            return self

        def __exit__(self, *_):
            return False

        def write(self, _):
            raise OSError(errno.ENOSPC, "No space left on device")

    writer = VideoWriter(tmp_path / "a.mp4", 10)
    writer.write(np.zeros((32, 48, 3), np.uint8))
    monkeypatch.setattr(tempfile, "TemporaryFile", lambda **_: Full())
    with pytest.raises(OSError, match="No space left") as caught:
        writer.close()
    assert caught.value.filename == str(tmp_path / "a.mp4")
    assert list(tmp_path.iterdir()) == []


def test_a_target_that_cannot_be_written_is_named_as_it_was_given(tmp_path, monkeypatch):
    def refuse(self, *_):
        raise PermissionError(errno.EACCES, "Permission denied", str(self))

    writer = VideoWriter(tmp_path / "a.mp4", 10)
    monkeypatch.setattr("pathlib.Path.open", refuse)
    with pytest.raises(OSError, match="Permission denied") as caught:
        writer.write(np.zeros((32, 48, 3), np.uint8))
    assert caught.value.filename == str(tmp_path / "a.mp4")


def test_what_is_no_video_is_named(tmp_path, capfd):
    (tmp_path / "a.mp4").write_bytes(b"no video")
    with pytest.raises(ValueError, match=r"a\.mp4: expected a video, got another kind of file"):
        opened(tmp_path / "a.mp4")
    with pytest.raises(ValueError, match="77: expected a camera of this number, got none"):
        Video(Source("77", "camera"))
    assert capfd.readouterr().err == ""


class Capture:
    """Stands in for cv2.VideoCapture: frames at given times, None for one that cannot be read."""

    def __init__(self, times, *, rate=25.0, count=0):
        self._times, self._rate, self._count, self._at = iter(times), rate, count, 0.0

    def read(self):
        at = next(self._times, None)
        if at is None:
            return False, None
        self._at = at
        return True, np.zeros((4, 6, 3), np.uint8)

    def get(self, name):
        return {cv2.CAP_PROP_FPS: self._rate, cv2.CAP_PROP_FRAME_COUNT: self._count}.get(name, 1e3 * self._at)

    def release(self):
        pass


@pytest.mark.parametrize(
    ("times", "told"),
    [
        ([0, 0.04, None, 0.12], [0, 0.04, 0.12]),
        ([5, 5.04, 5.08], [0, 0.04, 0.08]),  # a stream that does not begin at 0
        ([0, 0.04, 0.04, float("nan"), 0.16], [0, 0.04, 0.08, 0.12, 0.16]),
        ([0, 0.04, 9e9, 0.12], [0, 0.04, 0.08, 0.12]),  # a time stamp that is damaged
        ([0, 0, 0], [0, 0.04, 0.08]),  # a reader that tells none
    ],
)
def test_times_increase_from_0_whatever_the_file_says(tmp_path, monkeypatch, times, told):
    (tmp_path / "v.ts").write_bytes(b"G")
    monkeypatch.setattr(videos, "_opened", lambda _: Capture(times))
    video = opened(tmp_path / "v.ts")
    assert len(list(video)) == len(told)
    assert video.times == pytest.approx(told)
    assert video.missing == times.count(None)


def test_frames_that_an_edit_list_leaves_out_are_not_missing(tmp_path, monkeypatch):
    """The header of an MP4 file counts them, too; they are at either end, so that no gap is seen."""
    path = make(tmp_path / "v.mp4", "mp4v")
    for times, missing in ((np.arange(30) / 25, 0), (np.delete(np.arange(30), 9) / 25, 1)):
        monkeypatch.setattr(videos, "_opened", lambda _, times=times: Capture(times, count=40))
        video = opened(path)
        list(video)
        assert video.missing == missing
        assert video.end is None


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
        (b"RIFF\0\0\0\0AVI 123", False),  # never finished, so that nobody knows
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


@pytest.mark.parametrize(("count", "end"), [(5, 0.2), (1500, 60.0), (1700, None), (1e12, None), (-1, None)])
def test_the_last_frame_stays_as_long_as_a_header_can_be_believed(tmp_path, monkeypatch, count, end):
    (tmp_path / "v.ts").write_bytes(b"G")
    monkeypatch.setattr(videos, "_opened", lambda _: Capture([0, 0.04, 0.08], count=count))
    video = opened(tmp_path / "v.ts")
    assert len(list(video)) == 3
    assert video.end == end
