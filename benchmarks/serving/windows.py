"""Which requests count as before a change of the model and which as during it; pure."""

from __future__ import annotations

import math
from bisect import bisect_left
from typing import TYPE_CHECKING

from benchmarks.serving.results import Quantiles, Windows

if TYPE_CHECKING:
    from collections.abc import Sequence

BEFORE_SECONDS = 0.4
"""Length of the window that ends with the order to change."""
AFTER_SECONDS = 0.2
"""For so long after the first answer of the new version a request still counts as during the change."""

Span = tuple[float, float]
"""Begin and end in seconds, on one clock."""


def windows(due: Sequence[float], latencies: Sequence[float], changes: Sequence[Span]) -> Windows:
    """Pool the windows of all `changes`; requests as parallel sequences in any order.

    Raises:
        ValueError: no request lies in the windows.
    """
    order = sorted(range(len(due)), key=due.__getitem__)
    times = [due[index] for index in order]
    sorted_latencies = [latencies[index] for index in order]

    def within(begin: float, end: float) -> list[float]:
        return sorted_latencies[bisect_left(times, begin) : bisect_left(times, end)]

    before = [one for begin, _ in changes for one in within(begin - BEFORE_SECONDS, begin)]
    during = [one for begin, end in changes for one in within(begin, end + AFTER_SECONDS)]
    return Windows(quantiles(before), quantiles(during))


def quantiles(latencies: Sequence[float]) -> Quantiles:
    """Quantiles by the nearest rank: each is a latency that somebody has seen. Raises ValueError if there is none."""
    if not latencies:
        raise ValueError("no request lies in the windows; is the rate too low or the server down?")
    ranked = sorted(latencies)

    def at(share: float) -> float:
        return round(ranked[max(math.ceil(share * len(ranked)) - 1, 0)], 7)

    return Quantiles(len(ranked), at(0.5), at(0.99), at(0.999))
