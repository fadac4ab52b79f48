"""A second tree of modules over the same weights: in another mode or at another stride, without a copy."""

from __future__ import annotations

import copy
from typing import TypeVar

from torch import nn

M = TypeVar("M", bound=nn.Module)


def twin(module: M) -> M:
    """Return a copy of the tree of modules over the very same parameters and buffers."""
    copied = copy.copy(module)  # the dicts of parameters and buffers are the same objects, so that .to() reaches both
    copied._modules = {name: child if child is None else twin(child) for name, child in module._modules.items()}
    return copied
