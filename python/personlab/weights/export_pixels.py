"""Networks as the engines of this library run them: ONNX from uint8 pixels as images have them to float32 outputs."""

from __future__ import annotations

import contextlib
import logging
import warnings
from typing import TYPE_CHECKING, Any

import torch

from personlab.data.grid import input_step
from personlab.methods import method_of
from personlab.nn.twin import twin
from personlab.weights.onnx_file import seal

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_NOISY = ("torch.onnx", "onnxscript", "torch.export")  # loggers that tell of the exporter's own affairs


class _FromPixels(torch.nn.Module):
    """A network that takes images as they lie in memory; the engine lays them out, at the speed of its graph."""

    def __init__(self, network: Any) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: torch.Tensor) -> Any:
        """Return the outputs for images (N, H, W, 3) uint8 RGB."""
        return self.network(images.permute(0, 3, 1, 2).float())


def export_pixels(model: Any, entries: Mapping[str, str]) -> bytes:
    """Return the network as an ONNX file for the engines; needs onnx, onnxscript and torch 2.6.

    Input `images` (N, H, W, 3) uint8 RGB, outputs as the method names them. Where the method's images have sizes of
    one remainder by the stride (`Method.size_rest`), the file holds for these alone: the padding of its convolutions is
    then known, which spares a copy of the image in each that moves by 2, and two thirds of the time to load.

    Args:
        model: a network of any method, at its own output stride; it is left as it is.
        entries: more metadata.

    Raises:
        ImportError: onnx or onnxscript is missing.
    """
    method, stride = method_of(model), model.config.stride
    names = list(method.outputs(method.decode_masks is not None and model.config.masks))
    rest = method.size_rest
    shape = (2, 4 * stride + (rest or 0), 5 * stride + (rest or 0), 3)
    lowest = 1 if rest is not None else stride + 1
    height, width = (torch.export.Dim(name, min=lowest) for name in ("rows", "columns"))
    sizes = {1: height, 2: width} if rest is None else {1: stride * height + rest, 2: stride * width + rest}
    if (step := input_step(model.config)) is not None:
        shape = (2, 3 * step, 4 * step, 3)
        sizes = {1: step * torch.export.Dim("rows", min=1), 2: step * torch.export.Dim("columns", min=1)}
    device = next((parameter.device for parameter in model.parameters()), torch.device("cpu"))
    with _silence(), torch.no_grad():
        program = torch.export.export(
            _FromPixels(twin(model)).eval(), (torch.zeros(shape, dtype=torch.uint8, device=device),),
            dynamic_shapes={"images": {0: torch.export.Dim("batch", min=1), **sizes}},
        )  # fmt: skip
        free = {"images": {0: "batch", 1: "height", 2: "width"}}
        onnx: Any = torch.onnx.export(
            program, input_names=["images"], output_names=names, dynamic_shapes=free, dynamo=True, verbose=False
        )
    facts = {"personlab.method": method.name, "personlab.config": model.config.to_json()}
    return seal(onnx.model_proto.SerializeToString(), {**facts, **entries})


@contextlib.contextmanager
def _silence() -> Iterator[None]:
    """Keep what the exporter logs and warns of from the user, who can do nothing about it."""
    levels = {name: logging.getLogger(name).level for name in _NOISY}
    try:
        for name in levels:
            logging.getLogger(name).setLevel(logging.ERROR)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for name, level in levels.items():
            logging.getLogger(name).setLevel(level)
