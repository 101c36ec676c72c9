"""Run a benchmark: requests, several at a time, to the candidate and, where a bound compares them, to stable.

Without `rate` the candidate alone is driven as fast as `concurrency` allows. With it, requests come at that rate (`pace`), and
candidate and stable are measured in short windows in turn, pair by pair, in each of which chance says who is first: so whatever
else the machines are doing falls on both, and no drift and no beat is on one side. They are compared pair by pair (`ratios`),
so that two copies of one version are told apart in at most one of 100 runs. Stable carries its users' traffic meanwhile: the
rate is never exceeded, and where stable suffers (`guard`) it is left alone and the candidate measured to the end without it.

Every window opens fresh connections and begins with requests that are not counted: none meets a connection that a server
has meanwhile closed for idleness. Latency is what this client sees, its own cost included, which draws ratios a little
towards 1.

A figure of a few hundred requests that is compared with a fixed bound has no such safeguard: a candidate that only breaks
one of those is measured a second time, and refused if it does so both times. Errors are never given a second chance.
"""

from __future__ import annotations

import asyncio
import itertools
import random
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

from luntra_operator.checks.errors import CheckError, ServerError
from luntra_operator.checks.guard import Guard
from luntra_operator.checks.interface import Array, Connect, ModelInterface, ModelServer
from luntra_operator.checks.pace import at_rate
from luntra_operator.checks.patience import Progress, insistently
from luntra_operator.checks.tally import Benchmarked, Tally
from luntra_operator.checks.verdict import Comparison, Unmeasured, Verdict, bears, judge_benchmark

if TYPE_CHECKING:
    from luntra_operator.api.checks import BenchmarkCheck

Rows = list[dict[str, Array]]
"""Requests to send, in turn: each a full set of inputs."""
Samples = Callable[[ModelInterface], Rows]
"""Makes the requests for a model's interface. Raises CheckError."""

PAIRS = 20
_WARM_UP = 20
_UNCOUNTED = 2
"""Requests at the beginning of each window that only open connections."""
_MAY_BE_NOISE = {"P99AboveMaximum", "ThroughputBelowMinimum", "RateNotBorne"}


def _of_two(first: Verdict | None, second: Verdict) -> Verdict:
    """Say of a second verdict that it is one."""
    if first is None:
        return second
    told = "measured twice" if second.verdict == "Fail" else f"measured again after: {first.message}"
    return replace(second, message=f"{second.message}; {told}")


def windows(requests: int, who: list[str], chance: random.Random) -> Iterator[tuple[str, int]]:
    """Plan who gets how many requests in which order; each of `who` gets `requests` in all."""
    count = min(PAIRS, requests)
    for index in range(count):
        size = requests * (index + 1) // count - requests * index // count
        for name in chance.sample(who, len(who)):
            yield name, size


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
        chance: random.Random | None = None,
    ) -> None:
        self._check = check
        self._samples = samples
        self._connect: dict[str, Connect] = {"candidate": candidate}
        if stable is not None and check.relative:
            self._connect["stable"] = stable
        self._progress = progress
        self._clock = clock
        self._chance = chance or random.Random()  # noqa: S311 - decides who is measured first, guards nothing
        self._rows: dict[str, Rows] = {}
        self._unmeasured: Unmeasured | None = None
        self._guard: Guard | None = None
        self._windows: dict[str, list[Benchmarked]] = {who: [] for who in self._connect}
        self.tallies = {who: Tally() for who in self._connect}

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
                if "stable" in self._connect:
                    await self._meet_stable(time_left / 4)
                await self._measure(["candidate"] if self._guard is None else ["candidate", "stable"])
                first = self._judge()
                if first.reason not in _MAY_BE_NOISE:
                    return first
                self._progress.note(f"measuring again: {first.message}")
                self.tallies["candidate"] = Tally()  # the pairs stay: to judge new ones would be a second chance to err
                await self._measure(["candidate"])
        except ServerError as error:
            return Verdict("benchmark", "Fail", "RequestsFailed", f"candidate {error} ({self._progress.doing})")
        except TimeoutError:
            if first is not None:
                return first
            seen = self.tallies["candidate"]
            if seen.failures <= self._check.max_error_rate * self._check.requests and bears(
                self._check, seen.figures()
            ):
                raise
        return _of_two(first, self._judge())

    def _judge(self) -> Verdict:
        compared: Comparison | Unmeasured | None = self._unmeasured
        if self._guard is not None:
            # Of a second measurement, and since stable is left alone, there are windows of the candidate only.
            pairs = list(zip(self._windows["candidate"], self._windows["stable"], strict=False))
            compared = Comparison(self.tallies["stable"].figures(), pairs, self._unmeasured)
        return judge_benchmark(self._check, self.tallies["candidate"].figures(), compared)

    async def _measure(self, who: list[str]) -> None:
        rate, requests = self._check.rate, self._check.requests
        if rate is None:
            async with self._connect["candidate"]() as server:
                await self._flood(server, requests)
            return
        for number, (name, size) in enumerate(windows(requests, who, self._chance), 1):
            if name == "stable" and self._unmeasured is not None:
                continue
            answered = len(self.tallies[name].latencies)
            self._progress.doing = f"{name}, window {number}, {answered} requests answered"
            seen = await self._window(name, size, rate)
            self._progress.note(_line(f"{name}, window {number}", seen))
            self._windows[name].append(seen)
            if name == "stable" and self._guard is not None:
                slow = self._guard.slow(seen)
                after = (await self._gently(_UNCOUNTED + 3, rate)).p50 if slow else 0.0
                self._unmeasured = self._guard.watch(seen, after)
                if self._unmeasured is not None:
                    self._progress.note(f"stable {self._unmeasured.why}")

    async def _meet_stable(self, patience: float) -> None:
        """See what stable does before it is measured; without that it is not compared with."""
        rate = self._check.rate or 1.0
        count = max(min(_WARM_UP, int(rate)), _UNCOUNTED + 3)
        try:
            async with asyncio.timeout(patience):
                async with self._connect["stable"]() as server:
                    await self._prepare("stable", server)
                before = await self._gently(count, rate)
        except (ServerError, CheckError, TimeoutError) as error:
            away = self._progress.waiting.removeprefix("stable ")
            why = str(error) or away or "did not answer in time"
            # That the time was too short, or its requests cannot be made up, is no failure of stable.
            failed = isinstance(error, ServerError) or (isinstance(error, TimeoutError) and bool(away))
            self._unmeasured = Unmeasured(why, failed=failed)
            return
        if before.failures > 1:
            why = f"failed {before.failures} of {before.requests} requests before it was measured ({before.error})"
            self._unmeasured = Unmeasured(why, failed=True)
            return
        self._guard = Guard(rate, self._check.concurrency, before.p50)

    async def _gently(self, count: int, rate: float) -> Benchmarked:
        """See what stable does at a quarter of the rate, one request at a time."""
        self._progress.doing = "asking stable at a quarter of the rate"
        seen, begin = Tally(), self._clock()
        async with self._connect["stable"]() as server:
            await at_rate(lambda number: self._ask(server, "stable", number, seen), count, rate / 4, 1)
        seen.busy = self._clock() - begin
        self._progress.note(_line("stable at a quarter of the rate", seen.figures()))
        return seen.figures()

    async def _warm_up(self, who: str) -> None:
        """Wait for the server, make its requests, and send some: first calls compile, allocate and fill caches."""
        async with self._connect[who]() as server:
            await self._prepare(who, server)
            self._progress.doing = f"warming up {who}"
            for row in itertools.islice(itertools.cycle(self._rows[who]), _WARM_UP):
                await insistently(lambda row=row: server.infer(row), who, self._progress)  # type: ignore[misc]

    async def _prepare(self, who: str, server: ModelServer) -> None:
        self._progress.doing = f"asking {who} for the model's metadata"
        self._rows[who] = self._samples(await insistently(server.interface, who, self._progress))

    async def _ask(self, server: ModelServer, who: str, number: int, tally: Tally | None) -> None:
        rows = self._rows[who]
        begin = self._clock()
        try:
            await server.infer(rows[number % len(rows)])
        except ServerError as error:
            if tally is not None:
                tally.failures += 1
                tally.first_error = tally.first_error or str(error)
            return
        if tally is not None:
            tally.latencies.append(self._clock() - begin)

    async def _window(self, who: str, size: int, rate: float) -> Benchmarked:
        """Send some at the declared rate over fresh connections; the first ones are not counted."""
        seen, whole = Tally(), self.tallies[who]
        offset, begin = len(whole.latencies) + whole.failures, self._clock()
        try:
            async with self._connect[who]() as server:
                seen.unsent = await at_rate(
                    lambda n: self._ask(server, who, offset + n, None if n < _UNCOUNTED else seen),
                    _UNCOUNTED + size,
                    rate,
                    self._check.concurrency,
                )
        finally:
            seen.busy = max(self._clock() - begin - _UNCOUNTED / rate, 0.0)
            whole.add(seen)
        return seen.figures()

    async def _flood(self, server: ModelServer, size: int) -> None:
        """Keep `concurrency` requests in flight until `size` are answered."""
        tally, numbers = self.tallies["candidate"], iter(range(size))
        workers = range(min(self._check.concurrency, size))

        async def work() -> None:
            for number in numbers:
                self._progress.doing = f"candidate, {len(tally.latencies)} of {size} requests answered"
                await self._ask(server, "candidate", number, tally)

        await asyncio.gather(*(self._ask(server, "candidate", 0, None) for _ in workers))
        begin = self._clock()
        try:
            await asyncio.gather(*(work() for _ in workers))
        finally:
            tally.busy += self._clock() - begin


def _line(what: str, seen: Benchmarked) -> str:
    failed = f", {seen.error_rate:.2%} failed ({seen.error})" if seen.error else ""
    unsent = f", {seen.unsent} not sent" if seen.unsent else ""
    return (
        f"{what}: p50 {seen.p50 * 1000:.3g} ms, p99 {seen.p99 * 1000:.3g} ms, {seen.requests} requests{failed}{unsent}"
    )
