"""The time of a call, as `personlab bench` prints it for any method."""

from __future__ import annotations

import time
from statistics import median
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable


def median_seconds(call: Callable[[], Any], rounds: int) -> float:
    """Return the median wall time of a call, seconds, after one that is not counted."""
    seconds = []
    for _ in range(rounds + 1):
        start = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - start)
    return median(seconds[1:])
