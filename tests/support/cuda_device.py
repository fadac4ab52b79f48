"""The two GPUs of the tests: a real one, through torch, and the host that stands in for one."""

from __future__ import annotations

import ctypes
import functools
import importlib
import importlib.util
import math
import os

import numpy as np
import pytest

from personlab.arrays import cuda_module


class OnDevice:
    """An array that offers nothing but `__cuda_array_interface__`, as other libraries' do."""

    def __init__(self, array, **changes):
        self._array = np.ascontiguousarray(array)
        known = self._array.__array_interface__
        self.__cuda_array_interface__ = {
            "shape": self._array.shape,
            "typestr": self._array.dtype.str,
            "data": (known["data"][0], False),
            "version": 2,
            **changes,
        }


class Produced:
    """A DLPack producer that says its memory is a GPU's; remembers the streams it was asked for."""

    def __init__(self, tensor, device=(2, 0)):
        self._tensor, self._device, self.streams = tensor, device, []

    def __dlpack_device__(self):
        return self._device

    def __dlpack__(self, *, stream=None):
        self.streams.append(stream)
        return self._tensor.__dlpack__()


def in_halves(array, element):
    """A torch tensor in host memory of the same numbers in another element type."""
    import torch

    return torch.from_numpy(np.array(array)).to(getattr(torch, element))


def rounded(array, element):
    """The same numbers rounded to another element type, as float32."""
    return in_halves(array, element).float().numpy()


class HostGpu:
    """Arrays over NumPy memory, and the module _cuda_on_host."""

    is_real = False

    def put(self, array, element=None):
        return OnDevice(array) if element is None else Produced(in_halves(array, element))

    def get(self, array):
        known = array.__cuda_array_interface__
        dtype, shape = np.dtype(known["typestr"]), known["shape"]
        size = math.prod(shape) * dtype.itemsize
        return np.frombuffer(ctypes.string_at(known["data"][0], size) if size else b"", dtype).reshape(shape)


class RealGpu:
    """torch tensors on the current device, and the module _cuda."""

    is_real = True

    def put(self, array, element=None):
        import torch

        tensor = torch.from_numpy(np.array(array)) if element is None else in_halves(array, element)
        return tensor.cuda()

    def get(self, array):
        return array.cpu().numpy()


def make_gpu(name, monkeypatch):
    """The fixture `gpu` by name: "host" or "cuda"."""
    if name == "cuda":
        cuda_module.native()  # where there is none this says so, and fails
        return RealGpu()
    try:
        _cuda_on_host = importlib.import_module("personlab._cuda_on_host")
    except ModuleNotFoundError:
        reason = "no module _cuda_on_host: build with -Ccmake.define.PERSONLAB_CUDA_ON_HOST=ON"
        if os.environ.get("PERSONLAB_REQUIRE_CUDA_ON_HOST") == "1":
            pytest.fail(reason, pytrace=False)
        pytest.skip(reason)
    monkeypatch.setattr(cuda_module, "_load", lambda: (_cuda_on_host, ""))
    return HostGpu()


def has_host_build():
    """Whether the stages of the GPU are there as plain C++."""
    return importlib.util.find_spec("personlab._cuda_on_host") is not None


@functools.cache
def describe_gpu():
    """What `personlab.build_info` says of the GPU that tests would run on: "yes: ..." where they can."""
    return cuda_module.describe()
