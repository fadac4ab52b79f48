"""The way of a call through the files of the package, which docs/architecture.md writes down: none is entered twice."""

import sys
from pathlib import Path

import numpy as np
import pytest
from scenes import PAIR, pose_fields, random_fields

import personlab

ROOT = Path(personlab.__file__).parent


def entered(call):
    """The files of the package that a call enters, in order; a file that it returns to is not entered again."""
    files = []

    def note(frame, event, _):
        path = Path(frame.f_code.co_filename)
        if event == "call" and path.is_relative_to(ROOT):
            name = path.relative_to(ROOT).as_posix()
            if files[-1:] != [name]:
                files.append(name)

    call()  # imports, and what is kept
    sys.setprofile(note)
    try:
        call()
    finally:
        sys.setprofile(None)
    return files


@pytest.fixture
def arrays():
    return pose_fields(random_fields(0, PAIR, h=9, w=13, stride=8))


def strided(array):
    """The same numbers as float16, not contiguous."""
    return np.ascontiguousarray(array.astype(np.float16).swapaxes(-1, -2)).swapaxes(-1, -2)


@pytest.mark.parametrize("convert", [np.ascontiguousarray, strided])
def test_no_file_is_entered_twice(arrays, convert):
    fields = [convert(array) for array in arrays]
    files = entered(lambda: personlab.decode_poses(*fields, stride=8, skeleton=PAIR))
    assert files[0] == "methods/personlab/decode.py"
    assert files[-1] == "poses.py"
    assert len(files) == len(set(files)), files


def test_ordinary_arrays_enter_three_files(arrays):
    files = entered(lambda: personlab.decode_poses(*arrays, stride=8, skeleton=PAIR))
    assert files == ["methods/personlab/decode.py", "arrays/numbers.py", "poses.py"]
