"""How soon a version that fails requests has no traffic left: from the first failed answer to weight 0, by rate of requests.

It fails on a tenth of the requests and gets half of the traffic: through real pods, the real gateway and one client or more.
"""

import asyncio
import os
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest

from e2e.demo.models import Models
from e2e.installation import Installation
from e2e.scenarios.arena import Arena, Object, alone, followed, side_by_side
from e2e.scenarios.judged import ERRORS, judged
from luntra_operator.kube import kinds

pytestmark = pytest.mark.timeout(3600)
FAILING, WEIGHT = 0.1, 50
PLANS = (((1, 1),) * 4 + ((10, 3),), ((100, 6),), ((1000, 3),))
"""Plan after plan: requests a second and rollouts, for each of the ModelDeployments that are there at once."""
PER_CLIENT = 250.0
"""Requests a second that one client is asked for at most."""
REPORT = Path(__file__).parents[2] / "build" / "reports" / "detection.md"


@dataclass(frozen=True)
class Detected:
    """One rollout: `reached` requests a second; seconds to weight 0 in the route since the first failed answer was there, and since the
    status had the verdict; requests that the version failed on, and that it got.
    """

    rate: int
    reached: float
    since_failure: float
    since_verdict: float
    failed: int
    got: int


async def detections(arena: Arena, rate: int, times: int) -> list[Detected]:
    """Have a version refused so many times, each time under a new name."""
    await arena.apply_body(_body(arena, "v1", "v1"))
    await arena.until_phase("Stable", "v1")
    return [await _detection(arena, rate, f"v5.{number}") for number in range(times)]


async def _detection(arena: Arena, rate: int, version: str) -> Detected:
    verdicts: list[float] = []

    def heard(found: Object) -> None:
        status = found.get("status", {})
        if status.get("candidate", {}).get("version", version) == version:
            failing = [one for one in status.get("metrics", []) if one["verdict"] == "Fail"]
            verdicts.extend(datetime.fromisoformat(one["since"]).timestamp() for one in failing)

    await arena.apply_body(_body(arena, version, "v5"))
    await arena.until_weight(WEIGHT)
    clients = max(1, round(rate / PER_CLIENT))
    watched = arena.watched(kinds.MODEL_DEPLOYMENT, heard)
    async with followed(arena) as weights, watched, AsyncExitStack() as stack:
        loads = [
            await stack.enter_async_context(arena.load(rate=rate / clients, limit=900, brighter=FAILING))
            for _ in range(clients)
        ]
        await arena.until_phase("RolledBack", "v1", seconds=900)
    [candidate] = weights.seen[0].keys() - {"digits-w1"}
    zero = next(at for at, seen in zip(weights.at, weights.seen, strict=True) if not seen.get(candidate))
    answers = [answer for load in loads for answer in load.answers]
    assert not [answer.error for answer in answers if answer.lost and answer.version == "v1"]
    failures = [answer.at + answer.latency for answer in answers if answer.failed]
    before = [answer for answer in answers if answer.at < zero]
    await arena.until_gone(candidate)
    return Detected(
        rate,
        len(before) / (zero - min(answer.at for answer in before)),
        zero - min(failures),
        zero - max(verdicts),
        len(failures),
        sum(answer.version == version for answer in answers),
    )


def _body(arena: Arena, version: str, bundle: str) -> Object:
    steps = [{"weight": WEIGHT, "hold": "30m"}]
    return alone(arena.body(version, bundle=bundle, steps=steps, analysis=judged(ERRORS), deadlines={"ready": "5m"}))


async def test_failing_version_loses_its_traffic_at_every_rate(
    installation: Installation, models: Models, tmp_path: Path
) -> None:
    """Breaks if a rate is too low to find anything, or too high for operator, pods or gateway. Times are only written down."""
    found: list[Detected] = []
    for plan in PLANS:
        async with side_by_side(installation, models, tmp_path / str(plan[0][0]), len(plan)) as arenas:
            runs = (detections(arena, rate, times) for arena, (rate, times) in zip(arenas, plan, strict=True))
            found += [one for several in await asyncio.gather(*runs) for one in several]
        _report(found)
    assert {one.rate for one in found} == {rate for plan in PLANS for rate, _ in plan}


def _report(found: list[Detected]) -> None:
    text = f"""# From the first failed request to weight 0, on kind, {datetime.now(UTC):%Y-%m-%d}

`pytest e2e/soak/{Path(__file__).name}` on {os.cpu_count()} cores. A version that
fails on {FAILING:.0%} of the requests gets {WEIGHT} % of the traffic through the gateway. `errorRate` with `maxIncrease: 0.01`,
looked at once a second; `falseAlarmRate` 0.01. Median and extremes of each.

| requests/s | reached | rollouts | first failed answer → weight 0, s | verdict in status → weight 0, ms | failed | of |
|---|---|---|---|---|---|---|
"""
    for rate in sorted({one.rate for one in found}):
        mine = [one for one in found if one.rate == rate]
        reached = sorted(one.reached for one in mine)[len(mine) // 2]
        columns = (
            _spread([one.since_failure for one in mine], 1),
            _spread([1000 * one.since_verdict for one in mine], 0),
            _spread([one.failed for one in mine], 0),
            _spread([one.got for one in mine], 0),
        )
        text += f"| {rate:,} | {reached:,.0f} | {len(mine)} | {' | '.join(columns)} |\n"
    REPORT.parent.mkdir(parents=True, exist_ok=True)
    REPORT.write_text(text, encoding="utf-8")


def _spread(values: list[float] | list[int], digits: int) -> str:
    ordered = sorted(values)
    return f"{ordered[len(ordered) // 2]:,.{digits}f} ({ordered[0]:,.{digits}f} to {ordered[-1]:,.{digits}f})"
