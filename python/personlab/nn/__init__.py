"""PersonLab networks in PyTorch; the one part of the package that needs torch."""

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
