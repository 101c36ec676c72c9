"""The judges of a rollout: one for all that the pods count, and one for each metric that comes from elsewhere."""

from functools import partial

from luntra_operator.analysis.verdicts import alpha_of
from luntra_operator.api.quantities import seconds
from luntra_operator.kube.client import Kube
from luntra_operator.pods.client import Pods
from luntra_operator.sources.opened import Sources

from .live import LiveJudge
from .measuring import MeasuringJudge
from .sampling import Judge, Trial
from .sourced import SourcedJudge


class Judges:
    """What metrics can be made from; called with a trial it gives its judges, none where no metric is declared."""

    def __init__(self, kube: Kube, pods: Pods, sources: Sources) -> None:
        """Jobs are run through `kube`, `pods` are asked for their counters, `sources` for what others have measured."""
        self._kube, self._pods, self._sources = kube, pods, sources

    def __call__(self, trial: Trial) -> tuple[Judge, ...]:
        """See `sampling.Analysis`."""
        analysis = trial.spec.analysis
        if analysis is None:
            return ()
        interval, alpha = seconds(analysis.interval), alpha_of(analysis)
        parts: list[Judge] = []
        if any(metric.measured for metric in analysis.metrics):
            parts.append(LiveJudge(self._pods, trial, analysis))
        for number, metric in enumerate(analysis.metrics, 1):
            if metric.job is not None:
                parts.append(MeasuringJudge(self._kube, metric, number, interval, trial))
            elif metric.prometheus is not None:
                ask = partial(self._sources.prometheus.value, metric.prometheus)
                parts.append(SourcedJudge(metric, ask, alpha, interval, trial))
            elif metric.web is not None:
                parts.append(SourcedJudge(metric, partial(self._sources.web.value, metric.web), alpha, interval, trial))
        return tuple(parts)
