"""The backends that tests run a stage on: arrays go where a backend reads them, results come back as NumPy's."""

from __future__ import annotations

import dataclasses
from types import SimpleNamespace

import numpy as np

from personlab import stages

NAMES = ("cpu", "reference", "cuda-host", "cuda")


class Backend(str):
    """What a stage takes as `backend`, with the GPU whose arrays it reads: None on the CPU."""

    __slots__ = ("gpu",)

    def __new__(cls, name, gpu=None):
        backend = super().__new__(cls, "cuda" if gpu else name)
        backend.gpu = gpu
        return backend

    def run(self, stage, *arguments, **how):
        """Results of a stage, by its name, as arrays of the host."""
        how = {name: self.put(value) for name, value in how.items()}
        return self.get(getattr(stages, stage)(*map(self.put, arguments), backend=str(self), **how))

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
