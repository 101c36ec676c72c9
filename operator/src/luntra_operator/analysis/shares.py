"""Metrics that are shares: of failed requests, of slow ones, of wrong predictions.

The evidence of a metric grows over the whole rollout, from step to step. Silence is told by the step: what came at 5 % says nothing
of whether anybody asks at 25 %, so each step needs its `minSamples`. At 100 %, and while it is only kept warm, the old version gets
no requests, so the candidate is judged beside what was seen of it before: its share, at the upper end of what that may be, is frozen.
The share of slow requests is not: when the machine slows down, nobody is there to compare with.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from luntra_operator.api.analysis import Metric
from luntra_operator.api.quantities import seconds
from luntra_operator.api.status import MetricStatus

from .counters import Feedback, Traffic
from .evidence import Counts
from .explanation import count, explain
from .intervals import Interval, interval
from .looks import DISPERSION, Better, Look, Said
from .proportions import Finding, Limits, Proportions

MOST = 1.0 - 1e-6
"""The largest share that can be a bound."""


@dataclass(frozen=True, slots=True)
class ShareTest:
    """One share that is watched through one rollout; see `begin`."""

    metric: Metric
    test: Proportions
    step: str = ""
    in_step: tuple[float, float] = (0.0, 0.0)
    frozen: Finding | None = None
    """What was found before the stable version's share was frozen."""

    def after(self, look: Look) -> "ShareTest":
        """The same after one more look."""
        candidate, stable, cold = _counts(self.metric, look)
        here, beside = self.in_step
        # What is cold counts here too: the step is not silent.
        samples = (here + _total(candidate) + _total(cold), beside + _total(stable))
        return replace(self, test=self.test.after(candidate, stable, cold), in_step=samples)

    def at(self, step: str) -> "ShareTest":
        """The same at a step of the rollout, which is silent until somebody asks."""
        return self if step == self.step else replace(self, step=step, in_step=(0.0, 0.0))

    def freeze(self) -> "ShareTest":
        """From now on beside what was seen of the stable version so far; the evidence goes on.

        Not so latency: how fast a version is depends on the machine of the moment, which no share from before has seen. Of it
        only a bound goes on.
        """
        if self.frozen is not None or not self.metric.compares:
            return self
        test, limits = self.test, self.test.limits
        together = float(test.together)
        bounds = [] if limits.most is None else [limits.most]
        if self.metric.latency is None:
            high = interval(float(test.stable.bad), float(test.stable.total), test.alpha, together)[1]
            bounds.append(min(MOST, max(float(margin.most(high)) for margin in limits.margins if margin.ratio)))
        if not bounds:
            return replace(self, frozen=test.finding)
        alone = replace(limits, most=min(bounds), increase=None, ratio=None)
        beside = Proportions.start(alone, test.alpha, together, (float(test.log),))
        return replace(self, test=beside, frozen=test.finding)

    @property
    def said(self) -> Said:
        """What all looks so far come to."""
        metric, finding = self.metric, self.test.finding
        beside = self.frozen or finding
        if not finding.samples:
            finding = beside
        verdict, message = finding.verdict, explain(finding, _noun(metric))
        if verdict == "Pass" and (self.step or self.frozen is None) and (lacking := self._lacking()):
            verdict, message = "NoData", f"{lacking} at this step, minSamples is {metric.least}; {message}"
        return Said(
            verdict,
            message,
            _value(metric, finding.share) if finding.samples else None,
            finding.samples,
            None if beside.stable_share is None else _value(metric, beside.stable_share),
            beside.stable_samples if beside.limits.compared else None,
            self.test.finding.evidence,
            *self._beside(),
        )

    def _beside(self) -> tuple[Interval | None, Interval | None, Better | None]:
        """Intervals of both versions that hold at all looks, and which one is better; of a frozen one no more."""
        test, metric = self.test, self.metric
        mine, theirs = test.candidate + test.cold, test.stable
        if self.frozen is not None or not float(mine.total) or not float(theirs.total):
            return None, None, None
        found, other = (
            interval(float(one.bad), float(one.total), test.alpha / 2, float(test.together)) for one in (mine, theirs)
        )
        better: Better = "Candidate" if found[1] < other[0] else "Stable" if other[1] < found[0] else "Neither"
        return _values(metric, found), _values(metric, other), better

    def _lacking(self) -> str:
        mine, theirs = self.in_step
        compared = self.metric.compares and self.frozen is None
        sides = [(mine, ""), (theirs, " on stable")] if compared else [(mine, "")]
        return " and ".join(f"{count(here)} requests{where}" for here, where in sides if here < self.metric.least)


def start_share(metric: Metric, alpha: float, known: MetricStatus | None) -> ShareTest:
    """Begin; `known` is what a rollout under way had found, where an operator was restarted: all of it goes on."""
    limits = _limits(metric)
    found = tuple(known.evidence) if known is not None else ()
    # In the soak there is one test in the place of all: what it found is shared by them.
    stakes = found * len(limits.margins) if len(found) == 1 else found if len(found) == len(limits.margins) else ()
    # The other half is for the baseline that is frozen in the soak, which may be wrong, too.
    part = alpha / 2 if limits.compared else alpha
    test = Proportions.start(limits, part, DISPERSION, stakes, measured=True)
    if known is None:
        return ShareTest(metric, test)
    stable = _seen(metric, known.stable_value, known.stable_samples)
    return ShareTest(
        metric, replace(test.known(stable), candidate=_seen(metric, known.value, known.samples), stable=stable)
    )


def _seen(metric: Metric, value: float | None, samples: float | None) -> Counts:
    """Counts that the status has as figures."""
    if value is None or samples is None:
        return Counts()
    return Counts(_value(metric, value) * samples, samples)


def _counts(metric: Metric, look: Look) -> tuple[Counts, Counts, Counts]:
    """Bad and all requests as a metric has them: the warm candidate's, the stable version's and the cold candidate's."""
    if metric.accuracy is not None:
        told = (look.candidate + look.stable).feedback
        return _wrong(told, look.revision), _wrong(told, look.stable_revision), Counts()
    if metric.latency is None:  # a pod that is cold is slow; its users do not care why it fails
        return _bad(metric, look.candidate.all), _bad(metric, look.stable.all), Counts()
    return (
        _bad(metric, look.candidate.warm),
        _bad(metric, look.stable.all),
        _bad(metric, look.candidate.cold),
    )


def _limits(metric: Metric) -> Limits:
    """Limits of the share that is bad; of a share that is good, 1 less that."""
    if metric.accuracy is None:
        return Limits(metric.max, metric.max_increase, metric.max_ratio, 1)
    most = None if metric.min is None else 1.0 - metric.min
    return Limits(most, metric.max_decrease, None, 1)


def _bad(metric: Metric, traffic: Traffic) -> Counts:
    if metric.latency is None:
        return Counts(traffic.failed, traffic.total)
    objective = seconds(metric.latency.objective)
    return Counts(traffic.timed - traffic.within.get(objective, 0), traffic.timed)


def _wrong(told: Mapping[str, Feedback], revision: str | None) -> Counts:
    found = told.get(revision or "", Feedback())
    return Counts(found.told - found.worth, found.told)  # its evidence is valid for worths between 0 and 1, too


def _value(metric: Metric, share: float) -> float:
    return 1.0 - share if metric.accuracy is not None else share


def _values(metric: Metric, shares: Interval) -> Interval:
    low, high = sorted(_value(metric, share) for share in shares)
    return low, high


def _total(counts: Counts) -> float:
    return float(counts.total)


def _noun(metric: Metric) -> str:
    if metric.latency is not None:
        return f"slower than {metric.latency.objective}"
    return "error rate" if metric.error_rate is not None else "wrong predictions"
