"""What was seen of one version: counted while it is measured, summed up afterwards."""

from __future__ import annotations

import math
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Benchmarked:
    """What one version did: seconds, successful requests per second, share of failed requests.

    The percentiles are NaN where no request succeeded. `unsent` requests were due while as many as allowed were in flight;
    `error` is the first failure's text.
    """

    requests: int
    p50: float
    p99: float
    throughput: float
    error_rate: float
    error: str = ""
    unsent: int = 0

    @property
    def failures(self) -> int:
        """How many requests failed."""
        return round(self.error_rate * self.requests) if self.requests else 0

    @property
    def share_unsent(self) -> float:
        """Share of the requests that were due and could not be sent."""
        return self.unsent / (self.requests + self.unsent) if self.unsent else 0.0

    def figures(self) -> dict[str, float]:
        """Give the figures as they are reported, in ms and requests/s."""
        return {
            "p50Ms": self.p50 * 1000,
            "p99Ms": self.p99 * 1000,
            "throughput": self.throughput,
            "errorRate": self.error_rate,
        }


@dataclass
class Tally:
    """Latencies (s) of successes, failures, requests that were not sent, seconds under load."""

    latencies: list[float] = field(default_factory=list)
    failures: int = 0
    unsent: int = 0
    busy: float = 0.0
    first_error: str = ""

    def add(self, other: Tally) -> None:
        """Count what another tally has seen as well."""
        self.latencies += other.latencies
        self.failures += other.failures
        self.unsent += other.unsent
        self.busy += other.busy
        self.first_error = self.first_error or other.first_error

    def figures(self) -> Benchmarked:
        """Sum up; percentiles by nearest rank, so that each is a latency that was seen."""
        ordered = sorted(self.latencies)
        total = len(ordered) + self.failures
        return Benchmarked(
            requests=total,
            p50=nearest_rank(ordered, 0.50),
            p99=nearest_rank(ordered, 0.99),
            throughput=len(ordered) / self.busy if self.busy > 0 else math.nan,
            error_rate=self.failures / total if total else math.nan,
            error=self.first_error,
            unsent=self.unsent,
        )


def nearest_rank(ordered: list[float], share: float) -> float:
    """Give the percentile of sorted values by nearest rank; NaN where there are none.

    It is the smallest value that at least `share` of all do not exceed (https://en.wikipedia.org/wiki/Percentile).
    """
    return ordered[max(math.ceil(share * len(ordered)), 1) - 1] if ordered else math.nan
