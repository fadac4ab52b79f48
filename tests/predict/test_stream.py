"""Streams keep order, overlap their stages, raise each picture's own exception, and end when they are left."""

from __future__ import annotations

import gc
import itertools
import subprocess
import sys
import threading
import time
import weakref

import numpy as np
import pytest
from fake_networks import Spot, spots

from personlab import DecodeOptions, Predictor, visualize
from personlab.predict.stream import Stage, Stream

EXACT = DecodeOptions.posenet(0.3)


def picture(number, size=(65, 81)):
    return spots(size, [(20.0 + 2 * number, 30.0), None, None], spread=4.0)


def x_of(prediction):
    return float(prediction.poses.keypoints[0, 0, 0])


def threads():
    return [thread for thread in threading.enumerate() if thread.name.startswith("personlab stage")]


def make(**more):
    return Predictor(Spot(stride=8), long_edge=81, options=EXACT, **more)


@pytest.mark.parametrize("batch_size", [1, 3, 20])
def test_results_keep_the_order_of_the_pictures(batch_size):
    predictor = make(batch_size=batch_size)
    sizes = [(65, 81), (81, 65)]
    pictures = [picture(n, sizes[n % 3 == 0]) for n in range(12)]
    found = list(predictor.stream(iter(pictures)))
    assert [round(x_of(f)) for f in found] == [20 + 2 * n for n in range(12)]
    assert [f.image_size for f in found] == [p.shape[1::-1] for p in pictures]
    assert max(shape[0] for shape in predictor.network.shapes) == (
        1 if batch_size == 1 else 2 if batch_size == 3 else 8
    )
    assert [x_of(f) for f in predictor(pictures)] == [x_of(predictor(p)) for p in pictures]
    assert not threads()


def test_a_batch_gives_what_its_pictures_give():
    pictures = [picture(n) for n in range(5)]
    one, many = make()(pictures), make(batch_size=4)(pictures)
    for a, b in zip(one, many, strict=True):
        assert np.array_equal(a.poses.keypoints, b.poses.keypoints)
        assert np.array_equal(a.masks, b.masks)


def test_each_picture_raises_its_own_exception(tmp_path):
    (tmp_path / "text.png").write_text("no image")
    pictures = [picture(0), np.zeros((4, 4), np.float32), picture(1), tmp_path / "text.png", tmp_path / "none.png",
                picture(2)]  # fmt: skip
    with make(batch_size=2).stream(pictures) as stream:
        for expected in (20, TypeError, 22, ValueError, FileNotFoundError, 24):
            if isinstance(expected, int):
                assert round(x_of(next(stream))) == expected
            else:
                with pytest.raises(expected):
                    next(stream)
        with pytest.raises(StopIteration):
            next(stream)
    with pytest.raises(ValueError, match=r"text\.png"):
        make()([picture(0), tmp_path / "text.png"])
    assert not threads()


def test_a_network_that_fails_fails_its_pictures_alone():
    predictor = make()
    see = predictor.network.see
    calls = itertools.count()

    def failing(image):
        if next(calls) == 1:
            raise RuntimeError("out of memory")
        return see(image)

    predictor.network.see = failing
    stream = predictor.stream([picture(n) for n in range(3)])
    assert round(x_of(next(stream))) == 20
    with pytest.raises(RuntimeError, match="out of memory"):
        next(stream)
    assert round(x_of(next(stream))) == 24
    with pytest.raises(StopIteration):
        next(stream)


def test_an_iterable_that_breaks_ends_the_stream_where_it_broke():
    def pictures():
        yield picture(0)
        yield picture(1)
        raise OSError("the camera is gone")

    stream = make(batch_size=4).stream(pictures())
    assert [round(x_of(next(stream))) for _ in range(2)] == [20, 22]
    with pytest.raises(OSError, match="the camera is gone"):
        next(stream)
    with pytest.raises(StopIteration):
        next(stream)
    assert not threads()


def test_an_empty_stream_is_empty():
    assert list(make().stream([])) == []
    assert make()([]) == []


def test_endless_pictures_are_read_only_a_little_ahead():
    taken = []

    def endless():
        for n in itertools.count():
            taken.append(n)
            yield picture(0)

    with make().stream(endless()) as stream:
        next(stream)
        time.sleep(0.5)
        assert len(taken) < 12
    assert not threads()
    with pytest.raises(StopIteration):
        next(stream)


def test_a_stream_that_is_dropped_ends():
    stream = make().stream(picture(0) for _ in itertools.count())
    next(stream)
    assert threads()
    del stream
    gc.collect()
    deadline = time.monotonic() + 10
    while threads() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not threads()


def test_stages_overlap():
    def slow(name):
        def work(items):
            start = time.perf_counter()
            time.sleep(0.05)
            spans.append((name, start, time.perf_counter()))
            return items

        return Stage(work)

    spans = []
    start = time.perf_counter()
    assert list(Stream(range(8), [slow("a"), slow("b"), slow("c")], str)) == list("01234567")
    assert time.perf_counter() - start < 0.9  # one after the other: 1.2 s
    a, b = ([span for span in spans if span[0] == name] for name in "ab")
    assert any(x[1] < y[2] and y[1] < x[2] for x in a for y in b)


def test_a_stage_that_breaks_is_raised():
    def broken(items):
        raise ZeroDivisionError("a bug")

    stream = Stream(range(3), [Stage(broken), Stage(list)], str)
    with pytest.raises(ZeroDivisionError, match="a bug"):
        next(stream)
    with pytest.raises(StopIteration):
        next(stream)
    assert not threads()


def test_a_program_may_end_in_the_middle_of_a_stream():
    program = """
import itertools
from personlab.predict.stream import Stage, Stream

stream = Stream(itertools.count(), [Stage(list), Stage(list, workers=3)], str)
print(next(stream), next(stream))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=30, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "0 1\n", "")


def test_warnings_reach_the_caller(tmp_path):
    visualize.write_image(tmp_path / "large.png", picture(0))
    stream = make(max_pixels=2000).stream([tmp_path / "large.png"])
    with pytest.warns(RuntimeWarning, match=r"large\.png: a network input"):
        next(stream)


class ManyStreams:
    """An engine that several threads run at once, the later images faster than the first ones."""

    streams, device = 3, None

    def __init__(self, engine):
        self.engine, self.running, self.most, self.calls = engine, 0, 0, itertools.count()
        self.lock = threading.Lock()

    def run(self, images, names):
        with self.lock:
            self.running += 1
            self.most = max(self.most, self.running)
        time.sleep(0.02 * (3 - next(self.calls) % 4))
        with self.lock:
            self.running -= 1
            return self.engine.run(images, names)


@pytest.mark.parametrize("batch_size", [1, 2])
def test_several_threads_give_the_bytes_of_one(tmp_path, batch_size):
    sources = []
    for n in range(14):
        sources.append(tmp_path / f"{n}.jpg")
        visualize.write_image(sources[-1], picture(n, [(65, 81), (165, 181), (81, 65)][n % 3]))
    sources[5] = np.zeros((4, 4), np.float32)
    sources[9] = tmp_path / "none.jpg"
    predictor = make(batch_size=batch_size)
    predictor._engine = ManyStreams(predictor._engine)
    with predictor.stream(sources) as stream:
        for n, source in enumerate(sources):
            if n in (5, 9):
                with pytest.raises((TypeError, FileNotFoundError)):
                    next(stream)
                continue
            one, many = make()(source), next(stream)
            for name in ("keypoints", "keypoint_scores", "scores"):
                assert np.array_equal(getattr(one.poses, name), getattr(many.poses, name))
            assert np.array_equal(one.masks, many.masks)
            assert one.image_size == many.image_size
    assert predictor._engine.most > 1
    assert not threads()


def test_results_are_in_order_whoever_finishes_first():
    def uneven(items):
        time.sleep(0.01 * (items[0] % 5))
        return items

    for batch in (1, 2, 3):
        stages = [Stage(uneven, workers=4), Stage(uneven, workers=3, batch=batch), Stage(uneven, workers=2)]
        assert list(Stream(range(23), stages, int)) == list(range(23))


def test_few_frames_are_in_a_stream_at_once():
    alive, most = set(), []

    def source():
        for n in itertools.count():
            alive.add(n)
            most.append(len(alive))
            yield n

    stages = [Stage(list, workers=2), Stage(list, workers=2), Stage(list, workers=2)]
    with Stream(source(), stages, int) as stream:
        for n in range(40):
            assert next(stream) == n
            alive.discard(n)
            time.sleep(0.005)
    assert max(most) <= 3 * (1 + 2 + 2) + 1


def test_a_stage_that_breaks_in_one_of_its_threads_is_raised_in_its_turn():
    def broken(items):
        if items[0] == 4:
            raise ZeroDivisionError("a bug")
        time.sleep(0.01)
        return items

    stream = Stream(itertools.count(), [Stage(broken, workers=3), Stage(list, workers=2)], int)
    assert [next(stream) for _ in range(4)] == [0, 1, 2, 3]
    with pytest.raises(ZeroDivisionError, match="a bug"):
        next(stream)
    with pytest.raises(StopIteration):
        next(stream)
    assert not threads()


def test_frames_that_were_passed_on_are_not_kept():
    class Frame:
        pass

    alive = weakref.WeakSet()

    def source():
        for _ in range(60):
            frame = Frame()
            alive.add(frame)
            yield frame
            del frame

    counts = []
    for _ in Stream(source(), [Stage(list, workers=2), Stage(list)], lambda frame: None):
        time.sleep(0.002)
        counts.append(len(alive))
    assert max(counts) <= 14
    gc.collect()
    assert not alive
