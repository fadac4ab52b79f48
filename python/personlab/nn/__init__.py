"""Networks in PyTorch: what they share, and names of PersonLab's and of the export, imported when asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from personlab._lazy import lazy_names

if TYPE_CHECKING:
    from personlab.methods.personlab.config import ModelConfig
    from personlab.methods.personlab.network import Outputs, PersonLab, to_fields
    from personlab.methods.personlab.refine_op import refine_offsets
    from personlab.nn.backbones.imagenet import load_imagenet
    from personlab.weights.export import export_onnx, export_program

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

_METHOD = "personlab.methods.personlab"

__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "ModelConfig": f"{_METHOD}.config",
        "Outputs": f"{_METHOD}.network",
        "PersonLab": f"{_METHOD}.network",
        "export_onnx": "personlab.weights.export",
        "export_program": "personlab.weights.export",
        "load_imagenet": "personlab.nn.backbones.imagenet",
        "refine_offsets": f"{_METHOD}.refine_op",
        "to_fields": f"{_METHOD}.network",
    },
)
