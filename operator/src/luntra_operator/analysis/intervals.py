"""Confidence intervals of a proportion that hold at every look at once.

A proportion p is ruled out by the same means as a bound (`evariable`): by the likelihood ratio of a bet against it. The bet is
Krichevsky and Trofimov's, all proportions mixed by the Beta(1/2, 1/2) distribution, for which the evidence has a closed form:

    E(p) = B(k + 1/2, n - k + 1/2) / B(1/2, 1/2) / (p ** k * (1 - p) ** (n - k))

The interval is where E(p) < 1/alpha. It has the true p, if that does not change, at all looks together with a chance of at least
1 - alpha (Ville's inequality); of a p that changes it tells the mean only roughly.

Robbins, "Statistical methods related to the law of the iterated logarithm", Annals of Mathematical Statistics 41, 1970.
"""

from math import exp, lgamma, log, log1p, pi

_STEPS = 60
_NEAR = 1e-9
_FAR = 700.0
"""Log odds beyond which a proportion is 0 or 1 as far as floats go."""

Interval = tuple[float, float]


def interval(bad: float, total: float, alpha: float, dispersion: float = 1.0) -> Interval:
    """Lower and upper end of the proportion of which `bad` in `total` were seen; (0, 1) where nothing was.

    `dispersion` requests count as one.
    """
    bad, total = bad / dispersion, total / dispersion
    good = total - bad
    needed = log(pi / alpha) + lgamma(total + 1.0) - lgamma(bad + 0.5) - lgamma(good + 0.5)
    return _end(bad, total, needed), 1.0 - _end(good, total, needed)


def _end(bad: float, total: float, needed: float) -> float:
    """The proportion p below bad/total at which -log(p ** bad * (1 - p) ** (total - bad)) is `needed`.

    That is convex in the log odds of p, so Newton's method does not overshoot from a start on the left.
    """
    if bad <= 0:
        return 0.0
    odds = -needed / bad
    for _ in range(_STEPS):
        cost = total * log1p(exp(min(odds, _FAR))) - bad * odds
        step = (cost - needed) / (bad - total * _share(odds))
        odds += step
        if step < _NEAR:
            break
    return _share(odds)


def _share(odds: float) -> float:
    return 1.0 / (1.0 + exp(min(-odds, _FAR)))
