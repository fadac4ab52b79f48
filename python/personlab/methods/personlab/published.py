"""PersonLab networks by name: those in the package, and Google's PoseNet and BodyPix."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from personlab.methods.base import Published
from personlab.methods.personlab.convert.manifest import MAX_JSON_BYTES, TfjsModel, parse_model, read_weights

if TYPE_CHECKING:
    from collections.abc import Callable

    from personlab.methods.base import Weights

_SHIPPED = Path(__file__).parent / "shipped"
_NAME = re.compile(r"(bodypix|posenet)-mobilenet-(050|075|100)")
_PATH = "{family}/mobilenet/quant2/{width}/model-stride16.json"  # weights of 16 bits; the same for each stride


def _locate(text: str) -> tuple[str, str] | None:
    match = _NAME.match(text)
    return None if match is None else (match[0], _PATH.format(family=match[1], width=match[2]))


def _read(model: TfjsModel, read: Callable[[str, int], bytes]) -> Weights:
    from personlab.methods.personlab.convert.tfjs import convert_tfjs

    arrays: Any = read_weights(model, read)
    return convert_tfjs(model, arrays)


PUBLISHED = Published(
    shipped={name: _SHIPPED / f"{name}.safetensors" for name in ("people-mobilenet-075", "drawn-mobilenet-050")},
    default="people-mobilenet-075",
    digests={
        "bodypix-mobilenet-075": "75a37f6bd4879ed2509fa1baaff42be216f78355d2253ad70901917d1718b018",
        "posenet-mobilenet-075": "5e0d5832e84c5c7e910e6200e9e3cebba40fe7d36e4529e8e1ae844a39d3b98c",
    },
    base_url="https://storage.googleapis.com/tfjs-models/savedmodel",
    locate=_locate,
    max_manifest_bytes=MAX_JSON_BYTES,
    parse=parse_model,
    read=_read,
)
