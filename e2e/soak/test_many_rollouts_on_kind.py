"""Rollout after rollout while both the client and the processors are busy: races between route, proxy and pods show here."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from e2e.scenarios.arena import Arena

pytestmark = pytest.mark.timeout(1800)
ROLLOUTS = 12
LIMIT = 900.0
"""Seconds after which client and burners stop by themselves."""

_BURN = f"import time; end = time.monotonic() + {LIMIT}\nwhile time.monotonic() < end: pass"


@asynccontextmanager
async def busy_processors() -> AsyncIterator[None]:
    """Every processor has something else to do for as long as the context lasts."""
    burners = [await asyncio.create_subprocess_exec(sys.executable, "-c", _BURN) for _ in range(os.cpu_count() or 1)]
    try:
        yield
    finally:
        for burner in burners:
            burner.kill()
            await burner.wait()


async def test_many_rollouts_on_busy_processors_lose_no_request(arena: Arena) -> None:
    """Breaks if a backend gets traffic before the proxy knows it, or loses its pods while the proxy still does."""
    await arena.apply("v1")
    await arena.until_phase("Stable", "v1")
    async with arena.load(rate=100, limit=LIMIT) as load, busy_processors():
        for number in range(ROLLOUTS):
            version = f"v{number + 2}"
            body = arena.body(version, bundle=("v2", "v1")[number % 2])
            body["spec"]["serving"]["runtime"]["deadline"] = "10s"
            await arena.apply_body(body)
            await arena.until_phase("Stable", version, seconds=180)
    assert load.errors == []
    assert {answer.version for answer in load.answers} == {f"v{number}" for number in range(1, ROLLOUTS + 2)}
