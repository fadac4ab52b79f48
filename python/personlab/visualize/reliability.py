"""Draws reliability curves of instance scores: mean OKS by score, and the number of poses."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import numpy as np

from personlab.visualize import marks

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from personlab.metrics.reliability import Bin
    from personlab.visualize.canvas import Image

_SIDE, _COUNTS = 480, 110  # pixels of the square of score by OKS, and height of the counts below it
_LEFT, _RIGHT, _TOP, _GAP, _BOTTOM = 70, 24, 40, 16, 56  # pixels around and between
_UNIT = 1.2
_COLOURS = (6, 2, 3, 5, 0, 1)  # of the palette, those that stand out on white first
_INK, _FRAME, _GRID = (40, 40, 40), (110, 110, 110), (222, 222, 222)


def draw_reliability(curves: Mapping[str, Sequence[Bin]], *, title: str = "") -> Image:
    """Draw mean OKS over mean score of each bin, one curve for each name, and the diagonal of calibrated scores.

    Bars below show the number of poses in each bin, on a logarithmic scale; dots grow with it, too.

    Args:
        curves: name in the legend -> bins, as `personlab.metrics.reliability.bin_poses` returns them.
        title: of the image.

    Returns:
        (H, W, 3) uint8 RGB.
    """
    height, width = _TOP + _SIDE + _GAP + _COUNTS + _BOTTOM, _LEFT + _SIDE + _RIGHT
    image = np.full((height, width, 3), 255, np.uint8)
    max_poses = max((b.poses for bins in curves.values() for b in bins), default=0)
    _draw_frame(image, max_poses)
    for number, (name, bins) in enumerate(curves.items()):
        colour = marks.PALETTE[_COLOURS[number % len(_COLOURS)]]
        _draw_counts(image, bins, colour, max_poses, number, len(curves))
        held = [b for b in bins if b.poses]
        points = [_place(b.score, b.oks) for b in held]
        for start, end in itertools.pairwise(points):
            marks.line(image, start, end, colour, 2, outline=0)
        for b, point in zip(held, points, strict=True):
            marks.disc(image, point, 2.5 + np.log10(b.poses), colour, ring=marks.darken(colour))
        wide = marks.text_size(name, _UNIT)[0]
        baseline = _TOP + 22 + 22 * number
        marks.line(image, (_LEFT + 12, baseline - 5), (_LEFT + 36, baseline - 5), colour, 3, outline=0)
        image[baseline - 14 : baseline + 6, _LEFT + 42 : _LEFT + 46 + wide] = 255
        marks.write_text(image, name, _LEFT + 44, baseline, _INK, _UNIT)
    marks.write_text(image, title, _LEFT, _TOP - 14, _INK, _UNIT)
    return image


def _place(score: float, oks: float) -> tuple[float, float]:
    return _LEFT + score * _SIDE, _TOP + (1 - oks) * _SIDE


def _bar_top(poses: int, max_poses: int) -> int:
    """Return the first row of the bar of `poses` poses."""
    foot = _TOP + _SIDE + _GAP + _COUNTS
    return foot - round(float(np.log1p(poses) / max(np.log1p(max_poses), 1e-9)) * _COUNTS)


def _draw_frame(image: Image, max_poses: int) -> None:
    foot = _TOP + _SIDE + _GAP + _COUNTS
    for tenth in range(0, 11, 2):
        text = f"{tenth / 10:.1f}"
        x, y = _place(tenth / 10, tenth / 10)
        wide, tall, _ = marks.text_size(text, _UNIT)
        marks.line(image, (x, _TOP), (x, foot), _GRID, 1, outline=0)
        marks.line(image, (_LEFT, y), (_LEFT + _SIDE, y), _GRID, 1, outline=0)
        marks.write_text(image, text, round(x) - wide // 2, foot + 8 + tall, _INK, _UNIT)
        marks.write_text(image, text, _LEFT - 8 - wide, round(y) + tall // 2, _INK, _UNIT)
    for poses in (10**n for n in range(1, 10) if 10**n <= max_poses):
        text, y = f"{poses}", _bar_top(poses, max_poses)
        wide, tall, _ = marks.text_size(text, _UNIT)
        marks.line(image, (_LEFT, y), (_LEFT + _SIDE, y), _GRID, 1, outline=0)
        marks.write_text(image, text, _LEFT - 8 - wide, y + tall // 2, _INK, _UNIT)
    marks.line(image, _place(0, 0), _place(1, 1), _FRAME, 1, outline=0)
    for top, bottom in ((_TOP, _TOP + _SIDE), (_TOP + _SIDE + _GAP, foot)):
        corners = [(_LEFT, top), (_LEFT + _SIDE, top), (_LEFT + _SIDE, bottom), (_LEFT, bottom)]
        for start, end in zip(corners, [*corners[1:], corners[0]], strict=True):
            marks.line(image, start, end, _FRAME, 1, outline=0)
    text = "score (across), mean OKS (up), poses (below)"
    wide, tall, _ = marks.text_size(text, _UNIT)
    marks.write_text(image, text, _LEFT + (_SIDE - wide) // 2, foot + 26 + 2 * tall, _INK, _UNIT)


def _draw_counts(image: Image, bins: Sequence[Bin], colour: marks.Colour, max_poses: int, number: int, of: int) -> None:
    """Draw the bars of curve `number` of `of` curves; bars of one bin stand side by side."""
    foot = _TOP + _SIDE + _GAP + _COUNTS
    for b in bins:
        if b.poses:
            share = (b.high - b.low) * _SIDE / of
            left = _LEFT + b.low * _SIDE + number * share
            image[_bar_top(b.poses, max_poses) : foot, round(left) + 1 : max(round(left + share), round(left) + 2)] = (
                colour
            )
