"""Networks for other runtimes: ONNX and torch.export graphs from pixels to the outputs of the network."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from personlab.arrays.numbers import as_size
from personlab.data.grid import input_step
from personlab.io.files import write_whole
from personlab.methods import method_of
from personlab.nn.twin import twin

if TYPE_CHECKING:
    import os

_FREE_AXES = {0: "batch", 2: "height", 3: "width"}


def export_program(model: Any, *, size: tuple[int, int] | None = None) -> torch.export.ExportedProgram:
    """Trace the network by torch.export, in evaluation mode; the model itself is left as it is.

    Args:
        model: a network of any method, at its own output stride.
        size: (W, H) of its images, pixels; None: any number of images, of any size past the stride both ways, which
            makes two cells and more.

    Returns:
        A program whose module takes images (N, 3, H, W) float32 and returns what the network returns; N = 1 where
        `size` is given.

    Raises:
        TypeError: `size` is no pair of integers.
        ValueError: `size` is not positive.
    """
    if size is None:
        shape, dynamic = _free_axes(model.config)
    else:
        width, height = as_size(size, "size", "(W, H)", 1)
        shape, dynamic = (1, 3, height, width), None
    device = next(model.parameters()).device
    with torch.no_grad():
        return torch.export.export(twin(model).eval(), (torch.zeros(shape, device=device),), dynamic_shapes=dynamic)


def _free_axes(config: Any) -> tuple[tuple[int, ...], Any]:
    """Return the shape of an example, whose free axes are not alike and not 1, and which axes are free.

    torch.export would take sides that are alike, or 1, for a rule.
    """
    stride, step = config.stride, input_step(config)
    if step is None:
        lowest = {"batch": 1, "height": stride + 1, "width": stride + 1}
        axes = {i: torch.export.Dim(name, min=lowest[name]) for i, name in _FREE_AXES.items()}
        return (2, 3, 4 * stride + 1, 5 * stride + 1), {"images": axes}
    sides = {2: step * torch.export.Dim("rows", min=1), 3: step * torch.export.Dim("columns", min=1)}
    return (2, 3, 3 * step, 4 * step), {"images": {0: torch.export.Dim("batch", min=1), **sides}}


def export_onnx(model: Any, path: str | os.PathLike[str], *, size: tuple[int, int] | None = None) -> None:
    """Write the network as one ONNX file, atomically; needs onnx, onnxscript and torch 2.6.

    Input `images` (N, 3, H, W) float32 RGB 0..255; outputs as the method names them, for PersonLab `heatmaps`,
    `short_offsets`, `mid_offsets` and, with masks, `segmentation` and `long_offsets`, in the layout that
    `personlab.decode_poses` takes: output[i] is one image. Metadata entries: `personlab.config`, the configuration as
    JSON, and `personlab.method`, the method's name.

    Args:
        model: a network of any method, at its own output stride.
        path: the file to write.
        size: (W, H) of its images, pixels; None: any size and any number of images.

    Raises:
        ImportError: onnx or onnxscript is missing.
        FileNotFoundError: the folder does not exist.
        ValueError: `size` is not positive.
    """
    program = export_program(model, size=size)
    free = None if size is not None else {"images": _FREE_AXES}  # so that the file names them so
    method = method_of(model)
    names = list(method.outputs(method.decode_masks is not None and model.config.masks))
    onnx: Any = torch.onnx.export(
        program, input_names=["images"], output_names=names, dynamic_shapes=free, dynamo=True, verbose=False
    )
    onnx.model.metadata_props["personlab.config"] = model.config.to_json()
    onnx.model.metadata_props["personlab.method"] = method.name
    write_whole(path, onnx.model_proto.SerializeToString())
