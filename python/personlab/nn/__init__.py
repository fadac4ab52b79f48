"""PersonLab networks in PyTorch; the one part of the package that needs torch."""

from personlab.nn.config import ModelConfig
from personlab.nn.export import export_onnx, export_program
from personlab.nn.imagenet import load_imagenet
from personlab.nn.model import Outputs, PersonLab, to_fields
from personlab.nn.refine import refine_offsets

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
