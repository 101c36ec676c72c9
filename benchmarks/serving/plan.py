"""How much is measured: the whole run, which takes some twenty minutes, and the quick one that shows that all works."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Plan:
    """Times are in seconds.

    Attributes:
        repeats: how often each closed loop is measured, the servers taking turns.
        closed_seconds: how long each time.
        rates: requests in a second for the run with changes of the model.
        swaps: changes at each rate.
        calm: from the end of one change to the order for the next.
    """

    repeats: int
    closed_seconds: float
    rates: tuple[int, ...]
    swaps: int
    calm: float


WHOLE = Plan(repeats=3, closed_seconds=2.0, rates=(200, 1000), swaps=50, calm=0.6)
QUICK = Plan(repeats=1, closed_seconds=1.0, rates=(200,), swaps=5, calm=0.6)
