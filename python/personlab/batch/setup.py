"""What workers get, and what they give back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from personlab.predict import Predictor
    from personlab.track import TrackOptions


class EngineError(Exception):
    """Nothing of a unit could be predicted, and the reason is not in its files."""


@dataclass(frozen=True, kw_only=True)
class Setup:
    """What every worker of a job needs."""

    output: str
    """address of the folder of results"""

    make_predictor: Callable[[], Predictor]
    """makes the network ready, in the worker"""

    part: int
    """images in a unit"""

    piece: int
    """min frames in a piece of a video; 0: videos are whole"""

    column: str | None
    """of Parquet files"""

    track: TrackOptions | None
    """how people of videos are tracked; None: they are not"""


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What became of a unit."""

    was_done: bool = False
    """whether it had a manifest before"""

    inputs: int = 0
    """images, or frames"""

    failed: int = 0
    """those of them without a prediction"""

    people: int = 0
    errors: int = 0
    """rows in the table of errors"""
