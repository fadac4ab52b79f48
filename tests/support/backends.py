"""The backends that tests run a stage on: arrays go where a backend reads them, results come back as NumPy's."""

from __future__ import annotations

import dataclasses
from types import SimpleNamespace

import numpy as np

from personlab import stages

NAMES = ("cpu", "reference", "cuda-host", "cuda")
# Stages whose numbers on a GPU may differ from the core's, and by how much (rtol, atol); others have the same bits, but
# for masks, where pixels may differ at a threshold: `agreement.assert_same_masks` compares those.
TOLERANCES = {"score_poses": (0, 1e-6), "score_masks": (0, 1e-6), "sharpen_keypoints": (2e-7, 1e-4)}


class Backend(str):
    """What a stage takes as `backend`, with the GPU whose arrays it reads: None on the CPU."""

    __slots__ = ("gpu",)

    def __new__(cls, name, gpu=None):
        backend = super().__new__(cls, "cuda" if gpu else name)
        backend.gpu = gpu
        return backend

    def compute(self, stage, *arguments, **how):
        """Returns the results of a stage, by its name, as arrays of the host."""
        how = {name: self.put(value) for name, value in how.items()}
        return self.get(getattr(stages, stage)(*map(self.put, arguments), backend=str(self), **how))

    def run(self, stage, *arguments, **how):
        """Returns what `compute` does; asserts that the results of a GPU are the core's."""
        results = self.compute(stage, *arguments, **how)
        if self.gpu is not None:
            expected = getattr(stages, stage)(*arguments, **how, backend="cpu")
            assert_same_results(results, expected, TOLERANCES.get(stage))
        return results

    def put(self, value):
        """An array, or each in a tuple, where this backend reads it; anything else as it is."""
        if self.gpu is None:
            return value
        if type(value) is tuple or hasattr(value, "_fields"):
            return tuple(map(self.put, value))
        return self.gpu.put(value) if isinstance(value, np.ndarray) else value

    def get(self, value):
        """The results of a stage with arrays of the host."""
        if self.gpu is None:
            return value
        if isinstance(value, tuple):
            return type(value)(*map(self.get, value))
        if dataclasses.is_dataclass(value):
            return SimpleNamespace(**{f.name: self.get(getattr(value, f.name)) for f in dataclasses.fields(value)})
        return value if isinstance(value, int) else self.gpu.get(value)


def assert_same_results(actual, expected, tolerance=None):
    """Asserts that the results of two backends are the same, bit for bit but for floats with a (rtol, atol)."""
    if isinstance(expected, np.ndarray):
        assert actual.dtype == expected.dtype
        if tolerance is None or expected.dtype.kind != "f":
            np.testing.assert_array_equal(actual, expected)
        else:
            np.testing.assert_allclose(actual, expected, *tolerance)
    elif isinstance(expected, tuple):
        for one, other in zip(actual, expected, strict=True):
            assert_same_results(one, other, tolerance)
    elif dataclasses.is_dataclass(expected):
        for field in dataclasses.fields(expected):
            assert_same_results(getattr(actual, field.name), getattr(expected, field.name), tolerance)
    else:
        assert actual == expected
