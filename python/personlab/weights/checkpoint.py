"""Checkpoints: weights as safetensors, with method, configuration and settings as metadata; pickles are refused."""

from __future__ import annotations

import contextlib
import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from personlab.io.files import write_whole
from personlab.io.limits import LONGEST_HEADER, check_header
from personlab.methods import DEFAULT_METHOD, get_method, method_of
from personlab.methods.base import Weights
from personlab.nn.state import check_shapes, describe, fill
from personlab.settings import Settings

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from personlab.methods import Method

_VERSION = 1  # of the metadata
_KEY = "personlab"  # one entry of metadata that holds all: safetensors writes several in any order
_MAX_MESSAGE = 1000  # characters
_PICKLES = (".pt", ".pth", ".ckpt", ".bin", ".pkl", ".pickle")
_ZIP = b"PK\x03\x04"  # what torch.save writes: an archive with a pickle in it
_PICKLE = tuple(bytes((0x80, protocol)) for protocol in range(2, 6))


class Stored(NamedTuple):
    """A network as data, and its metadata; needs no torch."""

    method: Method
    weights: Weights
    settings: Settings
    metadata: dict[str, Any]


class Checkpoint(NamedTuple):
    """A network and its metadata."""

    model: Any  # the network of a method, `personlab.nn.PersonLab` or another
    metadata: dict[str, Any]

    @property
    def settings(self) -> Settings:
        """What the network was scored with and trained on, as far as the file says."""
        settings: Settings = self.model.settings
        return settings


def save_model(model: Any, path: str | os.PathLike[str], metadata: Mapping[str, Any] | None = None) -> None:
    """Write a network, its method and its settings as safetensors; the file appears whole or not at all.

    Args:
        model: a network of any method, on any device.
        path: ends in .safetensors.
        metadata: more to save beside it, of types that JSON holds: source of the weights, training settings.

    Raises:
        FileNotFoundError: the folder does not exist.
        OSError: it cannot be written to.
        TypeError: metadata that JSON cannot hold.
        ValueError: a file name with another ending, or metadata too long to be read again.
    """
    from safetensors.torch import save

    check_name(path)
    entry = _entry(method_of(model), model.config, model.settings, metadata)
    tensors = {name: value.detach().cpu().contiguous() for name, value in model.state_dict().items()}
    write_whole(path, save(tensors, {_KEY: entry}))


def save_stored(stored: Stored, path: str | os.PathLike[str]) -> None:
    """Write a network that is data as `save_model` does; needs no torch.

    Raises:
        OSError, TypeError, ValueError: as `save_model`.
    """
    from safetensors.numpy import save

    check_name(path)
    entry = _entry(stored.method, stored.weights.config, stored.settings, stored.metadata)
    state = {name: np.asarray(array, order="C") for name, array in stored.weights.state.items()}
    write_whole(path, save(state, {_KEY: entry}))


def read_checkpoint(path: str | os.PathLike[str], *, method: str | Method | None = None) -> Stored:
    """Read what `save_model` wrote as data: needs safetensors alone.

    Args:
        path: the file.
        method: of the network, by name or as a record.

    Raises:
        FileNotFoundError: no such file.
        ValueError: as `load_checkpoint`, but for the names and shapes of weights, which are not checked here.
    """
    with _opened(path, "np") as file:
        entry = _read_entry(file)
        own = _method_of(entry, method)
        kind: Any = own.config
        config = kind.from_json(json.dumps(entry.get("config")))
        settings = _settings_of(entry)
        state = {name: _read_array(file, path, name) for name in file.keys()}  # noqa: SIM118  # no dict
    return Stored(own, Weights(config, state), settings, _metadata_of(entry))


def load_checkpoint(path: str | os.PathLike[str], *, method: str | Method | None = None) -> Checkpoint:
    """Load what `save_model` wrote: a network in eval mode on the CPU, and its metadata.

    Args:
        path: the file.
        method: of the network, by name or as a record; a record where it is none of `personlab.methods.METHODS`.

    Raises:
        FileNotFoundError: no such file.
        ValueError: a pickle, a damaged file, safetensors of something else, an unknown method, or weights that are
            missing, too many or of other shapes than the network's.
    """
    with _opened(path, "pt") as file:
        entry = _read_entry(file)
        own = _method_of(entry, method)
        config: Any = own.config
        config = config.from_json(json.dumps(entry.get("config")))
        shapes = {name: file.get_slice(name).get_shape() for name in file.keys()}  # noqa: SIM118  # no dict
        check_fit(own, config, shapes)
        model = own.network(config)
        model.settings = _settings_of(entry)
        if model.settings.stride is not None:
            replace(config, stride=model.settings.stride)  # refuses one that the network does not have
        fill(model, {name: file.get_tensor(name) for name in file.keys()})  # noqa: SIM118
    return Checkpoint(model.eval(), _metadata_of(entry))


def read_settings(path: str | os.PathLike[str]) -> Settings:
    """Read the settings that `save_model` wrote, without the network: needs safetensors alone.

    Raises:
        FileNotFoundError, ValueError: as `load_checkpoint`.
    """
    with _opened(path, "np") as file:
        return _settings_of(_read_entry(file))


def _read_array(file: Any, path: str | os.PathLike[str], name: str) -> NDArray[Any]:
    """Return a tensor of an open checkpoint; one of 16 bits as float32."""
    if file.get_slice(name).get_dtype() != "BF16":  # which NumPy lacks
        array: NDArray[Any] = file.get_tensor(name)
        return array.astype(np.float32) if array.dtype == np.float16 else array
    with Path(path).open("rb") as raw:
        length = int.from_bytes(raw.read(8), "little")
        entry = json.loads(raw.read(length))[name]
        start, end = entry["data_offsets"]
        raw.seek(8 + length + start)
        high = np.frombuffer(raw.read(end - start), "<u2")
    return (high.astype(np.uint32) << 16).view(np.float32).reshape(entry["shape"])


def check_fit(method: Method, config: Any, shapes: Mapping[str, Sequence[int]]) -> None:
    """Check that weights of these shapes are those of a method's network, without memory for the network.

    Raises:
        ValueError: names or shapes are not the network's.
    """
    expected = describe(lambda: method.network(config))
    check_shapes({name: value.shape for name, value in expected.items()}, shapes)


def check_name(path: str | os.PathLike[str]) -> None:
    """Check that the name of a file is that of a checkpoint.

    Raises:
        ValueError: it does not end in .safetensors.
    """
    if Path(path).suffix.lower() != ".safetensors":
        raise ValueError(f"{path}: expected a file name that ends in .safetensors")


def is_pickle(path: str | os.PathLike[str]) -> bool:
    """Return whether only unpickling would open a file, by its name or by its first bytes.

    Raises:
        FileNotFoundError: no such file.
    """
    with Path(path).open("rb") as file:
        start = file.read(9)
    header = start[8:9] == b"{"  # safetensors: the header's length, 8 bytes of any value, then JSON
    pickled = start.startswith(_ZIP) or (start.startswith(_PICKLE) and not header)
    return pickled or Path(path).suffix.lower() in _PICKLES


def refuse_pickle(path: str | os.PathLike[str]) -> None:
    """Refuse a file that only unpickling would open.

    Raises:
        FileNotFoundError: no such file.
        ValueError: a pickle.
    """
    if is_pickle(path):
        raise ValueError(
            f"{path}: expected a safetensors file, got a pickle: loading one runs whatever code its author put there. "
            "Where you trust it, save its state_dict with safetensors.torch.save_file, or make a network in Python, "
            "load the state_dict into it and call personlab.weights.save_model"
        )


@contextlib.contextmanager
def _opened(path: str | os.PathLike[str], framework: str) -> Iterator[Any]:
    """Open a safetensors file; errors in it, and in what the block reads from it, name the path."""
    from safetensors import SafetensorError, safe_open

    refuse_pickle(path)
    check_header(path)
    try:
        with safe_open(path, framework=framework) as file:
            yield file
    except SafetensorError as error:
        raise ValueError(f"{path}: expected a safetensors file, got another or a damaged one ({error})") from None
    except (TypeError, ValueError) as error:
        message = str(error)  # may hold texts of the file
        raise ValueError(f"{path}: {message[:_MAX_MESSAGE]}{'...' * (len(message) > _MAX_MESSAGE)}") from None
    except (OverflowError, RecursionError):
        raise ValueError(f"{path}: expected the metadata of a network, got numbers or lists without end") from None


def _entry(method: Method, config: Any, settings: Settings, metadata: Mapping[str, Any] | None) -> str:
    """Return the metadata of a checkpoint as JSON."""
    facts = {
        "version": _VERSION,
        "method": method.name,
        "config": json.loads(config.to_json()),
        "metadata": dict(metadata or {}),
    }
    if known := settings.to_dict():
        facts["settings"] = known
    entry = json.dumps(facts, sort_keys=True)
    if len(entry) > LONGEST_HEADER // 2:
        raise ValueError(f"metadata: expected at most {LONGEST_HEADER // 2} bytes of JSON, got {len(entry)}")
    return entry


def _read_entry(file: Any) -> dict[str, Any]:
    entry = (file.metadata() or {}).get(_KEY)
    if entry is None:
        raise ValueError("expected the safetensors of a personlab network, got others (no config in metadata)")
    try:
        values = json.loads(entry)
    except ValueError as error:  # no JSON, or an integer of thousands of digits
        raise ValueError(f"metadata: expected JSON, got none ({str(error).partition(';')[0]})") from None
    if not isinstance(values, dict):
        raise ValueError(f"metadata: expected a JSON object, got {type(values).__name__}")  # noqa: TRY004  # of the text
    if values.get("version") != _VERSION:
        raise ValueError(
            f"expected metadata of version {_VERSION}, got {values.get('version')!r}: from a newer personlab?"
        )
    return values


def _method_of(entry: dict[str, Any], method: str | Method | None) -> Method:
    """Return the method of a checkpoint; those written before the second method name none."""
    name = entry.get("method", DEFAULT_METHOD)
    if method is None:
        return get_method(name)
    own = get_method(method)
    if name != own.name:
        raise ValueError(f"method: expected {own.name}, got {name!r}")
    return own


def _metadata_of(entry: dict[str, Any]) -> dict[str, Any]:
    metadata = entry.get("metadata", {})
    return metadata if isinstance(metadata, dict) else {}


def _settings_of(entry: dict[str, Any]) -> Settings:
    values = entry.get("settings", {})
    if not isinstance(values, dict):
        raise ValueError(f"settings: expected a JSON object, got {type(values).__name__}")  # noqa: TRY004  # of the text
    return Settings.from_dict(values)
