"""Two versions side by side (A/B): which is better, or that no difference is to be seen yet; at every look.

Each version has an interval that holds at all looks together (for both, 1 - alpha), and one is named the winner where the intervals
are apart. That takes about twice the samples of a test of the difference alone, but what is claimed is what is shown.

A metric is a share (`Counts`: conversions, errors; `intervals`) or the mean of rewards from 0 to 1 (`Rewards`). For those, with
bets l (at most 1/2) on means m, both fixed before a look, the interval is the predictable plug-in empirical Bernstein one,

    sum(l * x) / sum(l)  -+  (ln(2 / alpha) + sum(4 * (x - m) ** 2 * psi(l))) / sum(l),     psi(l) = (-ln(1 - l) - l) / 4

which is as narrow as the rewards scatter little, and takes nothing for granted about their distribution but the range and that
the mean stays. A reward must not depend on those before it: rewards of one session count together as one (`dispersion`).

Waudby-Smith, Ramdas, "Estimating means of bounded random variables by betting", Journal of the Royal Statistical Society B 86,
2024, theorem 2.
"""

from dataclasses import dataclass, field, replace
from math import isfinite, log, log1p, sqrt
from typing import Literal

from .evidence import Counts
from .explanation import count, percent
from .intervals import Interval, difference, interval
from .proportions import checked_counts, checked_start

_BOLDEST = 0.5


@dataclass(frozen=True, slots=True)
class Rewards:
    """Of `total` requests the sum of the rewards, each from 0 to 1, and the sum of their squares.

    Raises:
        ValueError: sums that no such rewards have.
    """

    total: float = 0.0
    sum: float = 0.0
    squares: float = 0.0

    def __post_init__(self) -> None:
        slack = 1e-9 * (1 + abs(self.total))  # sums of floats
        right = -slack <= self.squares <= self.sum + slack <= self.total + 2 * slack
        if not (right and isfinite(self.total) and self.sum**2 <= (self.squares + slack) * (self.total + slack)):
            raise ValueError(
                f"{self.total:g} rewards with the sum {self.sum:g} and the sum of squares {self.squares:g}: "
                "each must be from 0 to 1"
            )


@dataclass(frozen=True, slots=True)
class _Shares:
    """A share, of everything that was counted."""

    counts: Counts = field(default_factory=Counts)

    def after(self, sample: Counts, dispersion: float, alpha: float) -> "_Shares":
        del dispersion, alpha  # of use at the end
        return _Shares(self.counts + checked_counts(sample, "version"))

    @property
    def samples(self) -> float:
        return float(self.counts.total)

    @property
    def mean(self) -> float:
        return float(self.counts.bad) / self.samples if self.samples else 0.5

    def interval(self, dispersion: float, alpha: float) -> Interval:
        return interval(float(self.counts.bad), self.samples, alpha, dispersion)


@dataclass(frozen=True, slots=True)
class _Means:
    """A mean of rewards: what was seen, and the sums of the docstring's interval."""

    samples: float = 0.0
    sum: float = 0.0
    scatter: float = 0.0
    """Of each reward from the mean before its look, squared."""
    bets: float = 0.0
    weighed: float = 0.0
    cost: float = 0.0

    def after(self, sample: Rewards, dispersion: float, alpha: float) -> "_Means":
        guess = (0.5 + self.sum) / (1 + self.samples)
        count = (self.samples + sample.total) / dispersion
        variance = (0.25 + self.scatter) / (1 + self.samples)
        bet = min(_BOLDEST, sqrt(2 * log(2 / alpha) / (variance * (1 + count) * log(2 + count))))
        off = max(0.0, sample.squares - 2 * guess * sample.sum + sample.total * guess**2)
        return _Means(
            self.samples + sample.total,
            self.sum + sample.sum,
            self.scatter + off,
            self.bets + bet * sample.total / dispersion,
            self.weighed + bet * sample.sum / dispersion,
            self.cost + off / dispersion * (-log1p(-bet) - bet),
        )

    @property
    def mean(self) -> float:
        return self.sum / self.samples if self.samples else 0.5

    def interval(self, dispersion: float, alpha: float) -> Interval:
        del dispersion  # it is in the sums
        if not self.bets:
            return 0.0, 1.0
        middle, half = self.weighed / self.bets, (log(2 / alpha) + self.cost) / self.bets
        return max(0.0, middle - half), min(1.0, middle + half)


@dataclass(frozen=True, slots=True)
class Side:
    """One version: its mean (or share) of so many samples, 0.5 of none, and the interval of the true one."""

    mean: float
    samples: float
    interval: Interval

    def explain(self) -> str:
        """Put it into words."""
        if not self.samples:
            return "no samples"
        low, high = self.interval
        return f"{percent(self.mean)} of {count(self.samples)} ({percent(low)} to {percent(high)})"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What is to be seen; `difference` is the candidate's mean less the stable version's."""

    winner: Literal["candidate", "stable", "none"]
    candidate: Side
    stable: Side
    difference: Interval

    def explain(self, noun: str, stable_noun: str = "stable") -> str:
        """Put it into words."""
        named = {"candidate": "candidate is better", "stable": f"{stable_noun} is better", "none": "no difference yet"}
        return f"{noun}: {named[self.winner]}; {self.candidate.explain()} vs {self.stable.explain()} on {stable_noun}"


@dataclass(frozen=True, slots=True)
class Comparison:
    """What all looks so far say of two versions; see the two ways to start."""

    alpha: float
    better: Literal["higher", "lower"]
    dispersion: float
    candidate: _Shares | _Means
    stable: _Shares | _Means

    @staticmethod
    def of_shares(alpha: float, better: Literal["higher", "lower"], dispersion: float = 1.0) -> "Comparison":
        """Begin a comparison of shares that names a wrong winner with a chance of at most alpha. Raises ValueError."""
        checked_start(alpha, dispersion)
        return Comparison(alpha, better, dispersion, _Shares(), _Shares())

    @staticmethod
    def of_rewards(alpha: float, better: Literal["higher", "lower"], dispersion: float = 1.0) -> "Comparison":
        """The same of means of rewards from 0 to 1. Raises ValueError."""
        checked_start(alpha, dispersion)
        return Comparison(alpha, better, dispersion, _Means(), _Means())

    def after(self, candidate: Counts | Rewards, stable: Counts | Rewards) -> "Comparison":
        """The same after one more look: what has come since the last one, as counts or as rewards, as it was begun.

        Raises:
            ValueError: counts that cannot be.
            TypeError: counts where rewards are compared, or the reverse.
        """
        return replace(self, candidate=self._next(self.candidate, candidate), stable=self._next(self.stable, stable))

    def _next(self, side: _Shares | _Means, sample: Counts | Rewards) -> _Shares | _Means:
        if isinstance(side, _Shares) and isinstance(sample, Counts):
            return side.after(sample, self.dispersion, self.alpha / 2)
        if isinstance(side, _Means) and isinstance(sample, Rewards):
            return side.after(sample, self.dispersion, self.alpha / 2)
        raise TypeError(f"{type(sample).__name__} are not what this comparison was begun with")

    @property
    def outcome(self) -> Outcome:
        """What is to be seen now."""
        candidate, stable = (
            Side(side.mean, side.samples, side.interval(self.dispersion, self.alpha / 2))
            for side in (self.candidate, self.stable)
        )
        low, high = difference(candidate.interval, stable.interval)
        winner: Literal["candidate", "stable", "none"] = "none"
        if low > 0 or high < 0:
            winner = "candidate" if (low > 0) == (self.better == "higher") else "stable"
        return Outcome(winner, candidate, stable, (low, high))
