"""The operator with a metric source of the benchmark's own: the port that real sources use, asked every N seconds."""

from __future__ import annotations

import asyncio
import os
import signal
from typing import TYPE_CHECKING

import aiohttp

from benchmarks.operator.source import query
from luntra_operator.rollout.observed import Judgement
from luntra_operator.runtime import logs
from luntra_operator.runtime.main import run
from luntra_operator.runtime.settings import Settings

if TYPE_CHECKING:
    from luntra_operator.api.spec import ModelDeploymentSpec
    from luntra_operator.api.status import ModelDeploymentStatus


class Scripted:
    """Judges by one query; between two of them the last answer holds."""

    def __init__(self, session: aiohttp.ClientSession, source: str, interval: float) -> None:
        """Ask `source` for each object once in `interval` seconds."""
        self._session, self._source, self._interval = session, source, interval
        self._last: dict[tuple[str, str, int], tuple[float, Judgement]] = {}

    async def judge(
        self, namespace: str, name: str, spec: ModelDeploymentSpec, status: ModelDeploymentStatus
    ) -> tuple[tuple[Judgement, ...], float | None]:
        """See `Analysis`."""
        now = asyncio.get_running_loop().time()
        rollout = (namespace, name, status.attempt)
        asked, judgement = self._last.get(rollout, (float("-inf"), None))
        if judgement is None or now - asked >= self._interval:
            judgement = await self._ask(namespace, name)
            asked = now
            self._last[rollout] = (asked, judgement)
        return (judgement,), max(asked + self._interval - now, 0.0)

    async def _ask(self, namespace: str, name: str) -> Judgement:
        params = {"query": query(namespace, name)}
        async with self._session.get(f"{self._source}/api/v1/query", params=params) as answer:
            found = await answer.json()
        value = float(found["data"]["result"][0]["value"][1])
        return Judgement("bad", "Fail" if value > 0.5 else "Pass", f"{value:g}")


async def main() -> None:
    """The operator until SIGTERM."""
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    source, interval = os.environ["LUNTRA_BENCH_SOURCE"], float(os.environ["LUNTRA_BENCH_INTERVAL"])
    async with aiohttp.ClientSession() as session:
        await run(Settings.from_environment(), stop, Scripted(session, source, interval))


if __name__ == "__main__":
    logs.configure()
    asyncio.run(main())
