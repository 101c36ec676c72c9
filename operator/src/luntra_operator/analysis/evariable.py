"""The evidence in one pair of samples against "the candidate's proportion is within its margin of the stable version's".

Of n requests k are bad (an error, slower than the objective, a wrong answer); p is the chance that one is. The null hypothesis is

    H0: p_candidate <= ratio * p_stable + increase

which is a convex set of pairs (p_candidate, p_stable). The evidence for one pair q outside of it is the likelihood ratio of q
against the point p* of H0 that is nearest to q in Kullback-Leibler divergence, weighted by the sizes of the samples:

    E = prod over both samples of (q / p*) ** k * ((1 - q) / (1 - p*)) ** (n - k)

Whatever pair in H0 is true, the mean of E is at most 1: log of that mean is a concave function of the true pair, it is 0 at p*,
and that p* is nearest to q says just that its slope at p* points out of H0. So E is an e-variable, exactly, for samples of any
size, and the product of those of successive pairs of samples is a process that reaches 1/alpha with a chance of at most alpha,
no matter how often one looks (Ville's inequality). The pair q may depend on all that was seen before, not on the samples themselves;
p may change from one pair of samples to the next.

Turner, Ly, Grünwald, "Generic E-variables for exact sequential k-sample tests that allow for optional stopping", Journal of
Statistical Planning and Inference 230, 2024; for margins Turner, Grünwald, "Exact anytime-valid confidence intervals for contingency
tables and beyond", Statistics and Probability Letters 198, 2023.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]

_STEPS = 12
"""Steps of Newton's method, each kept within what is known of the root: the nearest point is exact to rounding then (10 are enough)."""

_TINY = 1e-12


@dataclass(frozen=True, slots=True)
class Margin:
    """How much worse the candidate's proportion may be: `ratio` times the stable version's, and `increase` on top.

    With a ratio of 0 the stable version does not matter, and `increase` is a bound.

    Raises:
        ValueError: a negative ratio, or an increase outside of 0..1; or both 0, which nothing could keep.
    """

    ratio: float = 1.0
    increase: float = 0.0

    def __post_init__(self) -> None:
        if self.ratio < 0 or not 0 <= self.increase < 1 or self.ratio == self.increase == 0:
            raise ValueError(f"ratio {self.ratio:g} must be at least 0, increase {self.increase:g} in 0..1, not both 0")

    def most(self, stable: ArrayLike) -> Floats:
        """The largest proportion that is allowed beside the stable version's."""
        return np.minimum(self.ratio * np.asarray(stable, dtype=float) + self.increase, 1.0)


def log_evidence(
    margin: Margin,
    candidate: tuple[ArrayLike, ArrayLike],
    stable: tuple[ArrayLike, ArrayLike],
    bet: tuple[Floats, Floats],
) -> Floats:
    """log E of a sample (bad, total) of each version, for bets q = (candidate's, stable's proportion).

    All arrays are broadcast against each other. A bet that is within the margin is none: 0.
    """
    bad, total = (np.asarray(part, dtype=float) for part in candidate)
    stable_bad, stable_total = (np.asarray(part, dtype=float) for part in stable)
    q, stable_q = bet
    nearest = _nearest(margin, total, stable_total, q, stable_q)
    found = _log_ratio(bad, total, q, margin.most(nearest)) + _log_ratio(stable_bad, stable_total, stable_q, nearest)
    return np.where(q > margin.most(stable_q), found, 0.0)


def _nearest(margin: Margin, total: Floats, stable_total: Floats, q: Floats, stable_q: Floats) -> Floats:
    """The stable proportion of the point of H0 that is nearest to a bet outside of it; it lies where H0 ends.

    The divergence is convex along that edge, so its slope changes its sign once.
    """
    if margin.ratio == 0:
        return stable_q
    if margin.ratio == 1 and margin.increase == 0:  # the mean of the bet, as either sample counts
        return (total * q + stable_total * stable_q) / np.maximum(total + stable_total, 1.0)
    # To move from the bet into H0, the stable proportion rises and the candidate's falls.
    low, high = stable_q, np.minimum((q - margin.increase) / margin.ratio, 1.0)
    at = (total * high + stable_total * low) / np.maximum(total + stable_total, 1.0)
    for _ in range(_STEPS):  # the slope times what is positive in it, so that it is a polynomial
        edge = margin.ratio * at + margin.increase
        mine, theirs = margin.ratio * total * at * (1.0 - at), stable_total * edge * (1.0 - edge)
        value = mine * (edge - q) + theirs * (at - stable_q)
        growth = (
            margin.ratio * (total * (1.0 - 2.0 * at) * (edge - q) + stable_total * (1.0 - 2.0 * edge) * (at - stable_q))
            + margin.ratio * mine
            + theirs
        )
        low, high = np.where(value < 0, at, low), np.where(value < 0, high, at)
        following = at - value / np.where(growth > 0, growth, np.inf)
        at = np.where((following >= low) & (following <= high) & (growth > 0), following, (low + high) / 2)
    return at


def _log_ratio(bad: Floats, total: Floats, q: Floats, p: Floats) -> Floats:
    p = np.clip(p, _TINY, 1.0 - _TINY)
    return bad * np.log(q / p) + (total - bad) * np.log((1.0 - q) / (1.0 - p))
