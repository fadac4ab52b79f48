"""Threads share the work of a call: the same bytes for any number of them, and no call disturbs another."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from agreement import core_poses
from processes import ROOT, SUPPORT
from scenes import BY_SEED, SKELETONS, decode_options, mask_options, paper_options, random_fields

from personlab import COCO_PERSON, DecodeOptions, _core, decode_masks, decode_poses, stages

THREADS = (2, 3, 4, 5, 13)  # five and more share keypoint types out in bands of cell rows


def run(program, *arguments, **options):
    """Run a Python program in a process of its own."""
    prologue = """
        import os, resource, sys, threading, time
        sys.path.insert(0, sys.argv[1])
        from agreement import core_poses
        from personlab import COCO_PERSON
        from scenes import decode_options, random_fields

        fields = random_fields(33, COCO_PERSON, 10, 13, 8)
        decode = lambda n=3: core_poses(fields, decode_options(hough_stride=2, threads=n)).keypoints.tobytes()
    """
    program = textwrap.dedent(prologue) + textwrap.dedent(program)
    command = [sys.executable, "-c", program, str(SUPPORT), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False, **options)
    assert done.returncode == 0, (done.returncode, done.stdout, done.stderr)
    assert not done.stderr, done.stderr
    return done.stdout


# --- the same bytes ---------------------------------------------------------------------------------------------------


def bytes_of(*arrays):
    assert any(a.size for a in arrays)
    return [a.tobytes() for a in arrays]


def poses_bytes(poses):
    return bytes_of(poses.keypoints, poses.keypoint_scores, poses.keypoint_probabilities, poses.scores)


def same_for_all(make):
    """The bytes of what `make` makes of a number of threads are the same for all numbers."""
    expected = make(1)
    for threads in THREADS:
        assert make(threads) == expected, threads


@pytest.mark.parametrize("scheme", [{}, BY_SEED], ids=["mean", "seed"])
@pytest.mark.parametrize("g", [1, 3])
@pytest.mark.parametrize("name", SKELETONS)
def test_a_image(name, g, scheme):
    fields = random_fields(7, SKELETONS[name], 23, 31, 8)
    same_for_all(
        lambda threads: poses_bytes(
            core_poses(fields, decode_options(hough_stride=g, threads=threads, **scheme), SKELETONS[name])
        )
    )


@pytest.mark.parametrize(("h", "w"), [(1, 9), (2, 9), (9, 1), (3, 70)])
def test_a_thin_image(h, w):
    fields = random_fields(8, SKELETONS["pair"], h, w, 8)
    arrays = (fields.heatmaps, fields.short_offsets)
    assert stages.hough_vote(*arrays, stride=8, options=decode_options()).any()
    same_for_all(lambda n: bytes_of(stages.hough_vote(*arrays, stride=8, options=decode_options(threads=n))))


@pytest.mark.parametrize("g", [1, 2])
def test_a_large_image(load_fields, g):
    fields = load_fields("soccer_1281_s8")
    same_for_all(lambda threads: poses_bytes(core_poses(fields, paper_options(hough_stride=g, threads=threads))))


def test_a_batch():
    images = [random_fields(seed, COCO_PERSON, 14, 19, 8) for seed in range(7)]
    arrays = [np.stack([getattr(f, name) for f in images]) for name in ("heatmaps", "short_offsets", "mid_offsets")]

    def decode(options):
        return [poses_bytes(poses) for poses in decode_poses(*arrays, stride=8, options=options)]

    same_for_all(lambda threads: decode(decode_options(threads=threads)))
    same_for_all(lambda threads: decode(DecodeOptions.posenet(0.3, threads=threads)))


def test_single_stages():
    fields = random_fields(9, COCO_PERSON, 23, 31, 8)
    offsets = (fields.heatmaps, fields.short_offsets)
    hough = stages.hough_vote(*offsets, stride=8, options=decode_options())
    poses = core_poses(fields, decode_options())
    found = (poses.keypoints, poses.keypoint_probabilities)
    targets = [b for _, b in COCO_PERSON.edges] + [a for a, _ in COCO_PERSON.edges]
    same_for_all(lambda n: bytes_of(stages.hough_vote(*offsets, stride=8, options=decode_options(threads=n))))
    same_for_all(lambda n: bytes_of(*stages.find_peaks(hough, options=decode_options(threads=n))))
    for scheme in ({}, BY_SEED):
        same_for_all(
            lambda n, scheme=scheme: bytes_of(
                *stages.score_poses(found, hough, skeleton=COCO_PERSON, options=decode_options(threads=n, **scheme)),
            )
        )
    same_for_all(
        lambda n: bytes_of(
            stages.sharpen_keypoints(found[0], hough, options=decode_options(threads=n, **BY_SEED)),
        )
    )
    same_for_all(
        lambda n: bytes_of(
            decode_masks(
                poses, fields.segmentation, fields.long_offsets, short_offsets=fields.short_offsets, stride=8,
                size=(177, 241), options=mask_options(threads=n),
            )
        )
    )  # fmt: skip
    same_for_all(
        lambda n: bytes_of(
            stages.refine_offsets(fields.mid_offsets, fields.short_offsets, targets, stride=8, threads=n)
        )
    )


# --- what holds between processes and threads -------------------------------------------------------------------------


@pytest.mark.unsanitized
@pytest.mark.skipif(not hasattr(os, "fork"), reason="forks")
def test_a_child_forked_while_another_thread_decodes():
    run("""
        expected = decode()
        stop = threading.Event()
        differing = []
        def work():
            while not stop.is_set():
                if decode(4) != expected:
                    differing.append(1)
        others = [threading.Thread(target=work, daemon=True) for _ in range(3)]
        for thread in others:
            thread.start()
        for _ in range(20):
            child = os.fork()
            if child == 0:
                os._exit(0 if decode(2) == expected and decode(5) == expected else 3)
            assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
            assert decode(2) == expected
        stop.set()
        for thread in others:
            thread.join()
        assert not differing
    """)


def test_no_lock_is_held_while_options_become_native(monkeypatch):
    """One that a fork could leave held."""
    make, inside, let_go = _core.DecodeOptions, threading.Event(), threading.Event()

    def make_slowly(**values):
        inside.set()
        assert let_go.wait(20)
        return make(**values)

    monkeypatch.setattr(_core, "DecodeOptions", make_slowly)
    one = threading.Thread(target=lambda: decode_options().native)
    one.start()
    assert inside.wait(20)
    monkeypatch.setattr(_core, "DecodeOptions", make)
    other = threading.Thread(target=lambda: decode_options().native, daemon=True)
    other.start()
    other.join(10)
    waits = other.is_alive()
    let_go.set()
    one.join()
    assert not waits


@pytest.mark.parametrize("method", [pytest.param("fork", marks=pytest.mark.unsanitized), "spawn"])
def test_pools_of_processes(method):
    if method == "fork" and not hasattr(os, "fork"):
        pytest.skip("forks")
    run(
        """
        import functools, multiprocessing
        expected = decode()
        options = [decode_options(hough_stride=2, threads=n) for n in (1, 2, 3, 4)]
        with multiprocessing.get_context(sys.argv[2]).Pool(2) as pool:
            found = pool.map(functools.partial(core_poses, fields), options)
        assert [poses.keypoints.tobytes() for poses in found] == [expected] * 4
        assert decode() == expected
        """,
        method,
    )


@pytest.mark.parametrize("state", ["idle", "busy"])
@pytest.mark.parametrize("end", ["", "sys.exit(0)", "os._exit(0)"])
def test_the_process_ends_while_helpers_sleep_and_while_they_work(end, state):
    program = f"""
        import numpy as np
        from personlab import stages
        assert decode()
        if sys.argv[2] == "busy":
            noise = np.random.default_rng(0).normal(size=(2, 17, 2, 200, 300)).astype(np.float32)
            refine = lambda: stages.refine_offsets(*noise, range(17), stride=8, steps=1000, threads=4)
            threading.Thread(target=refine, daemon=True).start()
            time.sleep(0.2)
        {end}
    """
    start = time.monotonic()
    run(program, state)
    assert time.monotonic() - start < 10


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="looks where Linux lists threads")
def test_threads_start_when_a_call_asks_for_them_and_no_more():
    counts = run("""
        count = lambda: len(os.listdir("/proc/self/task"))
        start = count()
        decode(1)
        one = count()
        for _ in range(20):
            decode(4)
        four = count()
        for _ in range(20):
            decode(2)
        print(one - start, four - start, count() - start)
    """)
    assert counts.split() == ["0", "3", "3"]


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="limits memory as Linux does")
@pytest.mark.unsanitized
def test_no_memory_on_any_thread_is_an_error_and_the_next_call_works():
    out = run("""
        large = random_fields(34, COCO_PERSON, 120, 160, 8)
        options = decode_options(hough_stride=1, threads=3, peak_threshold=1e3)  # votes, but no pose
        expected = decode()
        with open("/proc/self/statm") as file:
            used = int(file.read().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (used + 2**23, resource.RLIM_INFINITY))
        errors = 0
        for _ in range(5):
            try:
                core_poses(large, options)
            except MemoryError:
                errors += 1
        resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        assert len(core_poses(large, options)) == 0
        assert decode() == expected
        print(errors)
    """)
    assert out == "5\n"


# --- the core alone ---------------------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def pool_program(tmp_path_factory):
    """The program `pool.cpp`, compiled."""
    compiler = os.environ.get("CXX") or shutil.which("c++")
    if compiler is None or sys.platform == "win32":
        pytest.skip("no C++ compiler of the kind that takes these flags")
    program = tmp_path_factory.mktemp("pool") / "pool"
    core = ROOT / "src" / "cpp"
    sources = [str(Path(__file__).with_name("pool.cpp")), str(core / "base" / "parallel.cpp")]
    folders = [f"-I{core}", f"-I{core / 'include'}"]
    subprocess.run([compiler, "-std=c++17", "-O1", "-pthread", *folders, *sources, "-o", str(program)], check=True)
    return program


@pytest.mark.parametrize("check", ["pieces", "callers", "busy", "exceptions", "interrupts", "forks", "idle", "signals"])
def test_the_pool(pool_program, check):
    done = subprocess.run([pool_program, check], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, (done.returncode, done.stderr)
