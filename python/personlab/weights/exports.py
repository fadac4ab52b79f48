"""Networks of any source as the content of files for other runtimes, with what prediction needs to know of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from personlab.weights import load_source, load_stored
from personlab.weights.entries import file_entries

if TYPE_CHECKING:
    import os
    from typing import Any


def as_onnx(source: str | os.PathLike[str], *, stride: int | None = None, size: tuple[int, int] | None = None) -> bytes:
    """Return what `load_model` takes as an ONNX file, as `personlab.nn.export_onnx` describes it.

    Networks on a MobileNetV1 need no torch.

    Args:
        source: of the network.
        stride: of the output, input pixels; the one that the network was scored at, else its own, where left out.
        size: (W, H) of its images, pixels, one in each run; None: any size and any number of images.

    Raises:
        ImportError: a package is missing that the source or the export needs.
        OSError, ValueError: the network cannot be loaded.
    """
    stored = load_stored(source, stride=stride)
    config = stored.weights.config
    if stored.method.graph is not None:
        entries = file_entries(stored.method, config, stored.settings)
        if (content := stored.method.graph(stored.weights, entries, size=size)) is not None:
            return content
    from personlab.weights.export import onnx_content

    return onnx_content(_model(source, config.stride), size=size)


def as_program(
    source: str | os.PathLike[str], *, stride: int | None = None, size: tuple[int, int] | None = None
) -> bytes:
    """Return what `load_model` takes as a .pt2 file of torch.export, whose extra file has the entries of an ONNX file.

    Args:
        source: of the network.
        stride: as in `as_onnx`.
        size: as in `as_onnx`.

    Raises:
        ImportError, OSError, ValueError: as in `as_onnx`.
    """
    stored = load_stored(source, stride=stride)
    model = _model(source, stored.weights.config.stride)
    from personlab.weights.export import program_content

    return program_content(model, file_entries(stored.method, model.config, model.settings), size=size)


def _model(source: str | os.PathLike[str], stride: int) -> Any:
    return load_source(source, stride=stride).model
