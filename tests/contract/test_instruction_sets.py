"""Whatever instruction set runs, the bytes are the same; and the environment variable that chooses one does."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from processes import ROOT, run_with_isa, runnable_isas

from personlab import _core, build_info

DIGEST = """
import hashlib, sys
from pathlib import Path
import numpy as np
from personlab import DecodeOptions, Fields, decode_masks, decode_poses, stages
from personlab.arrays.array import BFLOAT16

digest = hashlib.sha256()
rng = np.random.default_rng(0)
heatmaps = rng.normal(0, 3, (3, 23, 31)).astype(np.float32)
offsets = rng.normal(0, 9, (3, 2, 23, 31)).astype(np.float32)
heatmaps[rng.random(heatmaps.shape) < 0.05] = np.nan
offsets[rng.random(offsets.shape) < 0.05] = np.inf
for threshold in (0.3, 1e-4):
    for g in (1, 2, 3, 7, 9):
        options = DecodeOptions(hough_stride=g, vote_threshold=threshold, disk_radius=5)
        digest.update(stages.hough_vote(heatmaps, offsets, stride=8, options=options).tobytes())
for path in sorted(Path(sys.argv[1]).glob("*.npz")):
    fields = Fields.load(path)
    for options in (DecodeOptions(hough_stride=2), DecodeOptions(hough_stride=3), DecodeOptions.posenet(0.1)):
        poses = decode_poses(
            fields.heatmaps, fields.short_offsets, fields.mid_offsets, stride=fields.stride, options=options
        )
        for array in (poses.keypoints, poses.keypoint_scores, poses.keypoint_probabilities, poses.scores):
            digest.update(array.tobytes())
        masks, scores = decode_masks(
            poses, fields.segmentation, fields.long_offsets, short_offsets=fields.short_offsets,
            stride=fields.stride, size=(237, 301), return_scores=True,
        )
        digest.update(masks.tobytes() + scores.tobytes())
# Fields of 16 bits: any bits at all, then real ones.
bits = {
    "heatmaps": (17, 23, 31), "short_offsets": (17, 2, 23, 31), "mid_offsets": (32, 2, 23, 31),
    "segmentation": (1, 23, 31), "long_offsets": (17, 2, 23, 31),
}
real = Fields.load(Path(sys.argv[1]) / "couple_641_s8.npz")
for dtype in (np.float16, BFLOAT16):
    noise = {name: rng.integers(0, 2**16, shape, np.uint16).view(dtype) for name, shape in bits.items()}
    if dtype is np.float16:
        image = {name: getattr(real, name).astype(dtype) for name in bits}
    else:
        image = {name: (getattr(real, name).view(np.uint32) >> 16).astype(np.uint16).view(dtype) for name in bits}
    for arrays in (noise, image):
        for options in (DecodeOptions(hough_stride=2), DecodeOptions.posenet(0.1)):
            poses = decode_poses(
                arrays["heatmaps"], arrays["short_offsets"], arrays["mid_offsets"], stride=8, options=options
            )
            for array in (poses.keypoints, poses.keypoint_scores, poses.keypoint_probabilities, poses.scores):
                digest.update(array.tobytes())
            masks, scores = decode_masks(
                poses, arrays["segmentation"], arrays["long_offsets"], short_offsets=arrays["short_offsets"],
                stride=8, size=(237, 301), return_scores=True,
            )
            digest.update(masks.tobytes() + scores.tobytes())
print(digest.hexdigest())
"""


def test_same_bytes_from_every_instruction_set(data):
    names = runnable_isas()
    assert "baseline" in names
    digests = {name: run_with_isa(DIGEST, name, str(data / "fields")) for name in names}
    assert all(result.returncode == 0 for result in digests.values()), digests
    assert len({result.stdout for result in digests.values()}) == 1


@pytest.mark.parametrize("name", runnable_isas())
def test_the_variable_chooses(name):
    result = run_with_isa("import personlab; print(personlab.build_info()['instruction set'])", name)
    assert result.stdout.split()[0] == name


def test_an_unknown_name_is_refused():
    result = run_with_isa("import personlab", "mmx")
    assert result.returncode != 0
    assert "PERSONLAB_ISA: expected one of baseline" in result.stderr
    assert "'mmx'" in result.stderr


def test_build_info_tells():
    assert build_info()["instruction set"].startswith(_core.instruction_set)


@pytest.mark.skipif(platform.machine() not in ("x86_64", "AMD64") or sys.platform == "win32", reason="not x86-64")
def test_kernels_of_x86_are_in_the_build():
    assert _core.instruction_sets == "baseline, avx2, avx512"


# --- a second method -------------------------------------------------------------------------------------------------

FLAGS = {
    "baseline": [],
    "avx2": ["-mavx2", "-mfma", "-mf16c"],
    "avx512": [
        "-mfma", "-mavx512f", "-mavx512bw", "-mavx512dq", "-mavx512vl",
        "-Wno-maybe-uninitialized", "-Wno-uninitialized",
    ],
}  # fmt: skip


@pytest.fixture(scope="session")
def second_method(tmp_path_factory):
    """The program `second_method.cpp`, compiled with its kernels for each instruction set, without optimisation."""
    compiler = os.environ.get("CXX") or shutil.which("c++")
    if compiler is None or sys.platform == "win32":
        pytest.skip("no C++ compiler of the kind that takes these flags")
    folder = tmp_path_factory.mktemp("second_method")
    here, core = Path(__file__).parent, ROOT / "src" / "cpp"
    compiler = [compiler, "-std=c++17", "-O0", "-ffp-contract=off", f"-I{core}", f"-I{core / 'include'}", f"-I{here}"]
    names = _core.instruction_sets.split(", ")
    objects = [str(folder / f"{name}.o") for name in names]
    for name, file in zip(names, objects, strict=True):
        kernels = [f"-DPERSONLAB_KERNELS={name}", "-c", str(here / "second_kernels.cpp"), "-o", file]
        subprocess.run([*compiler, *FLAGS[name], *kernels], check=True)
    program = folder / "second_method"
    choice = [str(here / "second_method.cpp"), str(core / "simd" / "dispatch.cpp"), *objects, "-o", str(program)]
    subprocess.run([*compiler, *(["-DPERSONLAB_X86_KERNELS"] if len(names) > 1 else []), *choice], check=True)
    return program


@pytest.mark.parametrize("name", runnable_isas())
def test_a_second_kernel_table_computes_as_scalars_do(second_method, name):
    done = subprocess.run(
        [second_method], env={**os.environ, "PERSONLAB_ISA": name}, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (0, f"{name}\n"), done.stderr
