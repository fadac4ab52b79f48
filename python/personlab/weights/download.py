"""Networks by name: ours, which comes with the package, and published ones, fetched once and kept in a cache folder."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import urllib.parse
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from personlab.io.limits import read_limited
from personlab.methods.personlab.convert.manifest import LONGEST_JSON, TfjsModel, parse_model, read_weights
from personlab.weights.fetch import TOTAL, download_pace, fetch, fetch_bytes
from personlab.weights.lock import locked

if TYPE_CHECKING:
    from personlab.methods.personlab.network import PersonLab
    from personlab.weights.pace import Pace

BASE_URL = "https://storage.googleapis.com/tfjs-models/savedmodel"
_URL = "{base}/{network}/mobilenet/quant2/{width}/model-stride16.json"  # of 16 bits; one for every stride
# SHA-256 of the weights that Google's files hold, as `digest` takes it: the same however they are split, or spelt.
_PUBLISHED = {
    "bodypix-mobilenet-075": "75a37f6bd4879ed2509fa1baaff42be216f78355d2253ad70901917d1718b018",
    "posenet-mobilenet-075": "5e0d5832e84c5c7e910e6200e9e3cebba40fe7d36e4529e8e1ae844a39d3b98c",
}
_UNKNOWN = re.compile(r"(bodypix|posenet)-mobilenet-(050|100)")  # which Google has, too
_LARGEST = 256 << 20  # bytes of weights, and
_SHARDS = 64  # files of them, that a network may have
_SHIPPED = {"drawn-mobilenet-050": Path(__file__).parent / "shipped" / "drawn-mobilenet-050.safetensors"}
_NAMES = (*_SHIPPED, *_PUBLISHED)


def hint(text: str) -> str:
    """What to do about the name of a network that is published, but whose digest is not known here."""
    found = _UNKNOWN.match(text)
    if found is None:
        return ""
    url = _URL.format(base=BASE_URL, network=found[1], width=found[2])
    return f" (no SHA-256 of {found[0]} is known here: fetch {url} and the files it names, and give their folder)"


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

    What a broken connection left is taken up again, in this call and in later ones. Weights are kept where their
    SHA-256 is the one that the package knows.

    Args:
        name: one of `known_names`, with or without a stride.
        base_url: http or https; $PERSONLAB_WEIGHTS_URL, else Google's bucket, where left out.
        cache: the folder; `cache_folder()` where left out.

    Returns:
        The checkpoint: safetensors.

    Raises:
        OSError: the server cannot be reached, is too slow or has no such file, another process has been fetching the
            same for too long, or the cache cannot be written to.
        ValueError: an unknown name, or the files are not what they should be.
    """
    parsed = parse_name(name)
    if parsed is None:
        raise ValueError(f"name: expected one of {', '.join(_NAMES)}, got {name!r}{hint(name)}")
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
    with locked(folder, patience=1.5 * TOTAL):
        if not target.is_file():  # another process may have fetched it meanwhile
            _download(parsed.network, url, parts, target)
            shutil.rmtree(parts)
    return target


def _download(name: str, url: str, parts: Path, target: Path) -> None:
    from personlab.methods.personlab.convert.tfjs import convert_tfjs
    from personlab.weights.checkpoint import save_model

    pace = download_pace()
    content = fetch_bytes(url, limit=LONGEST_JSON, pace=pace)
    try:
        model = parse_model(content)
        if model.size > _LARGEST or len(model.paths) > _SHARDS:
            limits = f"at most {_LARGEST} bytes of weights in {_SHARDS} files"
            raise ValueError(f"expected {limits}, got {model.size} in {len(model.paths)}")  # noqa: TRY301
    except ValueError as error:
        raise ValueError(f"{url}: {error}") from None
    # Parts of another mirror's files, or of an older network, are not to be mixed with these.
    folder = parts / hashlib.sha256(url.encode() + content).hexdigest()[:16]
    folder.mkdir(parents=True, exist_ok=True)
    files = _fetch_shards(name, model, url, folder, pace)
    try:
        network = convert_tfjs(model, read_weights(model, lambda path, limit: read_limited(files[path], limit)))
        _check_digest(network, _PUBLISHED[name])
    except ValueError as error:
        for file in files.values():  # the next call is to start anew
            file.unlink()
        raise ValueError(f"{url}: {error}") from None
    save_model(network, target, {"source": url})


def digest(network: PersonLab) -> str:
    """SHA-256 of a network's weights: of each by name, a line of name and shape, then float32, lowest byte first."""
    content = hashlib.sha256()
    for name, value in sorted(network.state_dict().items()):
        content.update(f"{name} {tuple(value.shape)}\n".encode())
        content.update(value.numpy().astype("<f4").tobytes())
    return content.hexdigest()


def _check_digest(network: PersonLab, expected: str) -> None:
    if (got := digest(network)) != expected:
        raise ValueError(f"expected weights of SHA-256 {expected}, got {got}: a damaged download, or another network")


def _fetch_shards(name: str, model: TfjsModel, url: str, parts: Path, pace: Pace) -> dict[str, Path]:
    """Path in the manifest -> the file, all of them fetched and as long together as the manifest says."""
    from tqdm import tqdm

    files = {path: parts / f"{number}.bin" for number, path in enumerate(model.paths)}
    start = url.rpartition("/")[0]
    # On stderr, and nowhere where that is no terminal.
    with tqdm(total=model.size, desc=name, unit="B", unit_scale=True, unit_divisor=1024, disable=None) as bar:
        for path, file in files.items():
            others = sum(other.stat().st_size for other in files.values() if other != file and other.is_file())
            limit = max(model.size - others, 0)
            fetch(f"{start}/{urllib.parse.quote(path)}", file, limit=limit, progress=bar.update, pace=pace)
    size = sum(file.stat().st_size for file in files.values())
    if size != model.size:
        for file in files.values():
            file.unlink()
        raise ValueError(f"{url}: expected {model.size} bytes of weights in {', '.join(files)}, got {size}")
    return files
