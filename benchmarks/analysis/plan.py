"""What is simulated: sizes of a whole and of a quick run, and the rules that are compared. Times are in seconds, a look is one."""

from __future__ import annotations

from dataclasses import dataclass

ALPHA = 0.05
"""Declared for false rollbacks; delays are at `ALPHA_DELAYS`."""
ALPHA_DELAYS = 0.01
BASE = 0.01
RATES = (5.0, 45.0)
"""Requests a second to candidate and stable where false rollbacks are counted."""
GROUP = 8
DISPERSIONS = (1, 2, 10)
"""Fixed ones; ours begins at 2 (`looks.DISPERSION`) and is measured."""
WINDOW = 60
"""Seconds between two checks of a fixed threshold, which looks at the candidate's share in that time."""
BOUND = 1.5
"""The fixed threshold, as a multiple of the true base rate: nobody knows that so well."""
HOUR = 3600
BASES = (0.001, 0.01)
TIMES = (2, 5, 20)
REQUESTS = (1, 10, 100, 1000)
"""A second, of both versions together."""
WEIGHTS = (5, 25)
CORRELATIONS = (0.0, 0.5, 0.9, 0.98)
TRAFFICS = {
    "independent": "each request by itself, 1 %",
    "rare": "each request by itself, 0.1 %",
    "bursty": f"groups of {GROUP} requests that fail together",
    "unequal load": "a second has from none to ten times as many requests, each version by itself",
    "wave": "base rate of both between 0.3 % and 3 %, an hour from top to top",
    "common episodes": "half a minute in ten both have 5.5 % instead of 0.5 %",
    "own episodes": "the same, each version at its own times",
}


@dataclass(frozen=True)
class Plan:
    """Numbers of simulated rollouts, looks and windows."""

    runs: int
    looks: int
    delay_runs: int
    delay_looks: int
    series_runs: int
    windows: int


WHOLE = Plan(runs=100, looks=10_000, delay_runs=40, delay_looks=HOUR, series_runs=100, windows=300)
QUICK = Plan(runs=50, looks=300, delay_runs=20, delay_looks=120, series_runs=10, windows=40)
