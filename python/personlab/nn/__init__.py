"""Networks in PyTorch: their parts and export, and PersonLab's own, imported when they are asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from personlab.methods.personlab.network import Outputs, PersonLab, to_fields
    from personlab.methods.personlab.refine_op import refine_offsets
    from personlab.nn.backbones.imagenet import load_imagenet
    from personlab.nn.config import ModelConfig
    from personlab.nn.export import export_onnx, export_program

__all__ = [
    "ModelConfig",
    "Outputs",
    "PersonLab",
    "export_onnx",
    "export_program",
    "load_imagenet",
    "refine_offsets",
    "to_fields",
]

_LAZY = {
    "ModelConfig": "personlab.nn.config",
    "Outputs": "personlab.methods.personlab.network",
    "PersonLab": "personlab.methods.personlab.network",
    "export_onnx": "personlab.nn.export",
    "export_program": "personlab.nn.export",
    "load_imagenet": "personlab.nn.backbones.imagenet",
    "refine_offsets": "personlab.methods.personlab.refine_op",
    "to_fields": "personlab.methods.personlab.network",
}


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_LAZY[name]), name)
