"""What a look at the pods' counters brings to a metric, and what the metric says to it."""

from dataclasses import dataclass
from typing import Literal, Protocol

from luntra_operator.api.analysis import Metric

from .counters import Gain
from .intervals import Interval

Better = Literal["Candidate", "Stable", "Neither"]

DISPERSION = 2.0
"""How many requests count as one, at least: clients retry, and one bad input comes in groups."""


@dataclass(frozen=True, slots=True)
class Look:
    """What has come since the last look: of both versions, and feedback by revision.

    `weight` is the percent of the requests that the candidate got throughout, None where it changed or is not known.
    """

    candidate: Gain
    stable: Gain
    revision: str
    stable_revision: str | None
    weight: int | None = None


@dataclass(frozen=True, slots=True)
class Said:
    """What a metric says: a verdict, a line for people, and the figures behind it.

    The intervals have the true values, at all looks together, with a chance of at least 1 less the metric's part of the false alarm
    rate; where they do not overlap one version is `better`.
    """

    verdict: Literal["Pass", "Fail", "NoData"]
    message: str
    value: float | None
    samples: float
    stable_value: float | None
    stable_samples: float | None
    evidence: tuple[float, ...]
    interval: Interval | None = None
    stable_interval: Interval | None = None
    better: Better | None = None


class MetricTest(Protocol):
    """One metric that is watched through one rollout; immutable."""

    @property
    def metric(self) -> Metric:
        """As declared."""

    @property
    def said(self) -> Said:
        """What all looks so far come to."""

    def after(self, look: Look) -> "MetricTest":
        """The same after one more look."""

    def at(self, step: str) -> "MetricTest":
        """The same at a step of the rollout, which is silent until somebody asks."""

    def freeze(self) -> "MetricTest":
        """The same once the old version gets no requests: at 100 %, and while it is only kept warm."""
