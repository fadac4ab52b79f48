"""Networks by name: ours, which comes with the package, and published ones, fetched once and kept in a cache folder."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import shutil
import urllib.parse
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from personlab.weights.fetch import fetch, fetch_bytes
from personlab.weights.manifest import TfjsModel, parse_model, read_weights

if TYPE_CHECKING:
    from collections.abc import Iterator

BASE_URL = "https://storage.googleapis.com/tfjs-models/savedmodel"
_URL = "{base}/{network}/mobilenet/float/{width}/model-stride16.json"  # one set of weights for every stride
_JSON_LIMIT = 16 << 20  # bytes; the published ones have 60 to 160 thousand
_PUBLISHED = tuple(
    f"{network}-mobilenet-{width}" for network in ("bodypix", "posenet") for width in ("050", "075", "100")
)
_SHIPPED = {"drawn-mobilenet-050": Path(__file__).parent / "shipped" / "drawn-mobilenet-050.safetensors"}
_NAMES = (*_SHIPPED, *_PUBLISHED)


class Name(NamedTuple):
    """The name of a network."""

    network: str  # one of `known_names`
    stride: int | None  # where the name tells one

    @property
    def is_shipped(self) -> bool:
        """Whether it comes with the package."""
        return self.network in _SHIPPED


def known_names() -> tuple[str, ...]:
    """Names of networks, the shipped one first; `-stride8` or `-stride16` may follow."""
    return _NAMES


def parse_name(text: str) -> Name | None:
    """A name taken apart; None where it is none of a known network."""
    found = re.fullmatch(r"(.+?)(?:-stride(8|16))?", text)
    if found is None or found[1] not in _NAMES:
        return None
    return Name(found[1], int(found[2]) if found[2] else None)


def cache_folder() -> Path:
    """Where downloads go: $PERSONLAB_CACHE, else $XDG_CACHE_HOME/personlab, else ~/.cache/personlab."""
    if own := os.environ.get("PERSONLAB_CACHE"):
        return Path(own).expanduser()
    shared = os.environ.get("XDG_CACHE_HOME")
    return (Path(shared) if shared else Path.home() / ".cache") / "personlab"


def download(name: str, *, base_url: str | None = None, cache: str | os.PathLike[str] | None = None) -> Path:
    """A known network as a checkpoint: the package's own file, or one in the cache folder, fetched at first.

    What a broken connection left is taken up again, in this call and in later ones.

    Args:
        name: one of `known_names`, with or without a stride.
        base_url: http or https; $PERSONLAB_WEIGHTS_URL, else Google's bucket, where left out.
        cache: the folder; `cache_folder()` where left out.

    Returns:
        The checkpoint: safetensors.

    Raises:
        OSError: the server cannot be reached or has no such file, or the cache cannot be written to.
        ValueError: an unknown name, or the files are not what they should be.
    """
    parsed = parse_name(name)
    if parsed is None:
        raise ValueError(f"name: expected one of {', '.join(_NAMES)}, got {name!r}")
    if parsed.is_shipped:
        return _SHIPPED[parsed.network]
    folder = Path(cache) if cache is not None else cache_folder()
    target = folder / f"{parsed.network}.safetensors"
    if target.is_file():
        return target
    base = (base_url or os.environ.get("PERSONLAB_WEIGHTS_URL") or BASE_URL).rstrip("/")
    family, _, width = parsed.network.split("-")
    url = _URL.format(base=base, network=family, width=width)
    parts = folder / f"{parsed.network}.parts"
    folder.mkdir(parents=True, exist_ok=True)
    with _locked(folder):
        if not target.is_file():  # another process may have fetched it meanwhile
            _download(parsed.network, url, parts, target)
            shutil.rmtree(parts)
    return target


def _download(name: str, url: str, parts: Path, target: Path) -> None:
    from personlab.weights.checkpoint import save_model
    from personlab.weights.tfjs import convert_tfjs

    content = fetch_bytes(url, limit=_JSON_LIMIT)
    try:
        model = parse_model(content)
    except ValueError as error:
        raise ValueError(f"{url}: {error}") from None
    # Parts of another mirror's files, or of an older network, are not to be mixed with these.
    folder = parts / hashlib.sha256(url.encode() + content).hexdigest()[:16]
    folder.mkdir(parents=True, exist_ok=True)
    files = _fetch_shards(name, model, url, folder)
    try:
        network = convert_tfjs(model, read_weights(model, lambda path: files[path].read_bytes()))
    except ValueError as error:
        for file in files.values():  # the next call is to start anew
            file.unlink()
        raise ValueError(f"{url}: {error}") from None
    save_model(network, target, {"source": url})


def _fetch_shards(name: str, model: TfjsModel, url: str, parts: Path) -> dict[str, Path]:
    """Path in the manifest -> the file, all of them fetched and as long together as the manifest says."""
    from tqdm import tqdm

    files = {path: parts / f"{number}.bin" for number, path in enumerate(model.paths)}
    start = url.rpartition("/")[0]
    # On stderr, and nowhere where that is no terminal.
    with tqdm(total=model.size, desc=name, unit="B", unit_scale=True, unit_divisor=1024, disable=None) as bar:
        for path, file in files.items():
            others = sum(other.stat().st_size for other in files.values() if other != file and other.is_file())
            fetch(f"{start}/{urllib.parse.quote(path)}", file, limit=max(model.size - others, 0), progress=bar.update)
    size = sum(file.stat().st_size for file in files.values())
    if size != model.size:
        for file in files.values():
            file.unlink()
        raise ValueError(f"{url}: expected {model.size} bytes of weights in {', '.join(files)}, got {size}")
    return files


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Let one process in at a time, where the system has locks; they end with the process."""
    try:
        import fcntl
    except ImportError:  # Windows: two at once fetch twice, and the last rename counts
        yield
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        with contextlib.suppress(OSError):  # some network file systems have none
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
