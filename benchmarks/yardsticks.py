"""Yardsticks of the speed gates: calls timed in turns, and the resizing of planes by OpenCV."""

from __future__ import annotations

import time

import numpy as np


def seconds(call):
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def race(one, other, budget=1.5, rounds=20, *, warm=0):
    """Return seconds (rounds, 2) of two calls in turns, so that other load on the machine falls on both.

    `warm`: calls of the same, not timed, before each that is, so that what it reads lies in the caches if it has room.
    """
    one(), other()
    end, times = time.perf_counter() + budget, []
    while len(times) < rounds or time.perf_counter() < end:
        pair = []
        for call in (one, other):
            for _ in range(warm):
                call()
            pair.append(seconds(call))
        times.append(pair)
    return np.array(times)


def resized(planes, width, height):
    """Return the yardstick Y of planes (N, h, w): a call that resizes them to (N, height, width)."""
    import cv2

    cv2.setNumThreads(1)
    out = np.empty((len(planes), height, width), np.float32)

    def call():
        for plane, to in zip(planes, out, strict=True):
            cv2.resize(plane, (width, height), dst=to, interpolation=cv2.INTER_LINEAR)

    return call


def enlarged(maps, grid):
    """Return maps (N, h, w) at the pixels of the image, (N, H, W) float64: what Simple Pose's original does at first.

    OpenCV's cubic resizing by the stride, a cut to the part that shows the image, and a resizing to the image.
    """
    import cv2

    cv2.setNumThreads(1)
    (inner_h, inner_w), (h, w) = grid.input_size, grid.size
    out = np.empty((len(maps), h, w))
    for plane, to in zip(maps, out, strict=True):
        large = cv2.resize(plane, None, fx=grid.stride, fy=grid.stride, interpolation=cv2.INTER_CUBIC)
        to[:] = cv2.resize(large[:inner_h, :inner_w], (w, h), interpolation=cv2.INTER_CUBIC)
    return out
