"""Networks by name: checkpoints in the package, and published networks, downloaded once into a cache folder."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import urllib.parse
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from personlab.io.console import progress_bar
from personlab.io.limits import read_limited
from personlab.methods import DEFAULT_METHOD, METHODS, get_method
from personlab.methods.base import Weights
from personlab.settings import Settings
from personlab.weights.fetch import TOTAL, download_pace, fetch, fetch_bytes
from personlab.weights.lock import locked

if TYPE_CHECKING:
    from personlab.methods import Method
    from personlab.methods.base import Published
    from personlab.weights.pace import Pace

_MAX_BYTES = 256 << 20  # of a network's weights
_MAX_FILES = 64  # of a network's weights


class Name(NamedTuple):
    """The name of a network, and the stride that its ending states."""

    network: str  # one of `known_names`
    stride: int | None  # None where the name states none

    @property
    def is_shipped(self) -> bool:
        """Whether the network comes with the package."""
        return any(self.network in published.shipped for published in _all_published())


def known_names() -> tuple[str, ...]:
    """Return the names of networks, those in the package first; `-stride8` or `-stride16` may follow a name."""
    published = _all_published()
    return (*(name for one in published for name in one.shipped), *(name for one in published for name in one.digests))


def default_name(method: str | Method = DEFAULT_METHOD) -> str | None:
    """Return the name of the network for photographs that a method predicts with where none is named, if any."""
    published = get_method(method).published
    return None if published is None else published.default


def parse_name(text: str) -> Name | None:
    """Split a network's name from its stride; None for other texts."""
    match = re.fullmatch(r"(.+?)(?:-stride(8|16))?", text)
    if match is None or match[1] not in known_names():
        return None
    return Name(match[1], int(match[2]) if match[2] else None)


def hint(text: str) -> str:
    """Return advice for the name of a network that a server has and whose digest is unknown; empty for other texts."""
    for published in _all_published():
        located = published.locate(text)
        if located is not None and located[0] not in published.digests:
            url = f"{published.base_url}/{located[1]}"
            advice = f"fetch {url} and the files it names, and give their folder"
            return f" (no SHA-256 of {located[0]} is known here: {advice})"
    return ""


def cache_folder() -> Path:
    """Return the folder of downloads: $PERSONLAB_CACHE, else $XDG_CACHE_HOME/personlab, else ~/.cache/personlab."""
    if own := os.environ.get("PERSONLAB_CACHE"):
        return Path(own).expanduser()
    shared = os.environ.get("XDG_CACHE_HOME")
    return (Path(shared) if shared else Path.home() / ".cache") / "personlab"


def download(name: str, *, base_url: str | None = None, cache: str | os.PathLike[str] | None = None) -> Path:
    """Return the checkpoint of a network: the package's own, or one in the cache folder, downloaded the first time.

    A download that breaks off is resumed, in the same call and in later ones. Weights are stored only if their SHA-256
    is the expected one.

    Args:
        name: one of `known_names`, with or without a stride.
        base_url: http or https; $PERSONLAB_WEIGHTS_URL, else the publisher's server, where left out.
        cache: the folder; `cache_folder()` where left out.

    Returns:
        The path of a safetensors file.

    Raises:
        OSError: the server cannot be reached, is too slow or lacks the file; another process has been downloading
            into the folder for too long; or the cache cannot be written to.
        ValueError: an unknown name, or files with other content than expected.
    """
    parsed = parse_name(name)
    if parsed is None:
        raise ValueError(f"name: expected one of {', '.join(known_names())}, got {name!r}{hint(name)}")
    published = next(one for one in _all_published() if parsed.network in {**one.shipped, **one.digests})
    if parsed.network in published.shipped:
        return published.shipped[parsed.network]
    folder = Path(cache) if cache is not None else cache_folder()
    target = folder / f"{parsed.network}.safetensors"
    if target.is_file():
        return target
    located = published.locate(parsed.network)
    assert located is not None
    base = (base_url or os.environ.get("PERSONLAB_WEIGHTS_URL") or published.base_url).rstrip("/")
    parts = folder / f"{parsed.network}.parts"
    folder.mkdir(parents=True, exist_ok=True)
    with locked(folder, patience=1.5 * TOTAL):
        if not target.is_file():  # else another process has downloaded it meanwhile
            _download(published, parsed.network, f"{base}/{located[1]}", parts, target)
            shutil.rmtree(parts)
    return target


def digest(network: Any) -> str:
    """Return the SHA-256 of a network's weights, however its files are split or encoded.

    Hashed are the weights in the order of their names, each as a line of name and shape, then little-endian float32.

    Args:
        network: a module, or `personlab.methods.base.Weights`.
    """
    content = hashlib.sha256()
    state = network.state if isinstance(network, Weights) else network.state_dict()
    for name, value in sorted(state.items()):
        content.update(f"{name} {tuple(value.shape)}\n".encode())
        content.update(np.asarray(value).astype("<f4").tobytes())
    return content.hexdigest()


def _all_published() -> list[Published]:
    """Return what each method of the table publishes."""
    return [method.published for method in map(get_method, METHODS) if method.published is not None]


def _download(published: Published, name: str, url: str, parts: Path, target: Path) -> None:
    from personlab.weights.checkpoint import Stored, save_stored

    pace = download_pace()
    content = fetch_bytes(url, limit=published.max_manifest_bytes, pace=pace)
    try:
        manifest = published.parse(content)
        if manifest.size > _MAX_BYTES or len(manifest.paths) > _MAX_FILES:
            limits = f"at most {_MAX_BYTES} bytes of weights in {_MAX_FILES} files"
            raise ValueError(f"expected {limits}, got {manifest.size} in {len(manifest.paths)}")  # noqa: TRY301
    except ValueError as error:
        raise ValueError(f"{url}: {error}") from None
    # A folder for each URL and manifest, so that files of another mirror or of an older network are never mixed in.
    folder = parts / hashlib.sha256(url.encode() + content).hexdigest()[:16]
    folder.mkdir(parents=True, exist_ok=True)
    files = _fetch_weights(name, manifest, url, folder, pace)
    try:
        network = published.read(manifest, lambda path, limit: read_limited(files[path], limit))
        _check_digest(network, published.digests[name])
    except ValueError as error:
        for file in files.values():  # the next call starts anew
            file.unlink()
        raise ValueError(f"{url}: {error}") from None
    method = next(one for one in map(get_method, METHODS) if one.published is published)
    save_stored(Stored(method, network, Settings(), {"source": url}), target)


def _check_digest(network: Any, expected: str) -> None:
    if (got := digest(network)) != expected:
        raise ValueError(f"expected weights of SHA-256 {expected}, got {got}: a damaged download, or another network")


def _fetch_weights(name: str, manifest: Any, url: str, parts: Path, pace: Pace) -> dict[str, Path]:
    """Fetch all files of weights; path in the manifest -> file.

    Raises:
        ValueError: the files have not as many bytes together as the manifest states.
    """
    files = {path: parts / f"{number}.bin" for number, path in enumerate(manifest.paths)}
    start = url.rpartition("/")[0]
    with progress_bar(manifest.size, name, unit="B", keep=True) as bar:
        for path, file in files.items():
            others = sum(other.stat().st_size for other in files.values() if other != file and other.is_file())
            limit = max(manifest.size - others, 0)
            fetch(f"{start}/{urllib.parse.quote(path)}", file, limit=limit, progress=bar.update, pace=pace)
    size = sum(file.stat().st_size for file in files.values())
    if size != manifest.size:
        for file in files.values():
            file.unlink()
        raise ValueError(f"{url}: expected {manifest.size} bytes of weights in {', '.join(files)}, got {size}")
    return files
