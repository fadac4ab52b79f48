"""Opens video files and streams by PyAV within limits, and finds the video stream in them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from personlab.io.image_header import MAX_PIXELS
from personlab.io.sources import begins_as_video, scheme_of

if TYPE_CHECKING:
    from personlab.io.pipes import Pipe
    from personlab.io.sources import Source

_THREADS = 4  # that decode; each holds a frame
TIMEOUT = 10.0  # seconds that a network source may be silent
# What a source may open besides itself (playlists name other files and addresses): a file no network, the network no
# file.
_PROTOCOLS = {
    "file": "file",
    "pipe": "data",
    "http": "http,https,httpproxy,tcp,tls,crypto,data",
    "rtsp": "rtsp,rtsps,rtp,srtp,udp,tcp,tls,http,https,httpproxy",
    "rtmp": "rtmp,rtmps,rtmpt,rtmpe,rtmpts,rtmpte,http,https,tcp,tls",
    "udp": "udp,rtp,srtp",
    "tcp": "tcp,tls",
    "srt": "srt,udp",
}
_FAMILIES = {"https": "http", "rtsps": "rtsp", "rtmps": "rtmp", "rtp": "udp"}
INSTALL = "videos need PyAV: pip install 'personlab[video]'"


def import_av(name: str) -> Any:
    """Return PyAV.

    Raises:
        ValueError: it is not installed; the line says how to do so.
    """
    try:
        import av
    except ImportError:
        raise ValueError(f"{name}: {INSTALL}") from None
    return av


def open_container(source: Source, pipe: Pipe | None = None) -> Any:
    """Open a video file, a stream, or a pipe.

    Raises:
        OSError: a file cannot be read.
        ValueError: another kind of file, a stream that does not answer, or no PyAV.
    """
    av = import_av(source.name)
    options = {"max_pixels": str(MAX_PIXELS)}
    target: Any
    if pipe is not None:
        target, timeout, kind = pipe, None, "pipe"
    elif source.kind == "stream":
        target, timeout = source.address, TIMEOUT
        kind = scheme_of(source.address)
        kind = _FAMILIES.get(kind, kind)
    else:
        Path(source.name).open("rb").close()  # raises the system's own error of an unreadable file
        target, timeout, kind = f"file:{os.path.abspath(source.name)}", None, "file"  # noqa: PTH100  # a colon may follow
    network = {"rtsp_flags": "prefer_tcp", "timeout": str(round(1e6 * TIMEOUT))} if kind == "rtsp" else {}
    try:
        return av.open(
            target,
            options={**options, **network, "protocol_whitelist": _PROTOCOLS[kind]},
            metadata_errors="replace",
            timeout=timeout,
        )
    except av.error.FFmpegError as error:
        raise ValueError(f"{source.name}: {_reason(source, error)}") from None


def _reason(source: Source, error: Any) -> str:
    """Say in the words of a message why a source cannot be opened."""
    import av

    if isinstance(error, av.error.InvalidDataError) or source.kind == "video":
        begins = source.kind == "video" and begins_as_video(source.name)
        return f"expected a video, got {'a damaged one' if begins else 'another kind of file'}"
    if isinstance(error, (av.error.ExitError, av.error.TimeoutError)):
        return f"expected a video, got no answer within {TIMEOUT:g} s"
    return f"expected a video, got an error: {describe(error)}"


def describe(error: Any) -> str:
    """Return FFmpeg's words for an error, without the address, which may hold a password."""
    return str(error.strerror or type(error).__name__)


def video_stream(container: Any, name: str, *, is_live: bool) -> Any:
    """Return the first video stream that is no cover image and can be decoded; of a live one, without delay.

    Raises:
        ValueError: the container has none.
    """
    from av.stream import Discard, Disposition

    still = Disposition.attached_pic | Disposition.timed_thumbnails
    streams = [stream for stream in container.streams.video if not stream.disposition & still]
    stream = next((stream for stream in streams if stream.codec_context is not None), None)
    if stream is None:
        rest = "a video of a codec that FFmpeg does not know" if streams else "a file without one"
        raise ValueError(f"{name}: expected a video, got {rest}")
    context = stream.codec_context
    context.options = {"max_pixels": str(MAX_PIXELS)}
    # Threads that share a frame do not say which frames are damaged; one thread per frame delays them.
    context.thread_type = "NONE" if is_live else "FRAME"
    context.thread_count = 1 if is_live else min(os.cpu_count() or 1, _THREADS)
    for other in container.streams:
        if other is not stream:
            other.discard = Discard.all
    return stream
