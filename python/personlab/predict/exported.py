"""The exported file of a network, made once and kept beside its weights, for engines that run ONNX."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from personlab.io.console import describe_error, log
from personlab.io.files import write_whole
from personlab.methods import DEFAULT_METHOD, get_method
from personlab.settings import Settings
from personlab.weights import find_source
from personlab.weights.download import cache_folder
from personlab.weights.lock import locked
from personlab.weights.onnx_file import is_sealed, read_metadata

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from personlab.methods.base import Method

VERSION = "1"  # of the exported files: older ones are made again
_PATIENCE = 600.0  # seconds for another process that exports
_MAX_FILES = 64  # of the weights in a folder
_CHUNK = 2**22
_MAX_MESSAGE = 1000  # characters


class Facts(NamedTuple):
    """What an exported file says of its network."""

    method: Method
    config: Any  # `Method.config`
    settings: Settings


class Source(NamedTuple):
    """Weights that can be exported."""

    path: Path  # a file or folder
    named: bool  # by the name of a published network
    stride: int | None  # asked for; None: the network's own


def source_of(weights: str | os.PathLike[str], stride: int | None) -> Source:
    """Return the place of weights, downloaded where they are a name.

    Raises:
        OSError, ValueError: as `load_model` raises them.
    """
    path, stride = find_source(weights, stride)
    return Source(path, named=not Path(weights).exists(), stride=stride)


def exported(source: Source, make: Callable[[dict[str, str]], bytes]) -> bytes:
    """Return the exported file of weights: the one that is kept, or, the first time, one that `make` makes.

    It lies beside the weights under their name with ".strideN.onnx" or ".onnx" at the end, or in the cache folder
    (`personlab.weights.cache_folder`) where the weights have a published name, their folder may not be written to, or
    $PERSONLAB_CACHE is set. It is made again where it is damaged, of other weights or of another version.

    Args:
        source: of the weights.
        make: metadata entries to write -> content.

    Raises:
        ImportError, OSError, RuntimeError, ValueError: as `make` raises them.
    """
    entries = {"personlab.export": VERSION, "personlab.weights": digest(source.path)}
    path = _place(source, entries["personlab.weights"])
    if (content := _read(path, entries)) is not None:
        return content
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with locked(path.parent, patience=_PATIENCE):
            content = _read(path, entries)  # another process may have made it meanwhile
            if content is None:
                log(f"exporting {source.path} once, for faster engines, to {path}")
                content = make(entries)
                write_whole(path, content)
    except OSError as error:
        log(f"warning: the exported network is not kept: {describe_error(error)}")
    return make(entries) if content is None else content


def digest(path: Path) -> str:
    """Return the SHA-256 of weights: of a file, or of the names and contents of the files in a folder.

    Raises:
        OSError: they cannot be read.
    """
    content = hashlib.sha256()
    for file in _files(path):
        content.update(f"{file.name}\n".encode() if file != path else b"")
        with file.open("rb") as opened:
            while chunk := opened.read(_CHUNK):
                content.update(chunk)
    return content.hexdigest()


def _files(path: Path) -> Iterator[Path]:
    """Yield the files of weights: of a tfjs model, whose JSON names others, all in its folder."""
    if path.is_dir() or path.suffix.lower() == ".json":
        folder = path if path.is_dir() else path.parent
        if path.is_file():
            yield path
        files = sorted(file for file in folder.iterdir() if file.is_file() and file != path and file.suffix != ".onnx")
        if len(files) > _MAX_FILES:
            raise OSError(f"{folder}: expected a folder of at most {_MAX_FILES} files of weights, got {len(files)}")
        yield from files
    else:
        yield path


def _place(source: Source, weights: str) -> Path:
    ending = ".onnx" if source.stride is None else f".stride{source.stride}.onnx"
    own = Path(f"{source.path.resolve()}{ending}")
    if not (source.named or os.environ.get("PERSONLAB_CACHE")) and _may_write(own.parent):
        return own
    return cache_folder() / f"{source.path.name}.{weights[:16]}{ending}"


def _may_write(folder: Path) -> bool:
    """Return whether files may be made in a folder; root does not override its mode."""
    return os.access(folder, os.W_OK) and bool(folder.stat().st_mode & 0o222)


def _read(path: Path, entries: dict[str, str]) -> bytes | None:
    """Return the content of an exported file if it is whole and has these entries."""
    try:
        content = path.read_bytes()
    except OSError:
        return None
    if not is_sealed(content):
        return None
    known: dict[str, Any] = read_metadata(content)
    return content if all(known.get(name) == value for name, value in entries.items()) else None


def read_facts(content: bytes) -> Facts | None:
    """Return what the metadata of an ONNX file say of its network; None of a file without ours.

    Raises:
        ValueError: no ONNX file, a damaged one, or metadata of another version.
    """
    known = read_metadata(content)
    if "personlab.config" not in known:
        return None
    method = get_method(known.get("personlab.method", DEFAULT_METHOD))
    kind: Any = method.config
    try:
        settings = json.loads(known.get("personlab.settings", "{}"))
        if not isinstance(settings, dict):
            raise ValueError(f"settings: expected a JSON object, got {type(settings).__name__}")  # noqa: TRY301, TRY004
        return Facts(method, kind.from_json(known["personlab.config"]), Settings.from_dict(settings))
    except (RecursionError, TypeError, ValueError) as error:
        raise ValueError(f"metadata: {str(error)[:_MAX_MESSAGE]}") from None
