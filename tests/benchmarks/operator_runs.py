"""An operator benchmark's results, made up: what its report, targets and picture are tested with."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from benchmarks.operator.results import Adoption, Cost, Idle, Load, Named, Reaction, Results, What
from tests.benchmarks.runs import MACHINE


def reaction(contender: str, what: What, *samples: float, **changes: Any) -> Reaction:
    """Looked at every second."""
    return replace(Reaction(contender, what, 1, samples), **changes)


def idle(contender: str, own: int, lists: int = 0, interval: int = 0) -> Idle:
    """Fifty objects for ten minutes."""
    looks = own // 10
    return Idle(contender, interval, 50, 600.0, looks, own, lists, shared=400, kinds={"get leases": 300})


def load(contender: str, objects: int, rolling: int = 0, **changes: Any) -> Load:
    """100 MiB and 100 KiB for each object."""
    made = Load(
        contender=contender,
        objects=objects,
        rolling=rolling,
        seconds=60.0,
        start_seconds=1.0,
        start_requests=11 * objects,
        resident_bytes=(100 << 20) + objects * (100 << 10),
        peak_bytes=(101 << 20) + objects * (100 << 10),
        cores=0.1 + objects / 10_000,
        peak_cores=0.9,
        rate=3.0,
        visit_seconds=0.0,
    )
    return replace(made, **changes)


REACTIONS: tuple[Reaction, ...] = (
    Reaction("echo", "echo", 0, (0.005, 0.006, 0.02)),
    reaction("luntra", "noticed", 0.05, 0.06),
    reaction("luntra", "first weight", 5.5),
    reaction("luntra", "told", 0.05),
    reaction("luntra", "death", 0.3),
    reaction("luntra", "edit", 0.1),
    reaction("flagger", "bad", 12.0, 18.0),
    reaction("flagger", "edit", never=3, within=60.0),
)


def results(**changes: Any) -> Results:
    """A run in which ours meets every target, with `changes` on top."""
    return replace(
        Results(
            machine=MACHINE,
            contenders=(Named("luntra", "Ours"), Named("flagger", "Theirs")),
            quick=False,
            seconds=2400.0,
            reactions=REACTIONS,
            adoptions=(Adoption("flagger", 50, (100, 100)),),
            costs=(Cost("luntra", (200, 220, 210), (10.0, 11.0, 12.0), {"get pods": 20}),),
            idle=(idle("luntra", 0, lists=10), idle("flagger", 36_000, interval=10)),
            loads=(load("luntra", 1), load("luntra", 1001), load("luntra", 1050, 50), load("flagger", 1)),
        ),
        **changes,
    )
