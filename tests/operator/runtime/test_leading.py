"""Terms of leadership: what happens to work and process when the Lease is lost, comes back, or is somebody else's."""

import asyncio
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import pairwise

import pytest

from luntra_operator.kube.errors import UnavailableError
from luntra_operator.runtime.leading import ENDING, Work, lead
from luntra_operator.runtime.lease import DURATION, RENEW_DEADLINE, RETRY, Lease, LeaseLostError
from tests.operator.controller.fake_time import in_fake_time
from tests.operator.runtime.lease_server import LeaseServer, candidate

PERIOD = 0.5
"""Seconds between two writes of one that acts."""


def now() -> float:
    return asyncio.get_running_loop().time()


class Process:
    """One that leads and writes twice a second while it may.

    `away`: the API server does not answer it, after one of `hangs` seconds.
    """

    def __init__(self, server: LeaseServer, identity: str, writers: list[tuple[float, str]]) -> None:
        self.stop = asyncio.Event()
        self.away = False
        self.hangs: tuple[float, ...] = (0.0, 30.0)
        self.terms: list[list[float]] = []
        self._identity, self._writers, self._chance = identity, writers, random.Random(identity)
        self.lease = candidate(self._through(server), identity)
        self.task = asyncio.create_task(lead(self.stop, self.lease, self._term))

    def _through(self, server: LeaseServer) -> LeaseServer:
        """The server as this process reaches it."""
        view = LeaseServer()
        for name in ("get", "create", "replace"):
            setattr(view, name, self._reaching(getattr(server, name)))
        return view

    def _reaching(self, ask: Callable[..., object]) -> Callable[..., object]:
        async def asked(*arguments: object) -> object:
            if self.away:
                await asyncio.sleep(self._chance.choice(self.hangs))
                raise UnavailableError("no answer")
            return await ask(*arguments)  # type: ignore[misc]

        return asked

    @contextmanager
    def _term(self) -> Iterator[Work]:
        self.terms.append([now()])
        yield {"work": self._work}
        self.terms[-1].append(now())

    async def _work(self) -> None:
        while True:
            if self.lease.held and not self.away:
                self._writers.append((now(), self._identity))
            await asyncio.sleep(PERIOD)


def test_outage_of_a_minute_costs_a_term_and_not_the_process() -> None:
    """Breaks if the process ends, goes on to act on a Lease that it cannot renew, or waits for longer than a look."""

    async def scenario() -> None:
        server, writers = LeaseServer(), list[tuple[float, str]]()
        process = Process(server, "a", writers)
        await asyncio.sleep(30)
        gone = now()
        process.away = True
        await asyncio.sleep(60)
        process.away = False
        await asyncio.sleep(RETRY + 5.1)  # a request that hung when the server came back has 5 s
        assert not process.task.done()
        first, second = process.terms
        assert RENEW_DEADLINE - RETRY <= first[1] - gone <= RENEW_DEADLINE
        assert second[0] - (gone + 60) <= RETRY + 5
        assert server.spec["leaseTransitions"] == 0, "it was its own all the time"
        assert writers[-1][0] > second[0]

    in_fake_time(scenario())


def test_short_outage_changes_nothing() -> None:
    async def scenario() -> None:
        process = Process(LeaseServer(), "a", [])
        process.hangs = (0.0,)
        await asyncio.sleep(3)
        process.away = True
        await asyncio.sleep(RENEW_DEADLINE - RETRY - 1.5)
        process.away = False
        await asyncio.sleep(60)
        assert len(process.terms) == 1

    in_fake_time(scenario())


@pytest.mark.parametrize("seed", range(12))
def test_never_two_act_at_once_whoever_is_cut_off(seed: int) -> None:
    """Breaks if a term goes on after another may have taken the Lease, or begins before its last one ended."""
    chance = random.Random(seed)

    async def scenario() -> None:
        server, writers = LeaseServer(), list[tuple[float, str]]()
        processes = [Process(server, name, writers) for name in "abc"]
        for _ in range(60):
            await asyncio.sleep(chance.uniform(0.5, 40))
            process = chance.choice(processes)
            process.away = not process.away
        for process in processes:
            process.away = False
        await asyncio.sleep(60)
        assert not any(process.task.done() for process in processes)
        assert {name for _, name in writers[-100:]} == {server.spec["holderIdentity"]}
        for (before, one), (after, other) in pairwise(writers):
            assert one == other or after - before >= DURATION - RENEW_DEADLINE - PERIOD
        terms = sorted(term for process in processes for term in process.terms if len(term) == 2)
        assert len(terms) > 3
        for earlier, later in pairwise(terms):
            assert earlier[1] <= later[0]

    in_fake_time(scenario())


def _always(work: Work) -> Callable[[], object]:
    @contextmanager
    def term() -> Iterator[Work]:
        yield work

    return term


def run(work: Work, lease: Lease | None, stop: asyncio.Event | None = None) -> "asyncio.Task[None]":
    return asyncio.create_task(lead(stop or asyncio.Event(), lease, _always(work)))  # type: ignore[arg-type]


async def forever() -> None:
    await asyncio.Event().wait()


def test_stop_ends_the_work_and_gives_the_lease_up() -> None:
    async def scenario() -> None:
        server = LeaseServer()
        process = Process(server, "a", [])
        await asyncio.sleep(5)
        process.stop.set()
        await process.task
        assert len(process.terms[0]) == 2
        assert server.spec["holderIdentity"] == ""

    in_fake_time(scenario())


def test_stop_is_heard_while_somebody_else_leads() -> None:
    async def scenario() -> None:
        server = LeaseServer()
        await candidate(server, "b").acquire()
        process = Process(server, "a", [])
        await asyncio.sleep(5)
        process.stop.set()
        await process.task
        assert process.terms == []
        assert server.spec["holderIdentity"] == "b"

    in_fake_time(scenario())


def test_work_that_fails_ends_the_process_and_gives_the_lease_up() -> None:
    async def scenario() -> None:
        async def fails() -> None:
            await asyncio.sleep(5)
            raise RuntimeError("a fault")

        server = LeaseServer()
        with pytest.raises(RuntimeError, match="a fault"):
            await run({"one": forever, "other": fails}, candidate(server, "a"))
        assert server.spec["holderIdentity"] == ""

    in_fake_time(scenario())


def test_work_that_does_not_end_when_the_lease_is_lost_ends_the_process() -> None:
    """Breaks if a next term could begin beside what is left of the last one."""

    async def scenario() -> None:
        async def clings() -> None:
            while True:
                try:
                    await asyncio.Event().wait()
                except asyncio.CancelledError:
                    if now() > 1200:
                        raise

        server = LeaseServer()
        task = run({"one": forever, "other": clings}, candidate(server, "a"))
        await asyncio.sleep(5)
        server.take("b")
        await asyncio.sleep(RETRY + ENDING + 1)
        with pytest.raises(LeaseLostError, match="other did not end within 20 s after being cancelled"):
            await task
        assert server.spec["holderIdentity"] == "b"
        await asyncio.sleep(300)

    in_fake_time(scenario())


def test_without_a_lease_there_is_one_term() -> None:
    async def scenario() -> None:
        stop = asyncio.Event()
        task = run({"one": forever}, None, stop)
        await asyncio.sleep(600)
        assert not task.done()
        stop.set()
        await task

    in_fake_time(scenario())
