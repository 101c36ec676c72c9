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
    from luntra_operator.controller.sampling import Trial


class Scripted:
    """Judges one rollout by one query."""

    def __init__(self, session: aiohttp.ClientSession, source: str, interval: float, trial: Trial) -> None:
        """Ask `source` every `interval` seconds."""
        self._session, self._source, self.interval = session, source, interval
        self._params = {"query": query(trial.namespace, trial.name)}
        self.judgements = (Judgement("bad", "NoData", "not asked yet"),)

    def see(self, trial: Trial) -> None:
        """See `Judge`; the query knows all that it needs."""

    async def look(self) -> None:
        """Ask."""
        async with self._session.get(f"{self._source}/api/v1/query", params=self._params) as answer:
            found = await answer.json()
        value = float(found["data"]["result"][0]["value"][1])
        self.judgements = (Judgement("bad", "Fail" if value > 0.5 else "Pass", f"{value:g}"),)


async def main() -> None:
    """The operator until SIGTERM."""
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    source, interval = os.environ["LUNTRA_BENCH_SOURCE"], float(os.environ["LUNTRA_BENCH_INTERVAL"])
    async with aiohttp.ClientSession() as session:
        await run(Settings.from_environment(), stop, lambda trial: (Scripted(session, source, interval, trial),))


if __name__ == "__main__":
    logs.configure()
    asyncio.run(main())
