"""The picture of a run, as SVG: false rollbacks, and delays on a logarithmic axis; pure."""

from __future__ import annotations

from math import log
from typing import TYPE_CHECKING

from benchmarks.analysis.plan import ALPHA, HOUR, TRAFFICS
from benchmarks.serving.plot import bars

if TYPE_CHECKING:
    from collections.abc import Iterator

    from benchmarks.analysis.results import Delay, Results
    from benchmarks.serving.plot import Bar

_BASE, _TIMES, _WEIGHT = 0.01, 5, 5
_SLOWEST = 1.25 * HOUR
_ROOM = 0.8
"""Length of the longest bar, so that there is room for its words."""


def draw(results: Results) -> str:
    """Draw a run; parts that were not simulated are left out."""
    return bars(_panels(results), "False rollbacks and delays of the statistics and of other rules")


def _panels(results: Results) -> Iterator[tuple[str, list[tuple[str, list[Bar]]]]]:
    if results.refused:
        title = f"Equal versions that are taken back within {results.looks:,} looks (ours and chi-squared: alpha {ALPHA:.0%})"
        yield (
            title,
            [(kind, [_share(one.rule, one.share) for one in results.refused if one.what == kind]) for kind in TRAFFICS],
        )
    chosen = [one for one in results.delays if (one.base, one.times, one.weight) == (_BASE, _TIMES, _WEIGHT)]
    if chosen:
        title = f"Seconds until {_TIMES} % instead of {_BASE:.0%} are noticed in 90 of 100 rollouts, at weight {_WEIGHT} (logarithmic)"
        rates = sorted({one.requests for one in chosen})
        yield (
            title,
            [(f"{rate:,.0f} requests/s", [_delay(one) for one in chosen if one.requests == rate]) for rate in rates],
        )


def _share(rule: str, share: float) -> Bar:
    return _shade(rule), _ROOM * share, f"{rule}: {share:.1%}"


def _delay(delay: Delay) -> Bar:
    if delay.p90 is None:
        return _shade(delay.rule), _ROOM, f"{delay.rule}: later"
    return _shade(delay.rule), _ROOM * log(1 + delay.p90) / log(_SLOWEST), f"{delay.rule}: {delay.p90:,.0f}"


def _shade(rule: str) -> str:
    return "ours b" if rule.startswith("ours") else "b"
