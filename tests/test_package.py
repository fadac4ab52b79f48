"""The package as installed: what importing it costs and brings, what it says of itself."""

import importlib
import importlib.metadata
import inspect
import subprocess
import sys
from pathlib import Path

import pytest

import personlab


def fresh(program):
    """Standard output of a fresh interpreter."""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_import_brings_no_heavy_package():
    program = "import sys, personlab; print(*(m for m in sys.modules if '.' not in m))"
    imported = set(fresh(program).split())
    assert "numpy" in imported
    assert not imported & {
        "torch",
        "cv2",
        "pycocotools",
        "PIL",
        "scipy",
        "matplotlib",
        "jsonargparse",
        "tqdm",
        "safetensors",
    }


def test_import_takes_less_than_a_tenth_of_a_second():
    # Of processor time, for the machine may be busy; NumPy, which it needs, is counted apart.
    program = "import time, numpy\nstart = time.process_time()\nimport personlab\nprint(time.process_time() - start)"
    assert min(float(fresh(program)) for _ in range(5)) < 0.1


def test_version_comes_from_one_place():
    assert personlab.__version__ == importlib.metadata.version("personlab")
    assert personlab.build_info()["version"] == personlab.__version__


def test_build_info_is_text():
    info = personlab.build_info()
    assert {"version", "compiler", "instruction set", "cuda"} <= set(info)
    for key, value in info.items():
        assert isinstance(key, str)
        assert isinstance(value, str)
        assert value, key


def test_type_information_is_shipped():
    folder = Path(inspect.getfile(personlab)).parent
    assert (folder / "py.typed").is_file()
    assert (folder / "_core.pyi").is_file()


def test_stubs_name_what_the_core_has():
    from personlab import _core

    stub = (Path(inspect.getfile(personlab)).parent / "_core.pyi").read_text()
    for name in vars(_core):
        if not name.startswith("_"):
            assert name in stub, name


def test_public_names_exist_and_are_described():
    assert len(set(personlab.__all__)) == len(personlab.__all__)  # ruff sorts them
    for name in personlab.__all__:
        thing = getattr(personlab, name)
        if not isinstance(thing, str):
            assert inspect.getdoc(thing), name
    promised = {
        "COCO_PERSON", "DecodeOptions", "Fields", "MaskOptions", "Poses", "Skeleton", "build_info", "decode_masks",
        "decode_poses", "decode_simple_pose", "encode_targets", "stages",
    }  # fmt: skip
    assert promised <= set(personlab.__all__)


def test_names_that_are_imported_when_read_are_listed():
    for name in ("personlab", "personlab.methods", "personlab.nn", "personlab.train", "personlab.visualize"):
        module = importlib.import_module(name)
        assert set(module.__all__) <= set(dir(module)), name
        assert {"__doc__", "__name__"} <= set(dir(module)), name
        with pytest.raises(AttributeError, match=f"module '{name}' has no attribute 'nothing'"):
            _ = module.nothing


def test_stages_are_described():
    poses = ("hough_vote", "find_peaks", "group_poses", "score_poses", "sharpen_keypoints")
    for name in (*poses, "associate_pixels", "refine_offsets", "encode_targets"):
        stage = getattr(personlab.stages, name)
        assert inspect.getdoc(stage)
        assert "backend" in inspect.signature(stage).parameters


def test_without_the_core_the_error_says_how_to_install():
    program = """
import sys

class Hide:
    def find_spec(self, name, path=None, target=None):
        if name == "personlab._core":
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Hide())
try:
    import personlab
except ImportError as error:
    print(type(error).__name__, error)
"""
    said = fresh(program)
    assert said.startswith("ImportError personlab: the compiled core is missing")
    assert "pip install" in said


def test_another_missing_module_is_not_taken_for_the_core():
    program = """
import sys
sys.modules["numpy"] = None
try:
    import personlab
except ModuleNotFoundError as error:
    print(error.name)
"""
    assert fresh(program).startswith("numpy")


SUBINTERPRETER = """
import {module} as interpreters, sys
{first}
code = "import sys; sys.path[:] = " + repr(sys.path) + '''
try:
    import personlab
except ImportError as error:
    print("refused:", error)
else:
    print("works:", personlab.DecodeOptions().native)
'''
number = interpreters.create()
interpreters.run_string(number, code)
interpreters.destroy(number)
print("ended")
"""


@pytest.mark.parametrize("first", ["", "import personlab"])
def test_import_in_a_subinterpreter_ends(first):
    """It is refused: pybind11 would wait there for ever."""
    module = "_xxsubinterpreters" if sys.version_info < (3, 13) else "_interpreters"
    told = fresh(SUBINTERPRETER.format(module=module, first=first))
    assert told.startswith(("refused: personlab: expected the main interpreter, got a subinterpreter", "works: "))
    assert told.endswith("\nended")
