"""Small videos that tests write with PyAV, of any container, codec, pixel format and timing."""

from __future__ import annotations

from fractions import Fraction

import av
import numpy as np

from personlab.io.sources import Source
from personlab.io.video import Video


def moving_disc(count=40, size=(80, 112)):
    """Frames (H, W, 3) of noise under a red disc that moves right by two pixels a frame."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[: size[0], : size[1]]
    for i in range(count):
        frame = rng.integers(0, 40, (*size, 3), np.uint8)
        frame[(x - 10 - 2 * i) ** 2 + (y - size[0] // 2) ** 2 < 144] = (250, 20, 20)
        yield frame


def write_video(
    path, frames, codec="mpeg4", *, rate=20, times=None, pix_fmt=None, options=None, container=None, rotation=None,
    colours=None, keys=None, pixel_aspect=None,
):  # fmt: skip
    """Write frames (H, W, 3) RGB; frame i appears at `times[i]` seconds, else at i / rate.

    Args:
        colours: (matrix, range) as numbers of FFmpeg, into which frames are converted and which is written down.
        keys: frames from one that is decoded alone to the next.
    """
    frames = list(frames)
    with av.open(str(path), "w", format=container) as file:
        stream = file.add_stream(codec, rate=Fraction(rate).limit_denominator(1001), options=options or {})
        context = stream.codec_context
        context.height, context.width = frames[0].shape[:2]
        context.pix_fmt = pix_fmt or context.codec.video_formats[0].name
        context.max_b_frames = 0
        if codec not in ("libx264", "libx265"):  # whose default is a quality
            context.bit_rate = 2_000_000
        if pixel_aspect is not None:
            context.sample_aspect_ratio = pixel_aspect
        if keys:
            context.gop_size = keys
        if times is not None:
            context.time_base = Fraction(1, 1000)
        if rotation is not None:
            stream.set_display_rotation(rotation[0], *rotation[1:])
        if colours is not None:
            context.colorspace, context.color_range = colours
        for i, pixels in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels), format="rgb24")
            more = {} if colours is None else {"dst_colorspace": colours[0], "dst_color_range": colours[1]}
            frame = frame.reformat(format=context.pix_fmt, **more)
            if times is not None:
                frame.pts, frame.time_base = round(1000 * times[i]), Fraction(1, 1000)
            file.mux(stream.encode(frame))
        file.mux(stream.encode(None))
    return path


def packets_of(path):
    """Return (position, size) of the packets of the first video stream."""
    with av.open(str(path)) as file:
        return [(packet.pos, packet.size) for packet in file.demux(file.streams.video[0]) if packet.size]


def opened(path):
    """A video file, opened by its path."""
    return Video(Source(str(path), "video"))


def read(path):
    """The video, read to its end; its images and its times."""
    video = opened(path)
    frames = list(video)
    return video, [frame.image for frame in frames], [frame.time for frame in frames]
