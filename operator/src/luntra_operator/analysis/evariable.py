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

_POLISH = 3
"""Steps of Newton's method after the closed form, which is exact but for the rounding of its cosines."""

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
    share = total / np.maximum(total + stable_total, _TINY)
    if margin.ratio == 1 and margin.increase == 0:  # the mean of the bet, as either sample counts
        return share * q + (1.0 - share) * stable_q
    if margin.increase == 0:  # the smaller root of a quadratic
        both = share * q + (1.0 - share) * stable_q
        sum_of = share * (margin.ratio + q) + (1.0 - share) * (1.0 + margin.ratio * stable_q)
        return 2.0 * both / (sum_of + np.sqrt(np.maximum(sum_of**2 - 4.0 * margin.ratio * both, 0.0)))
    # The slope times what is positive in it is a cubic, c3 at**3 + c2 at**2 + c1 at + c0, whose middle root it is.
    ratio, slack, gap = margin.ratio, margin.increase * (1.0 - margin.increase), margin.increase - q
    lean = ratio * (1.0 - 2.0 * margin.increase)
    c0 = (share - 1.0) * stable_q * slack
    c1 = ratio * share * gap + (1.0 - share) * (slack - stable_q * lean)
    c2 = ratio * share * (ratio - gap) + (1.0 - share) * (lean + stable_q * ratio**2)
    c3 = -(ratio**2)
    middle = -c2 / (3.0 * c3)
    width = np.sqrt(np.maximum(middle**2 - c1 / (3.0 * c3), _TINY))
    height = ((c3 * middle + c2) * middle + c1) * middle + c0
    at = middle + 2.0 * width * np.cos((np.arccos(np.clip(height / (-2.0 * c3 * width**3), -1, 1)) - 2.0 * np.pi) / 3.0)
    # To move from the bet into H0, the stable proportion rises and the candidate's falls.
    high = np.maximum(np.minimum(-gap / ratio, 1.0), stable_q)
    for _ in range(_POLISH):
        growth = (3.0 * c3 * at + 2.0 * c2) * at + c1
        at = at - (((c3 * at + c2) * at + c1) * at + c0) / np.where(growth > 0, growth, np.inf)
        at = np.minimum(np.maximum(at, stable_q), high)
    return at


def _log_ratio(bad: Floats, total: Floats, q: Floats, p: Floats) -> Floats:
    p = np.clip(p, _TINY, 1.0 - _TINY)
    return bad * np.log(q / p) + (total - bad) * np.log((1.0 - q) / (1.0 - p))
