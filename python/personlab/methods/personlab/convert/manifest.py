"""Reads tfjs graph models: the list of weights in the JSON, and arrays from the bytes of the files of weights."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

import numpy as np

from personlab.nn.state import some

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

MAX_JSON_BYTES = 4 << 20  # bytes; the published ones have 50 to 160 thousand
_MAX_AXES, _MAX_AXIS = 8, 2**31  # beyond any array of a network
_MAX_LETTERS = 100  # of a name in an error message
_BYTES = {"float32": 4, "int32": 4, "bool": 1, "uint8": 1, "uint16": 2, "float16": 2}  # of an element


@dataclass(frozen=True, kw_only=True)
class Weight:
    """One array in the list of weights."""

    name: str
    shape: tuple[int, ...]
    stored: str  # element type in the files
    minimum: float | None  # quantised: value = minimum + scale * integer; None: not quantised
    scale: float

    @property
    def size(self) -> int:
        """Bytes in the files."""
        return math.prod(self.shape) * _BYTES[self.stored]


@dataclass(frozen=True, kw_only=True)
class Group:
    """Arrays that are concatenated over a sequence of files."""

    paths: tuple[str, ...]  # relative to the model's JSON
    weights: tuple[Weight, ...]

    @property
    def size(self) -> int:
        """Bytes of all arrays of the group."""
        return sum(weight.size for weight in self.weights)


@dataclass(frozen=True, kw_only=True)
class TfjsModel:
    """A tfjs graph model without its weights."""

    topology: dict[str, Any]  # TensorFlow's GraphDef as JSON
    groups: tuple[Group, ...]

    @property
    def paths(self) -> list[str]:
        """All files of weights, relative to the model's JSON."""
        return [path for group in self.groups for path in group.paths]

    @property
    def size(self) -> int:
        """Bytes of all arrays."""
        return sum(group.size for group in self.groups)


def parse_model(content: bytes) -> TfjsModel:
    """Parse the JSON of a tfjs graph model.

    Raises:
        ValueError: `content` is something else, or its list of weights is damaged.
    """
    kind = "expected the JSON of a tfjs graph model"
    if len(content) > MAX_JSON_BYTES:
        raise ValueError(f"{kind} of at most {MAX_JSON_BYTES} bytes, got {len(content)}")
    try:
        model = json.loads(content)
    except RecursionError:
        raise ValueError(f"{kind}, got lists without end") from None
    except ValueError as error:  # UnicodeDecodeError among them
        raise ValueError(f"{kind}, got no JSON ({error})") from None
    if not isinstance(model, dict) or not isinstance(model.get("weightsManifest"), list):
        raise ValueError(f"{kind}, got one without weightsManifest")  # noqa: TRY004  # of the file
    topology = model.get("modelTopology")
    if not isinstance(topology, dict) or not isinstance(topology.get("node"), list):
        raise ValueError(f"{kind}, got one without modelTopology.node (a layers model?)")  # noqa: TRY004
    try:
        return TfjsModel(topology=topology, groups=tuple(map(_group, model["weightsManifest"])))
    except (AttributeError, KeyError, OverflowError, TypeError) as error:
        raise ValueError(f"{kind}, got a damaged weightsManifest ({type(error).__name__}: {error})") from None


def read_weights(model: TfjsModel, read: Callable[[str, int], bytes]) -> dict[str, NDArray[Any]]:
    """Read all arrays of a model by name; floats of all sizes and quantised arrays become float32.

    Args:
        model: as `parse_model` returns it.
        read: (path in the manifest, max bytes) -> content of the file.

    Raises:
        ValueError: the files are longer or shorter than the arrays.
    """
    arrays: dict[str, NDArray[Any]] = {}
    for group in model.groups:
        content = bytearray()
        for path in group.paths:
            content += read(path, group.size - len(content))
        if len(content) != group.size:
            raise ValueError(f"expected {group.size} bytes of weights in {some(group.paths)}, got {len(content)}")
        start = 0
        for weight in group.weights:
            arrays[weight.name] = _array(weight, memoryview(content)[start : start + weight.size])
            start += weight.size
    return arrays


def _group(entry: Any) -> Group:
    paths = tuple(_relative(path) for path in entry["paths"])
    if len(set(paths)) != len(paths):
        raise ValueError(f"expected each file of weights once, got {some(paths)}")
    return Group(paths=paths, weights=tuple(map(_weight, entry["weights"])))


def _relative(path: str) -> str:
    """Check that a path stays inside the folder of the model."""
    parts = PurePosixPath(path)
    if parts.is_absolute() or ".." in parts.parts or "\\" in path or ":" in path or not parts.name:
        raise ValueError(f"expected files of weights beside the model, got {path[:_MAX_LETTERS]!r}")
    return path


def _weight(entry: Any) -> Weight:
    name, shape, stored = str(entry["name"]), tuple(entry["shape"]), entry["dtype"]
    label = f"weight {name[:_MAX_LETTERS]!r}"
    if any(type(n) is not int or n < 0 for n in shape):
        raise ValueError(f"{label}: expected sizes of at least 0, got ({some(shape)})")
    if len(shape) > _MAX_AXES or max(shape, default=0) > _MAX_AXIS:
        raise ValueError(f"{label}: expected at most {_MAX_AXES} sizes of at most {_MAX_AXIS}, got ({some(shape)})")
    minimum, scale = None, 1.0
    quantization = entry.get("quantization")
    if quantization is not None:
        stored = quantization["dtype"]
        if stored != "float16":
            minimum, scale = float(quantization["min"]), float(quantization["scale"])
            if not (math.isfinite(minimum) and math.isfinite(scale)):
                raise ValueError(f"{label}: expected a finite quantization, got {minimum} and {scale}")
    if stored not in _BYTES or (minimum is not None and stored not in ("uint8", "uint16")):
        raise ValueError(f"{label}: expected one of {', '.join(_BYTES)}, got {str(stored)[:_MAX_LETTERS]}")
    return Weight(name=name, shape=shape, stored=stored, minimum=minimum, scale=scale)


def _array(weight: Weight, content: memoryview) -> NDArray[Any]:
    stored = np.frombuffer(content, np.dtype(weight.stored).newbyteorder("<")).reshape(weight.shape)
    if weight.minimum is not None:
        return (weight.minimum + weight.scale * stored.astype(np.float64)).astype(np.float32)
    return stored.astype(np.float32) if weight.stored in ("float32", "float16") else stored.copy()
