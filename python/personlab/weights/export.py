"""Networks for other runtimes: ONNX and torch.export graphs from pixels to the outputs of the network."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import torch

from personlab.arrays.numbers import as_size
from personlab.data.grid import input_step
from personlab.io.files import write_whole
from personlab.methods import method_of
from personlab.nn.twin import twin
from personlab.settings import Settings
from personlab.weights.entries import file_entries

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping, Sequence

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
    return _trace(twin(model).eval(), model, size)


def program_content(model: Any, entries: Mapping[str, str], *, size: tuple[int, int] | None = None) -> bytes:
    """Return the content of a .pt2 file whose program returns a dict of outputs by name; it loads without personlab.

    Args:
        model: as in `export_program`.
        entries: extra files.
        size: as in `export_program`.

    Raises:
        TypeError, ValueError: as `export_program`.
    """
    file = io.BytesIO()
    program = _trace(_Named(twin(model).eval(), output_names(model)).eval(), model, size)
    torch.export.save(program, file, extra_files=dict(entries))
    return file.getvalue()


def output_names(model: Any) -> list[str]:
    """Return the names of a network's outputs, in the order of exported files."""
    method = method_of(model)
    return list(method.outputs(method.decode_masks is not None and model.config.masks))


class _Named(torch.nn.Module):
    """A network whose outputs are a dict."""

    def __init__(self, network: Any, names: Sequence[str]) -> None:
        super().__init__()
        self.network, self.names = network, tuple(names)

    def forward(self, images: torch.Tensor) -> dict[str, torch.Tensor]:
        outputs = self.network(images)
        return {name: getattr(outputs, name) for name in self.names}


def _trace(module: torch.nn.Module, model: Any, size: tuple[int, int] | None) -> torch.export.ExportedProgram:
    if size is None:
        shape, dynamic = _free_axes(model.config)
    else:
        width, height = as_size(size, "size", "(W, H)", 1)
        shape, dynamic = (1, 3, height, width), None
    device = next(model.parameters()).device
    with torch.no_grad():
        return torch.export.export(module, (torch.zeros(shape, device=device),), dynamic_shapes=dynamic)


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
    `personlab.decode_poses` takes: output[i] is one image. Metadata entries: `personlab.config` and
    `personlab.settings`, the configuration and what the network is used with as JSON, and `personlab.method`.

    Args:
        model: a network of any method, at its own output stride.
        path: the file to write.
        size: (W, H) of its images, pixels; None: any size and any number of images.

    Raises:
        ImportError: onnx or onnxscript is missing.
        FileNotFoundError: the folder does not exist.
        ValueError: `size` is not positive.
    """
    write_whole(path, onnx_content(model, size=size))


def onnx_content(model: Any, *, size: tuple[int, int] | None = None) -> bytes:
    """Return the content of the file that `export_onnx` writes.

    Raises:
        ImportError, ValueError: as `export_onnx`.
    """
    program = export_program(model, size=size)
    free = None if size is not None else {"images": _FREE_AXES}  # so that the file names them so
    method, names = method_of(model), output_names(model)
    onnx: Any = torch.onnx.export(
        program, input_names=["images"], output_names=names, dynamic_shapes=free, dynamo=True, verbose=False
    )
    onnx.model.metadata_props.update(file_entries(method, model.config, getattr(model, "settings", Settings())))
    return bytes(onnx.model_proto.SerializeToString())
