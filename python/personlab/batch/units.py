"""Units of work: what one worker does at once, under a key that is the same in every run."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from personlab.io.pieces import Piece

Kind = Literal["image", "video", "tar", "parquet"]


@dataclass(frozen=True, kw_only=True)
class Unit:
    """Some inputs and the key of their results."""

    kind: Literal["images", "whole", "members", "rows", "video", "piece", "failure"]
    """images: files; whole: a video, tar or Parquet file that is still to be divided; members: of a tar; rows: of a
    Parquet file; video; piece: of a video; failure: an input that cannot be read"""

    key: str
    """of the results; a piece has the key of its video"""

    source: str
    """the partition"""

    files: tuple[str, ...] = ()
    """addresses of images"""

    address: str = ""
    """of the video, tar or Parquet file"""

    what: Kind = "image"
    """kind of the file at the address"""

    first: int = 0
    """number of the first member or row group, or of the piece"""

    count: int = 0
    """members or row groups, or the pieces of the video"""

    offset: int = 0
    """byte at which the first member begins, or number of the first row"""

    piece: Piece | None = None
    """where the piece is in its video"""

    reason: str = ""
    """why the input cannot be read"""


def key_of(*parts: str) -> str:
    """Return a key of 16 hexadecimal digits."""
    return hashlib.sha256("\0".join(parts).encode("utf-8", "surrogateescape")).hexdigest()[:16]


def container_key(address: str) -> str:
    """Return the key of a video, a tar or a Parquet file, with which those of its units begin."""
    return key_of("container", address)
