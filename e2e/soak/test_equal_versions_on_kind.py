"""Rollouts of a version that is the stable one under another name, judged by every look of every metric: none may be taken back."""

import asyncio
import os
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import pytest

from e2e.demo.models import Models
from e2e.demo.records import Answer
from e2e.installation import Installation
from e2e.scenarios.arena import NAME, Arena, Object, alone, side_by_side
from e2e.scenarios.judged import ERRORS, FAILED, judged
from luntra_operator.kube import kinds

pytestmark = pytest.mark.timeout(3600)
AT_ONCE, EACH, RATE = 5, 10, 12.0
STEPS = [{"weight": 30, "hold": "4s"}, {"weight": 60, "hold": "4s"}]
METRICS = [
    ERRORS,
    {"name": "slow", "latency": {"objective": "50ms"}, "maxIncrease": 0.05},
    {"name": "answers", "throughput": {}, "minRatio": 0.8},
    {"name": "failed", "prometheus": {"query": FAILED}, "window": "10s", "max": 0.02},
]
REPORT = Path(__file__).parents[2] / "build" / "reports" / "equal-versions.md"


@dataclass
class Series:
    """What became of rollouts one after the other: refusals in the operator's words, seconds of each, and all answers."""

    refused: list[str] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    answers: list[Answer] = field(default_factory=list)


async def rollouts(arena: Arena) -> Series:
    """Roll out the same model under one name after another."""
    series = Series()
    await arena.apply_body(_body(arena, 0))
    await arena.until_phase("Stable", "v0")
    async with arena.load(rate=RATE, limit=3000) as load:
        for number in range(1, EACH + 1):
            began = datetime.now(UTC)
            await arena.apply_body(_body(arena, number))
            if await _ended(arena, f"v{number}") == "RolledBack":
                series.refused.append((await arena.status())["rejectedMessage"])
            series.seconds.append((datetime.now(UTC) - began).total_seconds())
    series.answers = load.answers
    return series


async def _ended(arena: Arena, version: str) -> str:
    phase = ""

    async def ended() -> bool:
        nonlocal phase
        found = await arena.kube.get(kinds.MODEL_DEPLOYMENT, arena.namespace, NAME) or {}
        status = found["status"]
        phase = str(status["phase"])
        stable = status.get("stable", {}).get("version") == version
        read = bool(status.get("observedGeneration") == found["metadata"]["generation"])
        return read and (phase == "RolledBack" or (phase == "Stable" and stable))

    await arena.until(ended, seconds=300)
    return phase


def _body(arena: Arena, number: int) -> Object:
    return alone(
        arena.body(f"v{number}", bundle="v2", steps=STEPS, analysis=judged(*METRICS), deadlines={"ready": "5m"})
    )


async def test_fifty_rollouts_of_an_equal_version_are_all_promoted(
    installation: Installation, models: Models, tmp_path: Path
) -> None:
    """Breaks if noise is taken for a difference: of pods that start, of processors that are busy, of looks a second apart."""
    async with side_by_side(installation, models, tmp_path, AT_ONCE) as arenas:
        done = await asyncio.gather(*(rollouts(arena) for arena in arenas))
    _report(done)
    assert [text for series in done for text in series.refused] == []
    assert [answer.error for series in done for answer in series.answers if answer.error] == []


def _report(done: list[Series]) -> None:
    """Write down what was seen, whatever is asserted of it afterwards."""
    seconds = sorted(one for series in done for one in series.seconds)
    answers = [answer for series in done for answer in series.answers]
    refused = [text for series in done for text in series.refused]
    latencies = sorted(one.latency for one in answers if not one.error)
    text = f"""# Equal versions on kind, {datetime.now(UTC):%Y-%m-%d}

`pytest e2e/soak/{Path(__file__).name}` on {os.cpu_count()} cores. {len(seconds)} rollouts of one model under one name after another,
{AT_ONCE} ModelDeployments at once with {RATE:g} requests a second each, through 30, 60 and 100 %, 4 s each at least,
looked at once a second.
Metrics: {", ".join(f"`{metric['name']}`" for metric in METRICS)}.

| | |
|---|---|
| rollouts | {len(seconds)}, {seconds[0]:.0f} to {seconds[-1]:.0f} s each |
| rolled back | {len(refused)} |
| requests | {len(answers):,}, of which {sum(bool(one.error) for one in answers)} had an error |
| latency | p50 {1000 * latencies[len(latencies) // 2]:.0f} ms, p99 {1000 * latencies[len(latencies) * 99 // 100]:.0f} ms |
"""
    text += "".join(f"\n- {one}" for one in refused)
    REPORT.parent.mkdir(parents=True, exist_ok=True)
    REPORT.write_text(text, encoding="utf-8")
