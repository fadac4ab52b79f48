"""Speed gates: whole calls against yardsticks, timed in turns in the same run.

A yardstick is a fast operation on the same memory: one-thread bilinear resizing by OpenCV, or `numpy.max`. Results are
asserted; ratios are printed at the end of the run beside their gates, and fail the run only with PERSONLAB_GATES=1.
"""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from dataclasses import replace

import numpy as np
import pytest
import torch
from shared import COUPLE, CROWD, DATA, MODES, decode, load, narrow
from yardsticks import resized

from personlab import COCO_PERSON, DecodeOptions, decode_masks, decode_poses, stages
from personlab.methods.personlab.bench import crowd

PEOPLE = {(COUPLE, 1): 2, (COUPLE, 2): 2, (CROWD, 1): 7, (CROWD, 2): 8}  # poses with a score of 0.15, by Hough stride


# --- poses ------------------------------------------------------------------------------------------------------------


def test_posenet(gate):
    fields = load(COUPLE)
    assert len(decode(fields, MODES["posenet"])) == 2
    call, yardstick = lambda: decode(fields, MODES["posenet"]), lambda: np.max(fields.heatmaps)
    gate(f"posenet, {COUPLE}", call, yardstick, "numpy.max", 6)


@pytest.mark.parametrize(("image", "max_ratio"), [(COUPLE, 0.5), (CROWD, 2)])
def test_default(gate, image, max_ratio):
    fields = load(image)
    assert len(decode(fields, MODES["default"])) >= 2
    yardstick = resized(fields.heatmaps, *fields.input_size)
    gate(f"default, {image}", lambda: decode(fields, MODES["default"]), yardstick, "Y17", max_ratio)


@pytest.mark.parametrize(
    ("g", "image", "max_ratio"),
    [
        (1, COUPLE, 1.5),
        (1, CROWD, 6),
        (2, COUPLE, 0.5),
        (2, CROWD, 2),
    ],
)
def test_paper(gate, g, image, max_ratio):
    fields, options = load(image), MODES[f"paper g={g}"]
    assert len(decode(fields, options)) == PEOPLE[image, g]
    yardstick = resized(fields.heatmaps, *fields.input_size)
    gate(f"paper g = {g}, {image}", lambda: decode(fields, options), yardstick, "Y17", max_ratio)


@pytest.mark.parametrize("mode", MODES)
def test_an_empty_image_is_mostly_the_scan(gate, mode):
    """The time of a call without the scan of the heatmaps, on one cell, against an empty image."""
    fields = load(COUPLE)
    whole = [np.full_like(fields.heatmaps, -20), fields.short_offsets, fields.mid_offsets]
    cell = [np.ascontiguousarray(array[..., :1, :1]) for array in whole]
    options = MODES[mode]

    def call(arrays):
        return decode_poses(*arrays, stride=fields.stride, options=options)

    assert len(call(whole)) == len(call(cell)) == 0
    gate(f"{mode}, one cell instead of an empty image", lambda: call(cell), lambda: call(whole), "empty", 0.5)


@pytest.mark.parametrize("element_type", ["float16", "bfloat16"])
@pytest.mark.parametrize("image", [COUPLE, CROWD])
@pytest.mark.parametrize("mode", MODES)
def test_fields_of_16_bits(gate, mode, image, element_type):
    fields, options = load(image), MODES[mode]
    small, wide = narrow(fields, element_type)
    small = [tensor.numpy() for tensor in small] if element_type == "float16" else small
    wide = wide if element_type == "float16" else [torch.from_numpy(array) for array in wide]

    def call(arrays):
        return decode_poses(*arrays, stride=fields.stride, options=options)

    np.testing.assert_array_equal(call(small).keypoints, call(wide).keypoints)
    gate(
        f"{mode}, {image.removeprefix('coco_000000')}, {element_type}",
        lambda: call(small),
        lambda: call(wide),
        "float32",
        1.3,
    )


def test_a_batch_on_two_threads(gate):
    rng = np.random.default_rng(0)
    k, e2 = COCO_PERSON.n_keypoints, 2 * COCO_PERSON.n_edges
    fields = [
        rng.normal(mean, deviation, (16, *shape, 54, 81)).astype(np.float32)
        for mean, deviation, shape in ((-4, 2, (k,)), (0, 4, (k, 2)), (0, 30, (e2, 2)))
    ]

    def call(threads):
        return decode_poses(*fields, stride=8, options=DecodeOptions.posenet(0.3, threads=threads))

    for one, two in zip(call(1), call(2), strict=True):
        np.testing.assert_array_equal(one.keypoints, two.keypoints)
    gate("batch of 16 on two threads", lambda: call(2), lambda: call(1), "one thread", 1 / 1.8)


@pytest.mark.parametrize("image", [COUPLE, CROWD])
def test_a_real_batch_on_two_threads(gate, image):
    """Sixteen times one image: a few milliseconds, of which starting threads may take a small part."""
    fields = load(image)
    arrays = (fields.heatmaps, fields.short_offsets, fields.mid_offsets)
    batch = [np.repeat(array[None], 16, axis=0) for array in arrays]

    def call(threads):
        return decode_poses(*batch, stride=fields.stride, options=replace(MODES["paper g=2"], threads=threads))

    assert [len(poses) for poses in call(2)] == [PEOPLE[image, 2]] * 16
    gate(f"16 x {image} on two threads", lambda: call(2), lambda: call(1), "one thread", 1 / 1.8)


@pytest.mark.parametrize("g", [1, 2])
def test_a_large_image_on_two_threads(gate, g):
    fields = load("soccer_1281_s8")
    options = [replace(MODES[f"paper g={g}"], threads=threads) for threads in (1, 2)]
    for one, two in zip(*(decode(fields, each) for each in options), strict=True):
        np.testing.assert_array_equal(one.keypoints, two.keypoints)
    call, yardstick = lambda: decode(fields, options[1]), lambda: decode(fields, options[0])
    gate(f"paper g = {g}, soccer_1281_s8 on two threads", call, yardstick, "one thread", 1 / 1.5)


# --- crowds and noise: time is linear in people, and bounded ----------------------------------------------------------


@pytest.mark.parametrize(
    ("people", "size", "max_ratio"),
    [
        (5, (481, 641), 1.8),
        (20, (481, 641), 2.3),
        (50, (481, 641), 3.2),
        (100, (961, 1281), 3.0),
        (200, (961, 1281), 3.6),
    ],
)
def test_a_drawn_crowd_takes_little_more_than_its_votes(gate, people, size, max_ratio):
    """The time after the votes is linear in the number of people: gates are multiples of the votes alone."""
    fields, options = crowd(people, size=size), DecodeOptions(hough_stride=2)
    assert 0.9 * min(people, options.max_poses) <= len(decode(fields, options)) <= options.max_poses
    no_peaks = replace(options, peak_threshold=1e9)  # no poses: votes and the search for peaks remain
    assert len(decode(fields, no_peaks)) == 0
    gate(f"crowd of {people}", lambda: decode(fields, options), lambda: decode(fields, no_peaks), "votes", max_ratio)


@pytest.mark.parametrize("g", [2, 8])
@pytest.mark.parametrize("stride", [8, 16])
@pytest.mark.parametrize("kind", ["noise", "saturated"])
def test_no_image_takes_fifty_times_a_crowd_s_time_a_pixel(gate, kind, stride, g):
    rng, n = np.random.default_rng(0), 1400 // stride + 1
    deviations = {"noise": 1, "saturated": 0}
    heatmaps = rng.normal(0, 1, (17, n, n)) * deviations[kind] + 50 * (kind == "saturated")
    arrays = [heatmaps, rng.normal(0, 8, (17, 2, n, n)), rng.normal(0, 8, (32, 2, n, n))]
    arrays = [array.astype(np.float32) for array in arrays]
    options, real = DecodeOptions(hough_stride=g), load(CROWD)
    pixels, (width, height) = ((n - 1) * stride + 1) ** 2, real.input_size

    def call():
        return decode_poses(*arrays, stride=stride, options=options)

    poses = decode_poses(*arrays, stride=stride, options=replace(options, min_score=0))
    assert len(poses) > 0 or (kind, g) == ("noise", 2)  # votes everywhere make few peaks on a fine lattice
    max_ratio = 50 * pixels / (width * height)
    gate(
        f"{kind} of 1401x1401, stride {stride}, g = {g}",
        call,
        lambda: decode(real, DecodeOptions()),
        "crowd",
        max_ratio,
    )


# --- masks ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("image", "max_ratio"), [(COUPLE, 0.6), (CROWD, 2)])
def test_masks(gate, image, max_ratio):
    fields = load(image)
    (width, height), poses = fields.input_size, decode(fields, MODES["paper g=2"])
    arguments = (poses, fields.segmentation, fields.long_offsets)
    sizes = {"short_offsets": fields.short_offsets, "stride": fields.stride, "size": (height, width)}
    masks = decode_masks(*arguments, **sizes)
    assert masks.any(axis=(1, 2)).sum() >= 2
    assert (masks != stages.associate_pixels(*arguments, **sizes, backend="reference")).mean() < 1e-5
    yardstick = resized(fields.long_offsets.reshape(-1, *fields.long_offsets.shape[2:]), width, height)
    gate(f"masks, {image}", lambda: decode_masks(*arguments, **sizes), yardstick, "Y34", max_ratio)


# --- memory -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("image", [COUPLE, CROWD])
def test_a_thousand_calls_take_no_memory(image):
    """glibc requests every block above 64 KiB from the system here: a call that allocates one faults its pages in."""
    if not sys.platform.startswith("linux"):
        pytest.skip("counts page faults as Linux does")
    program = """
        import ctypes, mmap, resource, sys
        from personlab import DecodeOptions, Fields, decode_masks, decode_poses
        fields = Fields.load(sys.argv[1])
        arrays = (fields.heatmaps, fields.short_offsets, fields.mid_offsets)
        width, height = fields.input_size
        def count(call, pages):
            for _ in range(3):
                call()
            before = resource.getrusage(resource.RUSAGE_SELF)
            for _ in range(1000):
                call()
            after = resource.getrusage(resource.RUSAGE_SELF)
            print(after.ru_minflt - before.ru_minflt - 1000 * pages, after.ru_maxrss - before.ru_maxrss)
        for options in (DecodeOptions.posenet(0.25), DecodeOptions(hough_stride=1), DecodeOptions(hough_stride=2)):
            decode = lambda: decode_poses(*arrays, stride=fields.stride, options=options)
            count(decode, 0)
        poses = decode()
        decode_all_masks = lambda: decode_masks(
            poses, fields.segmentation, fields.long_offsets, short_offsets=fields.short_offsets, stride=fields.stride,
            size=(height, width),
        )
        masks = decode_all_masks()
        first = masks.ctypes.data // mmap.PAGESIZE
        pages = (masks.ctypes.data + masks.nbytes) // mmap.PAGESIZE + 1 - first
        resident = (ctypes.c_ubyte * pages)()
        where = ctypes.c_void_p(first * mmap.PAGESIZE), ctypes.c_size_t(pages * mmap.PAGESIZE)
        assert ctypes.CDLL(None).mincore(*where, resident) == 0
        count(decode_all_masks, sum(page & 1 for page in resident))  # pages of the result that were written to
    """
    command = [sys.executable, "-c", textwrap.dedent(program), str(DATA / "fields" / f"{image}.npz")]
    environment = {**os.environ, "MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_TRIM_THRESHOLD_": "65536"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert len(done.stdout.splitlines()) == 4
    for line in done.stdout.splitlines():
        faults, growth = map(int, line.split())
        assert faults < 100, done.stdout  # one block a call would be 16 000
        assert growth < 1024, done.stdout  # KiB
