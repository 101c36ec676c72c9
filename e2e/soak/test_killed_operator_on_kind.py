"""Rollout after rollout while the operator is killed again and again, and a report of what was seen."""

import asyncio
import itertools
import os
import random
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

import pytest

from e2e.demo.records import Answer
from e2e.installation import Installation
from e2e.scenarios.arena import Arena, Weights, followed
from e2e.scenarios.killing import How, Operator

pytestmark = pytest.mark.timeout(2400)
ROLLOUTS, SEED, RATE, HOLD = 10, 1, 40, 3.0
LIFE = 8.0
"""Seconds that an operator leads at most before it is killed."""
STEPS = (10, 50, 100)
REPORT = Path(__file__).parents[2] / "build" / "reports" / "kind-rollouts.md"


@asynccontextmanager
async def killed_at_random(operator: Operator) -> AsyncIterator[None]:
    """Kill the operator at a random moment of each of its lives for as long as the context lasts, and let the last one live."""
    chance = random.Random(SEED)
    ways: Iterator[How] = itertools.cycle(("process", "pod"))  # in place alone, the kubelet waits ever longer

    async def keep_killing() -> None:
        for how in ways:
            await operator.until_leading()
            await asyncio.sleep(chance.uniform(0, LIFE))
            await operator.kill(how)

    killing = asyncio.create_task(keep_killing())
    try:
        yield
        assert not killing.done(), killing.exception()
    finally:
        killing.cancel()
        with suppress(asyncio.CancelledError):
            await killing
        await operator.until_leading()


async def test_ten_rollouts_lose_no_request_while_the_operator_is_killed(
    arena: Arena, installation: Installation
) -> None:
    """Breaks if any moment of a rollout is a bad one to die in: for a request, a step or a hold."""
    operator, began, promoted = Operator(arena, installation), [], []
    await arena.apply_body(_body(arena, 1))
    await arena.until_phase("Stable", "v1")
    async with arena.load(rate=RATE, limit=2000) as load, followed(arena) as weights, killed_at_random(operator):
        for number in range(2, ROLLOUTS + 2):
            began.append(datetime.now(UTC).timestamp())
            await arena.apply_body(_body(arena, number))
            await arena.until_phase("Stable", f"v{number}", seconds=300)
            promoted.append(datetime.now(UTC).timestamp())
    seconds = [end - begin for begin, end in zip(began, promoted, strict=True)]
    _report(load.answers, weights, operator, seconds)
    assert load.errors == []
    assert {answer.version for answer in load.answers} == {f"v{number}" for number in range(1, ROLLOUTS + 2)}
    for number in range(2, ROLLOUTS + 2):
        assert weights.shares(f"digits-w{number}")[:4] == [0, *STEPS]
    assert _shortest_hold(weights) >= HOLD


def _body(arena: Arena, number: int) -> dict[str, object]:
    steps = [{"weight": weight, "hold": f"{HOLD:g}s"} for weight in STEPS[:-1]]
    body = arena.body(f"v{number}", bundle=("v1", "v2")[number % 2], steps=steps)
    body["spec"]["serving"]["runtime"]["deadline"] = "10s"
    return body


def _shortest_hold(weights: Weights) -> float:
    """Seconds for which a declared weight stood in the route at least."""
    spans = (span for number in range(2, ROLLOUTS + 2) for span in weights.spans(f"digits-w{number}"))
    return min(lasted for weight, lasted in spans if weight in STEPS[:-1])


def _report(answers: list[Answer], weights: Weights, operator: Operator, seconds: list[float]) -> None:
    """Write down what was seen, whatever is asserted of it afterwards."""
    kills, errors = Counter(kill.how for kill in operator.kills), [one for one in answers if one.error]
    latencies = sorted(one.latency for one in answers if not one.error)
    text = f"""# Rollouts on kind while the operator is killed, {datetime.now(UTC):%Y-%m-%d}

`pytest e2e/soak/{Path(__file__).name}` on {os.cpu_count()} cores; seed {SEED}. {ROLLOUTS} rollouts one after the other
through {", ".join(map(str, STEPS))} %, {HOLD:g} s each, with a client that asks {RATE} times a second and retries nothing. The operator
leads for at most {LIFE:g} s before it gets SIGKILL; every second time its pod is deleted too, and its successor has to wait for the
lease to expire.

| | |
|---|---|
| rollouts promoted | {len(seconds)} of {ROLLOUTS}, {min(seconds):.0f} to {max(seconds):.0f} s each |
| kills | {len(operator.kills)}: {kills["process"]} of the process, {kills["pod"]} with the pod |
| requests | {len(answers):,} in {answers[-1].at - answers[0].at:.0f} s |
| client errors | {len(errors)} |
| latency | p50 {1000 * latencies[len(latencies) // 2]:.0f} ms, p99 {1000 * latencies[len(latencies) * 99 // 100]:.0f} ms |
| shortest hold | {_shortest_hold(weights):.2f} s of {HOLD:g} s declared |
"""
    for error, count in Counter(one.error for one in errors).items():
        text += f"\n{count} × {error}\n"
    REPORT.parent.mkdir(parents=True, exist_ok=True)
    REPORT.write_text(text, encoding="utf-8")
