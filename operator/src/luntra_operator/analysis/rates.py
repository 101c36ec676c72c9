"""Throughput: whether a candidate answers the requests that it is given.

It is no share of its own requests: one that hangs has answered nothing, and nothing of that is bad yet. In the soak nothing is
divided, so nothing more is found out.
"""

from dataclasses import dataclass, replace

from luntra_operator.api.analysis import Metric
from luntra_operator.api.status import MetricStatus

from .explanation import count
from .looks import DISPERSION, Look, Said
from .throughput import Throughput


@dataclass(frozen=True, slots=True)
class RateTest:
    """See `looks.MetricTest`; `begun` is what was due when the step began."""

    metric: Metric
    test: Throughput
    step: str = ""
    begun: float = 0.0
    frozen: bool = False

    def after(self, look: Look) -> "RateTest":
        """The same after one more look; one in which the weight changed says nothing."""
        if look.weight is None:
            return self
        answers = look.candidate.all.answered
        return replace(self, test=self.test.after(answers, look.stable.all.answered, look.weight))

    def at(self, step: str) -> "RateTest":
        """The same at a step, in which nothing was due yet."""
        return self if step == self.step else replace(self, step=step, begun=float(self.test.due))

    def freeze(self) -> "RateTest":
        """The same where nothing is divided any more."""
        return replace(self, frozen=True)

    @property
    def said(self) -> Said:
        """What all looks so far come to."""
        finding = self.test.finding
        verdict, message = finding.verdict, finding.explain()
        due = finding.due - self.begun
        if verdict != "Fail" and not self.frozen:
            verdict = "Pass" if due >= self.metric.least else "NoData"
        if verdict == "NoData":
            message = f"{count(due)} answers were due at this step, minSamples is {self.metric.least}; {message}"
        return Said(verdict, message, finding.part, finding.answers, None, finding.due, (finding.evidence,))


def start_rate(metric: Metric, alpha: float, known: MetricStatus | None) -> RateTest:
    """Begin; `known` is what a rollout under way had found, where an operator was restarted.

    Raises:
        ValueError: the metric says not which part of what is due must be answered; the types forbid it.
    """
    if metric.min_ratio is None:
        raise ValueError(f"{metric.name}: throughput needs minRatio")
    stake = known.evidence[0] if known is not None and len(known.evidence) == 1 else 0.0
    return RateTest(metric, Throughput.start(metric.min_ratio, alpha, DISPERSION, stake, least_samples=1))
