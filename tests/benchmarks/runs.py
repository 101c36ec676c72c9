"""A run's results, made up: what the report, the targets and the picture are tested with."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from benchmarks.serving.results import (
    Calibration,
    Machine,
    Named,
    Quantiles,
    Results,
    SwapCost,
    Swaps,
    Throughput,
    Windows,
)

MACHINE = Machine("A processor", 2, 8 << 30, "Linux 6", "3.11.7", "1.31.1", "2026-11-20", load_before=0.1)
COST = SwapCost(2e-8, acquire_release=2e-7, promote=1e-5, rollback_request=8e-4, rollback_request_p99=2e-3)

QUIET = Quantiles(4000, 0.0005, 0.001, 0.002)


def results(**changes: Any) -> Results:
    """A run in which ours meets every target, with `changes` on top."""
    return replace(
        Results(
            machine=MACHINE,
            calibration=Calibration(2e-8, 9e9),
            servers=(Named("luntra", "Ours", "a document"), Named("triton", "Theirs", "a load request")),
            quick=False,
            seconds=1200.0,
            throughput=(*cells("luntra", 12000.0, 15000.0), *cells("triton", 4000.0, 4000.0)),
            swaps=(swaps("luntra", 0.0011), swaps("triton", 1.5)),
            swap_cost=COST,
        ),
        **changes,
    )


def cells(server: str, *rates: float) -> tuple[Throughput, ...]:
    """The tiny model, JSON: `rates` with 16 and 64 connections, a tenth less and more in other repeats; 1,000 with one."""
    return tuple(
        Throughput(server, "points", "json", connections, (0.9 * rate, rate, 1.1 * rate), (1e-4, 1e-4, 1e-4), bad=0)
        for connections, rate in zip((1, 16, 64), (1000.0, *rates), strict=True)
    )


def swaps(server: str, p99: float, **changes: Any) -> Swaps:
    """Fifty changes at 200 requests per second: p99 is 1 ms before, and `p99` seconds during a change."""
    made = Swaps(
        server=server,
        rate=200,
        saturated=False,
        swaps=50,
        swap_median_seconds=0.03,
        swap_max_seconds=0.05,
        windows=Windows(QUIET, Quantiles(2000, 0.0005, p99, 2 * p99)),
        control=Windows(QUIET, QUIET),
        requests=20000,
        checked=800,
    )
    return replace(made, **changes)
