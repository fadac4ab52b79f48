"""Reads a MATLAB file by scipy, in a process of its own: damaged files make scipy's reader crash, not raise alone."""

from __future__ import annotations

import contextlib
import io
import json
import os
import subprocess
import sys
import warnings
from typing import TYPE_CHECKING, Any

from personlab.data.coco_file import MAX_BYTES
from personlab.io.files import read_up_to

if TYPE_CHECKING:
    from personlab.data.coco_file import PathLike

_MAX_MEMORY = 2**34  # bytes of the process: a damaged file may ask for any number
_MAX_SECONDS = 900  # likewise; MPII's release takes one or two minutes
_IS_HDF5 = 3  # exit code: MATLAB 7.3


def read_mat(path: PathLike, variable: str) -> list[Any]:
    """Return the values of an array in a MATLAB file, flat: numbers, texts, and dicts of such lists for structs.

    Values of other kinds, cells among them, are None.

    Raises:
        ImportError: scipy is not installed.
        OSError: the file cannot be read.
        ValueError: it is damaged, or has no such variable.
    """
    import scipy  # noqa: F401  # raises here, where it is described

    content = read_up_to(path, MAX_BYTES)
    search = os.pathsep.join(folder for folder in sys.path if folder)
    command = [sys.executable, "-m", __name__, variable]
    try:
        done = subprocess.run(  # noqa: S603
            command, input=content, capture_output=True, timeout=_MAX_SECONDS, check=False,
            env={**os.environ, "PYTHONPATH": search, "OPENBLAS_NUM_THREADS": "1"},
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        raise _refused(path, variable, "one that takes too long to read") from None
    if done.returncode != 0:  # it raised, or crashed
        what = "one of MATLAB 7.3" if done.returncode == _IS_HDF5 else "another or a damaged file"
        raise _refused(path, variable, what)
    values: list[Any] = json.loads(done.stdout)
    return values


def _refused(path: PathLike, variable: str, got: str) -> ValueError:
    return ValueError(f"{path}: expected a MATLAB file with {variable}, got {got}")


def _plain(value: Any) -> list[Any]:
    """Return an array as `read_mat` describes it."""
    if not hasattr(value, "dtype"):
        return [None]
    return [_plain_element(element) for element in value.ravel(order="F").tolist()]


def _plain_element(element: Any) -> Any:
    if hasattr(element, "_fieldnames"):
        return {name: _plain(getattr(element, name)) for name in element._fieldnames}
    return element if isinstance(element, (str, int, float)) else None


def _main() -> int:
    """Read a file from standard input, and write the values of a variable as JSON."""
    from scipy.io import loadmat

    with contextlib.suppress(ImportError, ValueError, OSError):
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (_MAX_MEMORY, _MAX_MEMORY))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    warnings.simplefilter("ignore")
    content = io.BytesIO(sys.stdin.buffer.read())
    try:
        array = loadmat(content, struct_as_record=False, variable_names=[sys.argv[1]])[sys.argv[1]]
    except NotImplementedError:
        return _IS_HDF5
    sys.stdout.write(json.dumps(_plain(array)))
    return 0


if __name__ == "__main__":
    sys.exit(_main())
