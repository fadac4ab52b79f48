"""Networks from files and names: published ones and our own checkpoints; needs torch and safetensors."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from personlab.methods import METHODS, get_method
from personlab.settings import Settings
from personlab.weights.checkpoint import (
    Checkpoint,
    check_name,
    is_pickle,
    load_checkpoint,
    read_settings,
    refuse_pickle,
    save_model,
)
from personlab.weights.download import cache_folder, download, hint, known_names, parse_name

if TYPE_CHECKING:
    import os

    import torch

    from personlab.methods import Method

__all__ = [
    "Checkpoint",
    "cache_folder",
    "convert",
    "download",
    "known_names",
    "load_checkpoint",
    "load_model",
    "load_settings",
    "load_source",
    "save_model",
]


def load_model(
    source: str | os.PathLike[str],
    *,
    stride: int | None = None,
    device: str | torch.device = "cpu",
    method: str | Method | None = None,
) -> Any:
    """Load a network, in eval mode.

    Args:
        source: a checkpoint (.safetensors), a tfjs graph model (its JSON or its folder), an ONNX file of BodyPix,
            weights of Simple Pose as torch.save wrote them (.pth), or the name of a published network (`known_names`,
            "-stride8" or "-stride16" may follow), which is downloaded to `cache_folder()` the first time. A file or
            folder of that name comes first.
        stride: of the output, input pixels; the source's own where left out.
        device: of its weights.
        method: of the network, by name or as a record; a record where it is none of `personlab.methods.METHODS`.

    Returns:
        `personlab.nn.PersonLab`, or the network of another method.

    Raises:
        ImportError: a package is missing that the kind of file needs.
        OSError: no such file, or the download failed.
        TypeError: an argument of the wrong type.
        ValueError: a pickle, a damaged file, an unknown network, or two strides.
    """
    return load_source(source, stride=stride, method=method).model.to(device).eval()


def load_source(
    source: str | os.PathLike[str], *, stride: int | None = None, method: str | Method | None = None
) -> Checkpoint:
    """Load what `load_model` takes, with its metadata, on the CPU.

    Raises:
        ImportError, OSError, TypeError, ValueError: as `load_model`.
    """
    checkpoint = _read(source, stride, method)
    return checkpoint if stride is None else checkpoint._replace(model=checkpoint.model.at_stride(stride))


def load_settings(source: str | os.PathLike[str]) -> Settings:
    """Read the settings of what `load_model` takes, as far as known, without loading the network.

    Raises:
        OSError, ValueError: a checkpoint that cannot be read.
    """
    path = Path(source)
    name = parse_name(source) if isinstance(source, str) else None
    if name is not None and not path.exists():
        settings = read_settings(download(name.network)) if name.is_shipped else Settings()
        return settings if name.stride is None else replace(settings, stride=name.stride)
    return read_settings(path) if path.suffix.lower() == ".safetensors" and path.is_file() else Settings()


def convert(
    src: str | os.PathLike[str],
    dst: str | os.PathLike[str],
    *,
    stride: int | None = None,
    method: str | Method | None = None,
) -> Any:
    """Write a published network as a checkpoint.

    Args:
        src: a tfjs graph model (its JSON or its folder), an ONNX file of BodyPix, weights of Simple Pose (.pth), or a
            published network's name.
        dst: the file to write, whole or not at all; ends in .safetensors.
        stride: of the output, input pixels; the source's own where left out.
        method: of the network, by name or as a record; the one whose file `src` is where left out.

    Returns:
        The configuration of the network: `personlab.nn.ModelConfig`, or that of another method.

    Raises:
        ImportError, OSError, TypeError, ValueError: as `load_model`; also where `dst` cannot be written.
    """
    check_name(dst)
    model = load_model(src, stride=stride, method=method)
    save_model(model, dst, {"source": Path(src).name})
    return model.config


def _read(source: Any, stride: int | None, method: str | Method | None) -> Checkpoint:
    path = Path(source)
    name = parse_name(source) if isinstance(source, str) else None
    if name is not None and not path.exists():
        if stride is not None and name.stride not in (None, stride):
            raise ValueError(f"stride: expected {name.stride} as in the name {source}, got {stride}")
        checkpoint = load_checkpoint(download(name.network), method=method)
        return checkpoint if name.stride is None else checkpoint._replace(model=checkpoint.model.at_stride(name.stride))
    if not path.exists():
        names = ", ".join(known_names())
        raise FileNotFoundError(f"{path}: no such file, nor the name of a network: {names}{hint(str(path))}")
    kind, readers = path.suffix.lower(), [get_method(one) for one in ([method] if method else METHODS)]
    pickled = not path.is_dir() and is_pickle(path)
    if kind == ".safetensors" and not path.is_dir() and not pickled:
        return load_checkpoint(path, method=method)
    for reader in readers:
        read = reader.read_pickle if pickled else reader.read
        if read is not None and (model := read(path)) is not None:
            return Checkpoint(model, {"source": path.name})
    if pickled:
        refuse_pickle(path)
    raise ValueError(f"{path}: expected .safetensors, .onnx, .json or a folder with a tfjs model, got {kind or 'none'}")
