"""How much is measured: the whole run, and the quick one that shows that all works."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Plan:
    """Times are in seconds.

    Attributes:
        objects: objects whose rollouts are timed side by side.
        slow_rounds: rollouts of each that end by a bad metric, looked at every 10 s.
        fast_rounds: the same, looked at every second.
        deaths: rollouts that end by the death of a pod.
        patience: until a reaction that does not come is called never.
        whole: rollouts to the end, whose requests are counted.
        echoes: repeats of the control.
        idle_objects: objects whose requests at rest are counted.
        idle_seconds: for how long ours; 600 has exactly one re-list.
        intervals: those at which Flagger's are measured: of 1 s it makes 10, 60 is what it does unasked.
        ticking_seconds: for how long each; whole minutes.
        sizes: numbers of objects for memory and processor.
        rolling: objects that are changed at once, beside the largest number of idle ones.
        window: for how long memory and processor are looked at.
    """

    objects: int
    slow_rounds: int
    fast_rounds: int
    deaths: int
    patience: float
    whole: int
    echoes: int
    idle_objects: int
    idle_seconds: float
    intervals: tuple[int, ...]
    ticking_seconds: float
    sizes: tuple[int, ...]
    rolling: int
    window: float


WHOLE = Plan(
    objects=16,
    slow_rounds=1,
    fast_rounds=4,
    deaths=4,
    patience=45.0,
    whole=4,
    echoes=100,
    idle_objects=50,
    idle_seconds=600.0,
    intervals=(1, 60),
    ticking_seconds=120.0,
    sizes=(1, 50, 200, 1000),
    rolling=50,
    window=30.0,
)
QUICK = Plan(
    objects=4,
    slow_rounds=1,
    fast_rounds=1,
    deaths=1,
    patience=25.0,
    whole=2,
    echoes=20,
    idle_objects=20,
    idle_seconds=30.0,
    intervals=(1,),
    ticking_seconds=60.0,
    sizes=(1, 50),
    rolling=10,
    window=20.0,
)
