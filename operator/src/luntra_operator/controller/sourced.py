"""Judges one metric whose values come from elsewhere: a query, asked once a look, or once a window where versions are compared.

A source that cannot be asked is a judgement, Error; a value that there is none of is another, NoData. Neither is held against
the candidate before its time.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from luntra_operator.analysis.series import Series, SeriesLimits, load
from luntra_operator.api.analysis import Metric
from luntra_operator.api.quantities import seconds
from luntra_operator.rollout.observed import Figures, Judgement
from luntra_operator.sources.errors import SourceError
from luntra_operator.sources.target import Target

from .sampling import Trial

if TYPE_CHECKING:
    from luntra_operator.api.status import Verdict

Ask = Callable[[Target], Awaitable[float | None]]
"""The value of a query for a version, None where there is none; raises SourceError."""

_NONE = float("nan")


class SourcedJudge:
    """See `sampling.Judge`."""

    def __init__(
        self,
        metric: Metric,
        ask: Ask,
        alpha: float,
        interval: float,
        trial: Trial,
    ) -> None:
        """Nothing is known yet, but for how much of `alpha` a process before this one has spent."""
        self._metric, self._ask, self._trial = metric, ask, trial
        self.interval = max(interval, metric.span) if metric.compares else interval
        known = next((entry for entry in trial.status.metrics if entry.name == metric.name), None)
        spent = int(known.evidence[0]) if known and len(known.evidence) == 1 else 0
        self._series = Series.start(_limits(metric), alpha, spent)
        self._step, self._seen, self._over = "", False, False
        self._error = ""

    @property
    def judgements(self) -> tuple[Judgement, ...]:
        """As of the last look."""
        metric, finding = self._metric, self._series.finding
        verdict: Verdict = finding.verdict
        message = finding.explain(metric.name, self._series.limits)
        if self._over and verdict == "NoData":
            verdict, message = "Pass", f"nothing to compare with any more; {message}"
        if verdict == "Pass" and not self._seen and not self._over:
            verdict, message = "NoData", f"no value at this step yet; {message}"
        if self._error and verdict != "Fail":
            verdict, message = "Error", self._error
        policy = metric.on_no_data
        compared = self._series.limits.compared
        figures = Figures(
            finding.median if compared else finding.value,
            finding.windows,
            finding.stable_median,
            finding.windows if compared else None,
            (float(finding.windows),),
        )
        return (
            Judgement(metric.name, verdict, message, seconds(policy.after), policy.action, metric.dry_run, figures),
        )

    def see(self, trial: Trial) -> None:
        """A step begins without a value of its own."""
        self._trial = trial
        if trial.step != self._step:
            self._step, self._seen = trial.step, False

    async def look(self) -> None:
        """Ask, for both versions where they are compared."""
        trial = self._trial
        try:
            await self._take(trial, beside=trial.beside is not None)
            self._error = ""
        except SourceError as error:
            self._error = str(error)

    async def _take(self, trial: Trial, *, beside: bool) -> None:
        target = target_of(trial, self._metric.span)
        limits = self._series.limits
        if limits.compared and not beside:  # the old version gets no requests any more: only bounds are left
            if limits.max is limits.min is None:
                self._over = True
                return
            self._series = Series.start(replace(limits, increase=None, ratio=None), self._series.alpha)
        if not self._series.limits.compared:
            value = await self._ask(target)
            self._series = self._series.after(_NONE if value is None else value)
        else:
            await asyncio.to_thread(load)
            mine, theirs = await asyncio.gather(self._ask(target), self._ask(stable_of(target)))
            self._series = self._series.after(_NONE if mine is None else mine, _NONE if theirs is None else theirs)
        self._seen |= self._series.value is not None


def target_of(trial: Trial, window: float) -> Target:
    """Whom a query is about."""
    subject, stable = trial.subject, trial.status.stable
    if subject is None:
        raise LookupError(f"{trial.namespace}/{trial.name} has no version that could be judged")
    other = (stable if trial.status.candidate else trial.status.previous) or None
    return Target(
        trial.namespace,
        trial.name,
        subject.revision,
        other.revision if other else None,
        subject.workload,
        other.workload if other else None,
        window,
    )


def stable_of(target: Target) -> Target:
    """The same query about the version that is compared with."""
    if target.stable_revision is None or target.stable_workload is None:
        raise LookupError("there is no stable version to compare with")
    return replace(target, revision=target.stable_revision, workload=target.stable_workload)


def _limits(metric: Metric) -> SeriesLimits:
    more = metric.min is not None or metric.max_decrease is not None or metric.min_ratio is not None
    return SeriesLimits(
        worse="lower" if more else "higher",
        increase=metric.max_decrease if more else metric.max_increase,
        ratio=metric.min_ratio if more else metric.max_ratio,
        max=metric.max,
        min=metric.min,
        consecutive=metric.consecutive or 1,
        least_windows=metric.least,
    )
