"""Networks from files and names: published ones and our own checkpoints; needs safetensors, and torch to run them."""

from __future__ import annotations

from dataclasses import fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from personlab.methods import METHODS, get_method
from personlab.nn.state import fill
from personlab.settings import Settings
from personlab.weights.checkpoint import (
    Checkpoint,
    Stored,
    check_name,
    is_pickle,
    load_checkpoint,
    read_checkpoint,
    read_settings,
    refuse_pickle,
    save_model,
    save_stored,
)
from personlab.weights.download import cache_folder, default_name, download, hint, known_names, parse_name
from personlab.weights.mean import mean_weights
from personlab.weights.onnx_file import is_exported

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping, Sequence

    import torch

    from personlab.methods import Method

__all__ = [
    "Checkpoint",
    "Stored",
    "UnknownChange",
    "cache_folder",
    "convert",
    "default_name",
    "download",
    "known_names",
    "load_checkpoint",
    "load_model",
    "load_settings",
    "load_source",
    "load_stored",
    "save_model",
]

_MAX_FLOAT16 = 65504.0


class UnknownChange(ValueError):  # noqa: N818
    """A change of a configuration that has no such field: its name, and the method."""


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
    path, own = find_source(source, stride)
    if path.suffix.lower() == ".safetensors" and not path.is_dir():
        checkpoint = load_checkpoint(path, method=method)
    else:
        stored = _read(path, method)
        checkpoint = Checkpoint(_network_of(stored), stored.metadata)
    return checkpoint if own is None else checkpoint._replace(model=checkpoint.model.at_stride(own))


def _network_of(stored: Stored) -> Any:
    model = stored.method.network(stored.weights.config)
    fill(model, stored.weights.state)
    return model.eval()


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
    mean_with: Sequence[str | os.PathLike[str]] = (),
    float16: bool = False,
    changes: Mapping[str, Any] | None = None,
) -> Any:
    """Write a network as a checkpoint; needs no torch but for files of torch.save.

    Args:
        src: a tfjs graph model (its JSON or its folder), an ONNX file of BodyPix, weights of Simple Pose (.pth), a
            published network's name, or a checkpoint, whose settings stay.
        dst: the file to write, whole or not at all; ends in .safetensors.
        stride: of the output, input pixels; the source's own where left out.
        method: of the network, by name or as a record; the one whose file `src` is where left out.
        mean_with: more networks, as `src`; the mean of all is written. One that stands there twice counts twice.
        float16: whether the file holds weights in 16 bits, which are read as float32.
        changes: fields of the configuration that the weights do not tell, by name.

    Returns:
        The configuration of the network: `personlab.nn.ModelConfig`, or that of another method.

    Raises:
        ImportError, OSError, TypeError, ValueError: as `load_model`; also where `dst` cannot be written, or a weight
            lies beyond the range of float16.
        UnknownChange: a name that the configuration does not have.
    """
    check_name(dst)
    path, own = find_source(src, stride)
    stored = _at_stride(_read(path, method), own)
    if mean_with:
        others = [load_stored(one, stride=stride, method=stored.method) for one in mean_with]
        sources = [str(one) for one in (src, *mean_with)]
        stored = stored._replace(weights=mean_weights([stored.weights, *(one.weights for one in others)], sources))
    stored = stored._replace(metadata={"source": ", ".join(Path(one).name for one in (src, *mean_with))})
    if changes:
        known = {field.name for field in fields(stored.weights.config)}
        if unknown := [name for name in changes if name not in known]:
            raise UnknownChange(unknown[0], stored.method.name)
        stored = stored._replace(weights=stored.weights._replace(config=replace(stored.weights.config, **changes)))
    save_stored(_in_float16(stored) if float16 else stored, dst)
    return stored.weights.config


def _in_float16(stored: Stored) -> Stored:
    state = dict(stored.weights.state)
    for name, array in state.items():
        if array.dtype.kind == "f":
            state[name] = np.clip(array, -_MAX_FLOAT16, _MAX_FLOAT16).astype(np.float16)
            if not (np.abs(array) <= _MAX_FLOAT16).all():
                raise ValueError(f"{name}: expected weights of at most {_MAX_FLOAT16:g} for float16, got larger ones")
    return stored._replace(weights=stored.weights._replace(state=state))


def load_stored(
    source: str | os.PathLike[str], *, stride: int | None = None, method: str | Method | None = None
) -> Stored:
    """Load what `load_model` takes as data, without torch; its stride is the one asked for, scored at, or its own.

    Raises:
        ImportError, OSError, TypeError, ValueError: as `load_model`.
    """
    path, own = find_source(source, stride)
    stored = _read(path, method)
    return _at_stride(stored, stored.settings.stride if own is None else own)


def _at_stride(stored: Stored, stride: int | None) -> Stored:
    if stride is None:
        return stored
    weights = stored.weights._replace(config=replace(stored.weights.config, stride=stride))  # refuses an unknown one
    return stored._replace(weights=weights, settings=replace(stored.settings, stride=stride))


def find_source(source: str | os.PathLike[str], stride: int | None) -> tuple[Path, int | None]:
    """Return the path of what `load_model` takes, downloaded where it is a name, and the stride asked for.

    Raises:
        OSError: no such file, or the download failed.
        ValueError: two strides.
    """
    path = Path(source)
    name = parse_name(source) if isinstance(source, str) else None
    if name is not None and not path.exists():
        if stride is not None and name.stride not in (None, stride):
            raise ValueError(f"stride: expected {name.stride} as in the name {source}, got {stride}")
        return download(name.network), stride if name.stride is None else name.stride
    if not path.exists():
        names = ", ".join(known_names())
        raise FileNotFoundError(f"{path}: no such file, nor the name of a network: {names}{hint(str(path))}")
    return path, stride


def _read(path: Path, method: str | Method | None) -> Stored:
    """Read a network as data."""
    kind, pickled = path.suffix.lower(), not path.is_dir() and is_pickle(path)
    if kind == ".safetensors" and not path.is_dir() and not pickled:
        return read_checkpoint(path, method=method)
    if kind == ".onnx" and path.is_file() and not pickled and is_exported(path.read_bytes()):
        raise ValueError(f"{path}: expected weights, got an exported file: give the network that it was made of")
    for reader in [get_method(one) for one in ([method] if method else METHODS)]:
        read = reader.read_pickle if pickled else reader.read
        if read is not None and (weights := read(path)) is not None:
            return Stored(reader, weights, Settings(), {"source": path.name})
    if pickled:
        refuse_pickle(path)
    raise ValueError(f"{path}: expected .safetensors, .onnx, .json or a folder with a tfjs model, got {kind or 'none'}")
