"""The declared metrics of a rollout as tests, which share its false alarm rate."""

from collections.abc import Mapping

from luntra_operator.api.analysis import Analysis, Metric
from luntra_operator.api.status import MetricStatus

from .family import part
from .looks import MetricTest
from .rates import start_rate
from .shares import start_share


def alpha_of(analysis: Analysis) -> float:
    """Each metric's part of the false alarm rate; jobs judge by themselves and get none."""
    return part(analysis.false_alarm_rate, max(1, sum(metric.job is None for metric in analysis.metrics)))


def begin(analysis: Analysis, known: Mapping[str, MetricStatus]) -> tuple[MetricTest, ...]:
    """A test of each metric that the pods count.

    `known` is what the status says of them: where an operator was restarted in mid-rollout, all of it goes on.
    """
    alpha = alpha_of(analysis)

    def start(metric: Metric) -> MetricTest:
        found = known.get(metric.name)
        return start_share(metric, alpha, found) if metric.throughput is None else start_rate(metric, alpha, found)

    return tuple(start(metric) for metric in analysis.metrics if metric.measured)
