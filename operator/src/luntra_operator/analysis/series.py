"""Judge a metric that comes as one value per window (a query's answer), against bounds and against the stable version's values.

Bounds (`max`, `min`) are for single values: so many beyond one in a row fail, and no chance is involved.

The comparison takes the values of equal windows, one of each version, and asks whether the candidate's tend to be worse than what is
allowed beside the stable version's. That is the one-sided test of Mann and Whitney, as Kayenta has it, which takes nothing for
granted about how values are distributed; it must be significant, and Cliff's delta at least `effect`, as with many windows any
trifle is significant. Each look is a test of its own here, so alpha is spent: tests are made when there are n windows of each, then
1.25 n, and so on, and the j-th gets alpha / (j * (j + 1)), of which the sum is alpha. `Finding.p` has that multiplied out.

What it does take for granted is that windows do not hang together. Those of a gauge do: a queue that is long stays long. So the
correlation of neighbours is measured, and of windows with a correlation c only each k-th is used, k = (1 + c) / (1 - c): for the
error of a mean, n correlated values are worth n / k independent ones. That is an estimate: with tides that come and go over more
windows than there are, false alarms are more frequent than alpha (docs/statistics.md has by how much).

Mann, Whitney, "On a test of whether one of two random variables is stochastically larger than the other", Annals of Mathematical
Statistics 18, 1947; Cliff, "Dominance statistics", Psychological Bulletin 114, 1993; Bayley, Hammersley, "The effective number of
independent observations in an autocorrelated time series", Supplement to the Journal of the Royal Statistical Society 8, 1946.
"""

from dataclasses import dataclass, replace
from math import ceil, comb, isfinite
from typing import Literal

import numpy as np

from .evariable import Floats
from .explanation import chance

LEAST_EFFECT = 0.33
"""Cliff's delta that is called medium (Romano and others, 2006): 0.147 small, 0.33 medium, 0.474 large."""

_GROWTH = 1.25
_KEPT = 1000
"""Windows that are remembered."""
_EXACT = 8
"""Up to so many values of each, ties are counted out; beyond it the normal approximation is good."""


@dataclass(frozen=True, slots=True)
class SeriesLimits:
    """What the candidate's values may be, at least one limit.

    Attributes:
        worse: the direction in which a value is bad, for the comparison.
        increase: how much worse, as a difference, than the stable version's.
        ratio: the multiple of the stable version's that is allowed; with `increase`, what is worse than both fails.
        max, min: bounds of a single value.
        consecutive: how many values in a row a bound must be exceeded by.
        effect: the least Cliff's delta of a fail, from 0 to 1: the chance that a value is worse less the chance that it is better.
        least_windows: values of each that a pass needs.

    Raises:
        ValueError: a limit that means nothing, or none.
    """

    worse: Literal["higher", "lower"] = "higher"
    increase: float | None = None
    ratio: float | None = None
    max: float | None = None
    min: float | None = None
    consecutive: int = 1
    effect: float = LEAST_EFFECT
    least_windows: int = 5

    def __post_init__(self) -> None:
        if self.increase is self.ratio is self.max is self.min is None:
            raise ValueError("none of increase, ratio, max and min is given; at least one is needed")
        for name, value, right in (
            ("increase", self.increase, self.increase is None or 0 <= self.increase < float("inf")),
            ("ratio", self.ratio, self.ratio is None or 0 < self.ratio < float("inf")),
            ("max", self.max, self.max is None or isfinite(self.max)),
            ("min", self.min, self.min is None or isfinite(self.min)),
            ("consecutive", self.consecutive, self.consecutive >= 1),
            ("effect", self.effect, 0 <= self.effect < 1),
            ("least_windows", self.least_windows, self.least_windows >= 1),
        ):
            if not right:
                raise ValueError(f"{name} is {value:g}, which means nothing")

    @property
    def compared(self) -> bool:
        """Whether the stable version matters."""
        return self.increase is not None or self.ratio is not None

    def excess(self, candidate: Floats, stable: Floats) -> tuple[Floats, Floats]:
        """Both series turned so that higher is worse, the stable version's moved to what is allowed beside it."""
        sign = 1.0 if self.worse == "higher" else -1.0
        allowed = [] if self.increase is None else [stable + sign * self.increase]
        allowed += [] if self.ratio is None else [self.ratio * stable]
        return sign * candidate, np.maximum.reduce([sign * one for one in allowed])


@dataclass(frozen=True, slots=True)
class SeriesFinding:
    """What was found, with the figures behind it.

    Attributes:
        verdict: `NoData` where the last window has no value, or there are fewer than a pass or a test needs.
        broken: what fails.
        value: the candidate's last one; None where there is none.
        median, stable_median: of the windows that were compared.
        windows: how many of each version.
        used: how many of each were left for the last test.
        delta: Cliff's, of the last test: 1 where all are worse than allowed, 0 where they are alike.
        p: of the last test, valid for all of them together.
    """

    verdict: Literal["Pass", "Fail", "NoData"]
    broken: Literal["max", "min", "comparison"] | None
    value: float | None
    median: float | None
    stable_median: float | None
    windows: int
    used: int
    delta: float
    p: float

    def explain(self, noun: str, limits: SeriesLimits, stable_noun: str = "stable") -> str:
        """Put it into words."""
        last = "no value" if self.value is None else f"{self.value:.3g}"
        if self.broken in ("max", "min"):
            side, bound = ("above max", limits.max) if self.broken == "max" else ("below min", limits.min)
            times = f", {limits.consecutive} times in a row" if limits.consecutive > 1 else ""
            return f"{noun} {last} is {side} {bound:g}{times}"
        if self.median is None or self.stable_median is None:
            return f"{noun} {last}"
        told = (
            f"{noun} {self.median:.3g} vs {self.stable_median:.3g} on {stable_noun} (medians of {self.windows} windows"
        )
        if self.verdict == "NoData":
            return f"{told}): {'too few to judge' if self.value is not None else 'no value now'}"
        thinned = f", {self.used} of them used" if self.used < self.windows else ""
        return f"{told}{thinned}, delta {self.delta:.2g}, {chance(self.p)})"


@dataclass(frozen=True, slots=True)
class _Test:
    p: float = 1.0
    delta: float = 0.0
    used: int = 0


@dataclass(frozen=True, slots=True)
class Series:
    """All windows so far of one metric; see `start`."""

    limits: SeriesLimits
    alpha: float
    windows: int
    pairs: tuple[tuple[float, float], ...] = ()
    value: float | None = None
    beyond: int = 0
    """Values in a row that were above `max` (counted up from 0) or below `min` (down)."""
    test: _Test = _Test()

    @staticmethod
    def start(limits: SeriesLimits, alpha: float, windows: int = 0) -> "Series":
        """Begin a test that refuses a candidate that keeps its limits with a chance of at most `alpha`.

        Where an operator was restarted, `windows` is that of the last finding: what was spent on tests is not spent again.

        Raises:
            ValueError: an alpha outside of 0..1, or a negative number of windows.
        """
        if not 0 < alpha < 1:
            raise ValueError(f"alpha {alpha:g} must be between 0 and 1")
        if windows < 0:
            raise ValueError(f"windows {windows} must not be negative")
        return Series(limits, alpha, windows)

    def after(self, candidate: float, stable: float = float("nan")) -> "Series":
        """The same after one more window; NaN or infinity is no value."""
        if not isfinite(candidate):
            return replace(self, value=None)
        following = replace(self, value=candidate, beyond=self._beyond(candidate))
        if not self.limits.compared:
            return replace(following, windows=self.windows + 1)
        if not isfinite(stable):
            return replace(following, value=candidate if self._out(following.beyond) else None)
        pairs = (*self.pairs[1 - _KEPT :], (candidate, stable))
        following = replace(following, pairs=pairs, windows=self.windows + 1)
        number = self._number(following.windows)
        return replace(following, test=_compare(following, number)) if number else following

    def _beyond(self, value: float) -> int:
        if self.limits.max is not None and value > self.limits.max:
            return max(self.beyond, 0) + 1
        if self.limits.min is not None and value < self.limits.min:
            return min(self.beyond, 0) - 1
        return 0

    def _out(self, beyond: int) -> bool:
        return abs(beyond) >= self.limits.consecutive

    def _number(self, windows: int) -> int:
        """Which test is due at so many windows, from 1; 0 for none."""
        due = self.limits.least_windows
        while 1 / comb(2 * due, due) > self.alpha / 2:  # fewer could not be significant
            due += 1
        number = 1
        while due < windows:
            due, number = max(due + 1, ceil(_GROWTH * due)), number + 1
        return number if due == windows else 0

    @property
    def finding(self) -> SeriesFinding:
        """What all windows so far say."""
        broken: Literal["max", "min", "comparison"] | None = None
        if self._out(self.beyond):
            broken = "max" if self.beyond > 0 else "min"
        elif self.test.p <= self.alpha and self.test.delta >= self.limits.effect:
            broken = "comparison"
        tested = self.test.used > 0 or not self.limits.compared
        enough = tested and self.windows >= self.limits.least_windows and self.value is not None
        medians = np.median(np.array(self.pairs), axis=0) if self.pairs else (None, None)
        return SeriesFinding(
            verdict="Fail" if broken else "Pass" if enough else "NoData",
            broken=broken,
            value=self.value,
            median=None if medians[0] is None else float(medians[0]),
            stable_median=None if medians[1] is None else float(medians[1]),
            windows=self.windows,
            used=self.test.used,
            delta=self.test.delta,
            p=self.test.p,
        )


def load() -> None:
    """Import scipy, which takes 2 s and 80 MiB: to be called off the event loop before the first comparison."""
    import scipy.stats  # noqa: F401 - an operator that compares no series need not carry it


def _compare(series: Series, number: int) -> _Test:
    """Make the test of that number; one that so few windows cannot make significant is none."""
    windows, tests = np.array(series.pairs), number * (number + 1)
    apart = _apart(windows)
    mine, theirs = series.limits.excess(*windows[::-apart].T)
    used = len(mine)
    if tests / comb(2 * used, used) > series.alpha:
        return _Test()
    u, p = _mann_whitney(mine, theirs)
    return _Test(min(1.0, p * tests), 2 * u / used**2 - 1, used)


def _mann_whitney(mine: Floats, theirs: Floats) -> tuple[float, float]:
    """U of the first, and the chance of as large a one where both are alike."""
    from scipy.stats import PermutationMethod, mannwhitneyu

    tied = len(np.unique(np.append(mine, theirs))) < 2 * len(mine)
    method = PermutationMethod(n_resamples=comb(2 * _EXACT, _EXACT)) if tied and len(mine) <= _EXACT else "auto"
    found = mannwhitneyu(mine, theirs, alternative="greater", method=method)
    return float(found.statistic), float(found.pvalue)


def _apart(pairs: Floats) -> int:
    """How many windows lie between two that are nearly independent, by the correlation of neighbours in both series.

    It is taken to be larger than it was seen by what it is underestimated where the mean is estimated too (Kendall, 1954), and by
    its standard error: with few windows nobody can know.
    """
    count, rest = len(pairs), pairs - pairs.mean(axis=0)
    scatter = float((rest**2).sum())
    seen = float((rest[1:] * rest[:-1]).sum()) / scatter if scatter > 0 else 0.0
    correlation: float = (seen + 1 / count) / max(1 - 4 / count, 0.2) + (2 * count) ** -0.5
    correlation = float(min(max(correlation, 0.0), 0.99))
    return round((1 + correlation) / (1 - correlation))
