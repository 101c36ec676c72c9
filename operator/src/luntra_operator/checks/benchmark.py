"""Run a benchmark: requests, several at a time, to the candidate and, where a bound compares them, to stable.

The two are measured in short blocks in turn (candidate, stable, stable, candidate, …), so that whatever else the
machine is doing falls on both, and a steady drift cancels out. Every block opens fresh connections and begins with
requests that are not counted: none meets a connection that a server has meanwhile closed for idleness. Latency is what
this client sees, its own cost included, which draws ratios a little towards 1.

A p99 of a few hundred requests rests on a handful of them: between two copies of one model on a busy machine it was seen
to differ threefold. So a candidate that is only slow is measured a second time, and refused if it is slow both times; one
that is slow indeed does not get away with it, and errors are never given a second chance.
"""

from __future__ import annotations

import asyncio
import itertools
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from luntra_operator.checks.errors import CheckError, ServerError
from luntra_operator.checks.interface import Array, Connect, ModelInterface
from luntra_operator.checks.patience import Progress, insistently
from luntra_operator.checks.verdict import Benchmarked, Unmeasured, Verdict, judge_benchmark

if TYPE_CHECKING:
    from luntra_operator.api.checks import BenchmarkCheck

Rows = list[dict[str, Array]]
"""Requests to send, in turn: each a full set of inputs."""
Samples = Callable[[ModelInterface], Rows]
"""Makes the requests for a model's interface. Raises CheckError."""

BLOCKS = 10
_WARM_UP = 20
_MAY_BE_NOISE = {"P99AboveMaximum", "P99AboveRatio", "ThroughputBelowMinimum", "ThroughputBelowRatio"}


@dataclass
class Tally:
    """What was seen of one version so far: latencies (s) of successes, failures, seconds under load."""

    latencies: list[float] = field(default_factory=list)
    failures: int = 0
    busy: float = 0.0
    first_error: str = ""

    def figures(self) -> Benchmarked:
        """Sum up; percentiles by nearest rank, so that each is a latency that was seen."""
        ordered = sorted(self.latencies)
        total = len(ordered) + self.failures
        return Benchmarked(
            requests=total,
            p50=nearest_rank(ordered, 0.50),
            p99=nearest_rank(ordered, 0.99),
            throughput=len(ordered) / self.busy if self.busy > 0 else math.nan,
            error_rate=self.failures / total if total else math.nan,
            error=self.first_error,
        )


def _of_two(first: Verdict | None, second: Verdict) -> Verdict:
    """Say of a second verdict that it is one."""
    if first is None:
        return second
    told = "measured twice" if second.verdict == "Fail" else f"measured again after: {first.message}"
    return replace(second, message=f"{second.message}; {told}")


def nearest_rank(ordered: list[float], share: float) -> float:
    """Give the percentile of sorted values by nearest rank; NaN where there are none.

    It is the smallest value that at least `share` of all do not exceed (https://en.wikipedia.org/wiki/Percentile).
    """
    return ordered[max(math.ceil(share * len(ordered)), 1) - 1] if ordered else math.nan


def blocks(requests: int, compared: bool) -> Iterator[tuple[str, int]]:
    """Plan who gets how many requests in which order; each version gets `requests` in all."""
    if not compared:
        yield "candidate", requests
        return
    count = min(BLOCKS, requests)
    order = itertools.cycle((("candidate", "stable"), ("stable", "candidate")))
    for index in range(count):
        size = requests * (index + 1) // count - requests * index // count
        for who in next(order):
            yield who, size


class Benchmark:
    """One benchmark; its tallies can be read while it runs, so that running out of time does not lose what was seen."""

    def __init__(
        self,
        check: BenchmarkCheck,
        samples: Samples,
        candidate: Connect,
        stable: Connect | None,
        progress: Progress,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._check = check
        self._samples = samples
        self._connect: dict[str, Connect] = {"candidate": candidate}
        if stable is not None and check.relative:
            self._connect["stable"] = stable
        self._progress = progress
        self._clock = clock
        self._rows: dict[str, Rows] = {}
        self.tallies = {who: Tally() for who in self._connect}
        self._unmeasured: Unmeasured | None = None

    async def run(self, time_left: float) -> Verdict:
        """Measure and judge within `time_left` s.

        Raises:
            CheckError: no requests can be made for the candidate.
            TimeoutError: the time is up and what was seen decides nothing.
        """
        end = asyncio.get_running_loop().time() + time_left
        first: Verdict | None = None
        try:
            async with asyncio.timeout_at(end):
                await self._warm_up("candidate")
                await self._measure(end)
                first = self._judge()
                if first.reason not in _MAY_BE_NOISE:
                    return first
                self.tallies = {who: Tally() for who in self._connect}
                await self._measure(end)
        except ServerError as error:
            return Verdict("benchmark", "Fail", "RequestsFailed", f"candidate {error} ({self._progress.doing})")
        except TimeoutError:
            if first is not None:
                return first
            seen = self.tallies["candidate"]
            if seen.failures <= self._check.max_error_rate * self._check.requests:
                raise
        return _of_two(first, self._judge())

    def _judge(self) -> Verdict:
        stable: Benchmarked | Unmeasured | None = self._unmeasured
        if stable is None and "stable" in self.tallies:
            stable = self.tallies["stable"].figures()
        return judge_benchmark(self._check, self.tallies["candidate"].figures(), stable)

    async def _measure(self, end: float) -> None:
        compared = "stable" in self._connect
        if compared:
            try:
                now = asyncio.get_running_loop().time()
                async with asyncio.timeout_at(now + (end - now) / 4):
                    await self._warm_up("stable")
            except (ServerError, CheckError, TimeoutError) as error:
                why = str(error) or self._progress.waiting.removeprefix("stable ") or "did not answer in time"
                self._unmeasured, compared = Unmeasured(why), False
        for index, (who, size) in enumerate(blocks(self._check.requests, compared)):
            self._progress.doing = f"{who}, block {index + 1}, {len(self.tallies[who].latencies)} requests answered"
            await self._block(who, size)

    async def _warm_up(self, who: str) -> None:
        """Wait for the server, make its requests, and send some: first calls compile, allocate and fill caches."""
        async with self._connect[who]() as server:
            self._progress.doing = f"asking {who} for the model's metadata"
            interface = await insistently(server.interface, who, self._progress)
            rows = self._rows[who] = self._samples(interface)
            self._progress.doing = f"warming up {who}"
            for row in itertools.islice(itertools.cycle(rows), _WARM_UP):
                await insistently(lambda row=row: server.infer(row), who, self._progress)  # type: ignore[misc]

    async def _block(self, who: str, size: int) -> None:
        tally, todo = self.tallies[who], itertools.islice(itertools.cycle(self._rows[who]), size)
        workers = range(min(self._check.concurrency, size))
        async with self._connect[who]() as server:

            async def ask(row: dict[str, Array], counted: bool) -> None:
                begin = self._clock()
                try:
                    await server.infer(row)
                except ServerError as error:
                    if counted:
                        tally.failures += 1
                        tally.first_error = tally.first_error or str(error)
                    return
                if counted:
                    tally.latencies.append(self._clock() - begin)

            async def work() -> None:
                for row in todo:
                    await ask(row, counted=True)

            await asyncio.gather(*(ask(self._rows[who][0], counted=False) for _ in workers))
            begin = self._clock()
            try:
                await asyncio.gather(*(work() for _ in workers))
            finally:
                tally.busy += self._clock() - begin
