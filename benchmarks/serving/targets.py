"""What our server set out to reach, and whether a run shows it; pure. Ratios within one run, where they can be had."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from benchmarks.serving.results import Results, SwapCost, Swaps, Windows

OURS = "luntra"
_LEAD = 2.0
_RATE = 10_000
_P99 = 1.2
_NOISE = 2.0
"""A ratio that is so many times the one without a change, and the target, is no noise, however busy the machine was."""
_TAIL = 10
"""p99 may be so many times p50 without a change."""
_HOLD, _PROMOTE, _ROLLBACK = 15, 1000, 0.001


@dataclass(frozen=True)
class Target:
    """One line of the list: what, how much was wanted, how much was found, and whether that is enough (None: undecided)."""

    what: str
    wanted: str
    found: str
    met: bool | None

    @property
    def verdict(self) -> str:
        """The outcome in a word."""
        return {True: "met", False: "missed", None: "undecided"}[self.met]


def targets(results: Results) -> list[Target]:
    """All targets about which the run says something."""
    found = [*_throughput(results)]
    for swaps in results.swaps:
        if swaps.server == OURS:
            found += _swaps(swaps)
    if results.swap_cost is not None:
        found += _costs(results.swap_cost)
    return found


def _throughput(results: Results) -> Iterator[Target]:
    cells = [one for one in results.throughput if one.model == "points" and one.encoding == "json"]
    rates = {(one.server, one.connections): median(one.rates) for one in cells}
    ours = {connections: rate for (server, connections), rate in rates.items() if server == OURS}
    for connections in (16, 64):
        peers = {server: rate for (server, many), rate in rates.items() if many == connections and server != OURS}
        if connections in ours and peers:
            best = max(peers, key=lambda server: peers[server])
            ratio = ours[connections] / peers[best]
            what = f"answers/s, JSON, tiny model, {connections} connections, against the best peer ({best})"
            yield Target(what, f"≥ {_LEAD:g} ×", f"{ratio:.2f} ×", ratio >= _LEAD)
    if ours:
        top = max(ours.values())
        yield Target("answers/s, JSON, tiny model, one process", f"≥ {_RATE:,}", f"{top:,.0f}", top >= _RATE)


def _swaps(swaps: Swaps) -> Iterator[Target]:
    if swaps.windows is None or swaps.control is None:
        yield Target(f"{swaps.rate} requests/s with changes of the model", "kept up", "not kept up", met=False)
        return
    ratio = swaps.windows.ratio
    found = f"{ratio:.2f} (without a change: {swaps.control.ratio:.2f})"
    met: bool | None = ratio <= _P99
    if not calm(swaps.windows, swaps.control) and ratio <= _NOISE * max(_P99, swaps.control.ratio):
        met = None
    yield Target(f"p99 during a change / before, {swaps.rate} requests/s", f"≤ {_P99:g}", found, met)
    bad = swaps.errors + swaps.resets + swaps.wrong
    what = f"failed or wrong answers and resets in {swaps.swaps} changes, {swaps.rate} requests/s"
    broken = ", then broken off" if swaps.broken_off else ""
    yield Target(what, "0", f"{bad}{broken}", bad == 0 and not swaps.broken_off)


def calm(windows: Windows, control: Windows) -> bool:
    """Whether the machine was so quiet that a ratio says something about the server.

    It was not if windows without a change differ by as much as a change may make, or if one request in a hundred waits so
    long without a change that no stall of a server would be seen.
    """
    even = 1 / _P99 <= control.ratio <= _P99
    return even and windows.before.p99 <= _TAIL * windows.before.p50


def _costs(cost: SwapCost) -> Iterator[Target]:
    hold, promote = cost.acquire_release / cost.empty_call, cost.promote / cost.empty_call
    yield Target(
        "hold and release a version / an empty call",
        f"≤ {_HOLD} ×",
        f"{hold:.1f} × ({cost.acquire_release * 1e6:.2f} µs)",
        hold <= _HOLD,
    )
    yield Target(
        "promote a version in memory / an empty call",
        f"≤ {_PROMOTE:,} ×",
        f"{promote:.0f} × ({cost.promote * 1e6:.1f} µs)",
        promote <= _PROMOTE,
    )
    found = f"{cost.rollback_request * 1e3:.2f} ms (p99 {cost.rollback_request_p99 * 1e3:.2f} ms)"
    yield Target("rollback over HTTP, median", "< 1 ms", found, cost.rollback_request < _ROLLBACK)
