"""The guard of a stable version that has users: ends the part of a benchmark under which it suffers. Pure.

Told of each window that was measured of stable, it compares with what stable does at a quarter of the rate: before, and right
after a window that was slow. A busy machine is slow then too, so what remains is the benchmark's doing, and three such
windows in a row end it; errors are not waited for. So
stable is never under more than three windows (a seventh of the requests) that harm it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from luntra_operator.checks.verdict import Unmeasured

if TYPE_CHECKING:
    from luntra_operator.checks.tally import Benchmarked

_TIMES_SLOWER = 3.0
_SLOWER = 0.005
"""Seconds: below that a median tells of timers, not of load."""
_SHARE_UNSENT = 0.1
_IN_A_ROW = 3


@dataclass
class Guard:
    """Watches stable under requests at `rate` per second, at most `concurrency` in flight; `before` is its median before (s)."""

    rate: float
    concurrency: int
    before: float
    _bad: int = 0

    def slow(self, window: Benchmarked, after: float = 0.0) -> bool:
        """Whether stable was slower than before, and than `after`, its median (s) right after the window."""
        usual = self.before if math.isnan(after) else max(self.before, after)
        return window.p50 > max(_TIMES_SLOWER * usual, usual + _SLOWER)

    def watch(self, window: Benchmarked, after: float = 0.0) -> Unmeasured | None:
        """Take note of one window of stable, and of its median (s) right after where that was looked at.

        What it returns says that stable bears no more: StableOverloaded or StableDisturbed, with the figures.
        """
        if window.failures > 1:
            what = f"failed {window.failures} of {window.requests} requests ({window.error})"
            return self._ended("StableDisturbed", f"{what} at rate {self.rate:g}/s")
        overloaded = window.unsent > 1 and window.share_unsent > _SHARE_UNSENT
        self._bad = self._bad + 1 if overloaded or self.slow(window, after) else 0
        if self._bad < _IN_A_ROW:
            return None
        if overloaded:
            bore = f"bore {window.throughput:.3g} requests/s with at most concurrency {self.concurrency} in flight"
            return self._ended("StableOverloaded", f"{bore}, rate is {self.rate:g}/s")
        usual, now = max(self.before, after) * 1000, window.p50 * 1000
        slower = f"got slower, from a median latency of {usual:.3g} ms to {now:.3g} ms at rate {self.rate:g}/s"
        return self._ended("StableDisturbed", slower)

    @staticmethod
    def _ended(reason: str, what: str) -> Unmeasured:
        fix = "to have it compared with, lower benchmark.rate or give stable more replicas"
        return Unmeasured(f"{what} and was left alone ({fix})", reason, failed=True)
