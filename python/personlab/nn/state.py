"""Weights into networks: all of a network's, in its shapes, and no others."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    import torch
    from numpy.typing import NDArray

_SHOWN = 3  # names in an error message


def fill(model: torch.nn.Module, state: Mapping[str, torch.Tensor | NDArray[np.float32]]) -> None:
    """Copy weights into a network: all of its weights, and no others.

    Raises:
        ValueError: names, shapes or element types are not the network's, or weights are not finite.
    """
    expected = model.state_dict()
    check_shapes({name: value.shape for name, value in expected.items()}, {n: v.shape for n, v in state.items()})
    import torch

    with torch.no_grad():
        for name, value in state.items():
            tensor = torch.as_tensor(np.asarray(value, order="C") if isinstance(value, np.ndarray) else value)
            if tensor.is_floating_point() != expected[name].is_floating_point() or tensor.dtype == torch.bool:
                raise ValueError(f"{name}: expected {expected[name].dtype}, got {tensor.dtype}")
            expected[name].copy_(tensor)
            if not expected[name].isfinite().all():
                raise ValueError(f"{name}: expected finite weights, got NaN or infinity among them")


def describe(build: Callable[[], torch.nn.Module]) -> dict[str, torch.Tensor]:
    """Return the weights of a network by name, as tensors that have a type and a shape but no memory.

    Random numbers are not drawn for them: for tensors without memory, torch would import its compiler to do so, which
    takes a second.
    """
    import torch
    from torch.overrides import TorchFunctionMode

    class NotDrawn(TorchFunctionMode):
        def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            kwargs = kwargs or {}
            initialises = getattr(function, "__module__", None) == torch.nn.init.__name__
            if initialises or function in (torch.Tensor.normal_, torch.Tensor.uniform_):
                return args[0] if args else kwargs["tensor"]
            return function(*args, **kwargs)

    with torch.device("meta"), NotDrawn():
        weights: dict[str, torch.Tensor] = build().state_dict()
    return weights


def check_shapes(expected: Mapping[str, Sequence[int]], got: Mapping[str, Sequence[int]]) -> None:
    """Check the names and shapes of weights against a network's.

    Raises:
        ValueError: names or shapes are not the network's.
    """
    for problem, names in (
        ("missing", [name for name in expected if name not in got]),
        ("not of this network", [name for name in got if name not in expected]),
    ):
        if names:
            raise ValueError(f"weights {problem}: {some(names)}")
    for name, shape in got.items():
        if tuple(shape) != tuple(expected[name]):
            raise ValueError(f"{name}: expected shape {tuple(expected[name])}, got {tuple(shape)}")


def some(names: Iterable[Any], shown: int = _SHOWN) -> str:
    """Return the first names of a list for a message, and the number of the others."""
    words = [str(name)[:80] for name in names]
    return ", ".join(words[:shown]) + (f" and {len(words) - shown} more" if len(words) > shown else "")
