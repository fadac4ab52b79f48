"""Cuts a video at key frames, so that several processes decode it: the frames are those of one pass, bit for bit."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from personlab.io.media import open_container, video_stream
from personlab.io.reader import Reader
from personlab.io.sources import Source

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

# Codecs of which one packet is one frame, and after whose key frames no frame refers to what came before.
_CODECS = ("h264", "hevc", "vp9", "av1", "mpeg4", "mpeg2video", "mpeg1video", "mjpeg")
_IDR = 5  # type of H.264's key frames that end all references; others may be points of recovery alone
_SLICES = (1, 2, 3, 4, _IDR)


@dataclass(frozen=True)
class Piece:
    """Packets of a video, from one key frame to another."""

    first: int
    """number of its first packet, which is a key frame"""

    count: int
    """packets, and frames"""

    key: int
    """time stamp of the key frame, in units of the stream"""


def find_pieces(path: str, min_frames: int) -> list[Piece]:
    """Cut a video file into pieces of at least so many frames; reads all packets, decodes none.

    Returns:
        The pieces, in their order; none where the video is too short for two, is damaged, or where only decoding all of
        it tells which frames it has.

    Raises:
        OSError, ValueError: the file cannot be read, or is no video.
    """
    reader = Reader(Source(path, "video"))
    try:
        return _find(reader, min_frames)
    finally:
        reader._container.close()


def _find(reader: Reader, min_frames: int) -> list[Piece]:
    try:
        stamps, keys = _scan(reader)
    except (reader._av.error.FFmpegError, IndexError):
        return []
    reader.shown = len(stamps)
    starts = [] if reader._count_missing() else _starts(np.array(stamps, np.int64), keys, min_frames)
    ends = [*starts[1:], len(stamps)]
    return [Piece(first, end - first, stamps[first]) for first, end in zip(starts, ends, strict=False)]


def _scan(reader: Reader) -> tuple[list[int], list[int]]:
    """Return the time stamps of all packets, and which of them are key frames; nothing of what cannot be cut."""
    stream, own = reader._stream, reader._stream.codec_context.codec
    codec = None if own is None else own.canonical_name
    stamps: list[int] = []
    keys: list[int] = []
    for packet in reader._container.demux(stream) if codec in _CODECS else ():
        if not packet.size:
            continue
        if packet.pts is None or packet.is_corrupt or packet.is_discard:
            return [], []
        if packet.is_keyframe and (codec != "h264" or _is_idr(bytes(packet), stream.codec_context.extradata)):
            keys.append(len(stamps))
        stamps.append(packet.pts)
    return stamps, keys


def _starts(times: NDArray[np.int64], keys: list[int], min_frames: int) -> list[int]:
    """Return the packets at which pieces begin; none where there are less than two pieces.

    Args:
        times: (N,) of the packets, in the order of decoding.
        keys: packets that are key frames.
        min_frames: in a piece.
    """
    if len(times) < 2 * min_frames or keys[:1] != [0] or len(np.unique(times)) != len(times):
        return []
    later = np.minimum.accumulate(times[::-1])[::-1]  # the first time from a packet on
    before = np.maximum.accumulate(times)
    starts = [0] if later[0] == times[0] else []
    for key in keys[1:] if starts else ():
        is_cut = later[key] == times[key] and before[key - 1] < times[key]  # in the order of decoding and of showing
        if is_cut and key - starts[-1] >= min_frames and len(times) - key >= min_frames:
            starts.append(key)
    return starts if len(starts) > 1 else []


def _is_idr(packet: bytes, extradata: bytes | None) -> bool:
    """Return whether the first slice of an H.264 packet is one of a frame that ends all references."""
    if extradata and extradata[0] == 1:  # units with their lengths, as in MP4
        length, place = (extradata[4] & 3) + 1, 0
        while place + length < len(packet):
            if (kind := packet[place + length] & 31) in _SLICES:
                return kind == _IDR
            place += length + int.from_bytes(packet[place : place + length], "big")
        return False
    place = packet.find(b"\0\0\1")
    while 0 <= place < len(packet) - 3:
        if (kind := packet[place + 3] & 31) in _SLICES:
            return kind == _IDR
        place = packet.find(b"\0\0\1", place + 3)
    return False


class PieceReader(Reader):
    """Reads the frames of one piece.

    Args:
        path: of the video.
        piece: as `find_pieces` gave it.

    Raises:
        OSError, ValueError: as `Reader` raises them.
    """

    def __init__(self, path: str, piece: Piece) -> None:
        super().__init__(Source(path, "video"))
        self._piece = piece
        self._missing_packets = piece.count

    @property
    def is_clean(self) -> bool:
        """Whether each packet of the piece gave one frame, once all are read; else the video is read as a whole."""
        return not (self._missing_packets or self._failures or self.damaged) and self.shown == self._piece.count

    def _packets(self) -> Iterator[Any]:
        try:
            for packet in itertools.islice(self._from_key(), self._piece.count):
                self._missing_packets -= 1
                yield packet
        except (self._av.error.FFmpegError, IndexError):
            self._failures += 1
        yield None

    def _from_key(self) -> Iterator[Any]:
        """Yield the packets from the key frame on: sought, or counted where seeking misses it."""
        if self._piece.first == 0:
            yield from self._sized()
            return
        self._container.seek(self._piece.key, stream=self._stream)
        for number, packet in enumerate(self._sized()):
            if packet.pts == self._piece.key and packet.is_keyframe:
                yield packet
                yield from self._sized()
                return
            if number > self._piece.first or packet.pts is None or packet.pts > self._piece.key:
                break
        self._container.close()
        self._container = open_container(self._source)
        self._stream = video_stream(self._container, self._source.name, is_live=False)
        yield from itertools.islice(self._sized(), self._piece.first, None)

    def _sized(self) -> Iterator[Any]:
        return (packet for packet in self._container.demux(self._stream) if packet.size)

    def _count_missing(self) -> int:
        return 0  # of the whole video
