"""Convolutions without cuDNN are PyTorch's own, in this thread alone."""

import threading

import pytest
import torch
from torch import nn

from personlab.nn import ModelConfig, PersonLab
from personlab.predict.engines.torch_unplanned import UnplannedConvolutions

KINDS = {
    "pointwise": {"kernel_size": 1},
    "pointwise, strided": {"kernel_size": 1, "stride": 2},
    "pointwise, padded": {"kernel_size": 1, "padding": (1, 0)},
    "pointwise, in groups": {"kernel_size": 1, "groups": 2},
    "depthwise": {"kernel_size": 3, "groups": 8, "padding": 2, "dilation": 2},
    "depthwise, without bias": {"kernel_size": (3, 1), "groups": 8, "stride": 2, "bias": False},
    "by name": {"kernel_size": 3, "padding": "same", "groups": 8},
    "dense": {"kernel_size": 3, "padding": 1},
    "of few channels": {"kernel_size": 7, "stride": 2, "in_channels": 3},
    "of one channel": {"kernel_size": 3, "in_channels": 1},
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_they_are_torchs(kind, layout):
    torch.manual_seed(0)
    conv = nn.Conv2d(**{"in_channels": 8, "out_channels": 8, **KINDS[kind]})
    images = torch.randn(2, conv.in_channels, 11, 14).to(memory_format=layout)
    expected = conv(images)
    with UnplannedConvolutions():
        torch.testing.assert_close(conv(images), expected, rtol=1e-5, atol=1e-5)
        torch.testing.assert_close(
            torch.conv2d(images, conv.weight, stride=conv.stride, groups=conv.groups),
            torch.nn.functional.conv2d(images, conv.weight, None, conv.stride, 0, 1, conv.groups),
        )


@pytest.mark.parametrize("kind", ["pointwise", "depthwise", "of few channels", "dense"])
def test_they_are_torchs_in_16_bits(kind):
    conv = nn.Conv2d(**{"in_channels": 8, "out_channels": 8, **KINDS[kind]})
    images = torch.randn(2, conv.in_channels, 11, 14)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        expected = conv(images)
        with UnplannedConvolutions():
            torch.testing.assert_close(conv(images), expected, rtol=0.016, atol=0.004)  # of one type, too


def test_which_run_without_cudnn():
    names, network = [], PersonLab(ModelConfig(width=0.5)).eval()

    class Spy(torch.utils._python_dispatch.TorchDispatchMode):
        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            names.append(str(func))
            return func(*args, **(kwargs or {}))

    images = torch.rand(1, 3, 65, 81)
    with torch.no_grad(), Spy():
        plain = network(images)
        planned = [name for name in names if "convolution" in name]
        names.clear()
        with UnplannedConvolutions():
            unplanned = network(images)
    assert {name for name in planned if "aten" in name} == {"aten.convolution.default"}
    assert not [name for name in names if name == "aten.convolution.default"]
    torch.testing.assert_close(unplanned.heatmaps, plain.heatmaps, rtol=1e-4, atol=1e-4)


def test_other_threads_keep_cudnn():
    seen = []

    class Images(torch.Tensor):
        @classmethod
        def __torch_function__(cls, func, types, args=(), kwargs=None):
            seen.append(func)
            return super().__torch_function__(func, types, args, kwargs or {})

    images, weight = torch.ones(1, 4, 3, 3).as_subclass(Images), torch.ones(2, 4, 1, 1)
    with UnplannedConvolutions():
        other = threading.Thread(target=lambda: torch.conv2d(images, weight))
        other.start()
        other.join()
    assert seen[0] is torch.conv2d
