"""How sure a ratio of candidate to stable is, from pairs of windows measured side by side. Pure.

The sign test (https://en.wikipedia.org/wiki/Sign_test), turned into limits of the pairs' median: it takes nothing for
granted about how a machine's noise is distributed. In each pair chance decides which version is measured first, so for two
copies of one version each pair is as likely to come out above 1 as below, whatever else the machines are doing; the limit is
then beyond a bound that 1 keeps to in at most `SHARE_REFUSED` of all runs. A bootstrap or a t-test would need more pairs or
noise of a kind that no shared machine has.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import median

SHARE_REFUSED = 0.01
"""How often, at most, a version that is exactly as good as a bound demands is refused by chance, all bounds taken together."""


@dataclass(frozen=True)
class Ratio:
    """Median of the pairs' ratios, and the limits that the true one is above, or below, with confidence 1 - `risk` each."""

    median: float
    least: float
    most: float


def ratio(pairs: list[tuple[float, float]], risk: float = SHARE_REFUSED) -> Ratio | None:
    """Compare (candidate, stable) figures pair by pair; None where too few pairs are left to tell anything at that risk.

    A pair in which either figure is missing (NaN) or stable's is 0 says nothing and is left out.
    """
    ratios = sorted(one / other for one, other in pairs if math.isfinite(one) and math.isfinite(other) and other > 0)
    beyond = needed(len(ratios), risk)
    if beyond is None:
        return None
    return Ratio(median(ratios), ratios[len(ratios) - beyond], ratios[beyond - 1])


def needed(count: int, risk: float) -> int | None:
    """Give how many of `count` fair coins must agree to be rarer than `risk`; None where even all of them are not.

    It is the smallest k with P(X >= k) <= risk for X binomial of `count` and 1/2.
    """
    tail, found = 0.0, None
    for successes in range(count, -1, -1):
        tail += math.comb(count, successes) / 2**count
        if tail > risk:
            break
        found = successes
    return found
