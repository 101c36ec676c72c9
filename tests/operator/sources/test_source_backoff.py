"""When a source that fails is asked again, and whom that concerns."""

import asyncio

import pytest

from luntra_operator.sources.backoff import AT_A_TIME, MUCH, Backoff
from luntra_operator.sources.errors import Misconfigured, SourceError, Unavailable
from luntra_operator.sources.opened import THREADS
from tests.operator.sources.conftest import Clock


class Source:
    """Counts how often it is asked; raises `error` while there is one."""

    def __init__(self, error: SourceError | None = None) -> None:
        self.error, self.asked = error, 0

    async def __call__(self) -> float:
        self.asked += 1
        if self.error:
            raise self.error
        return 7.0


async def test_pauses_grow_to_half_a_minute_and_a_good_answer_ends_them() -> None:
    clock, source = Clock(), Source(Unavailable("down"))
    backoff, pauses = Backoff(clock), []
    with pytest.raises(Unavailable, match=r"^down$"):
        await backoff.ask("a", "http://p", source)
    for _ in range(7):
        began, asked = clock.now, source.asked
        while source.asked == asked:
            clock.now += 0.5
            with pytest.raises(Unavailable, match=r"^down"):
                await backoff.ask("a", "http://p", source)
        pauses.append(clock.now - began)
    assert pauses == [1, 2, 4, 8, 16, 30, 30]
    clock.now += 30
    source.error = None
    assert await backoff.ask("a", "http://p", source) == 7.0
    assert backoff._failures == {}


async def test_meanwhile_the_last_error_is_told_and_nobody_asked() -> None:
    source, backoff = Source(Unavailable("connection refused")), Backoff(Clock())
    with pytest.raises(Unavailable):
        await backoff.ask("a", "http://p", source)
    with pytest.raises(Unavailable, match="connection refused; it is asked again in 1 s"):
        await backoff.ask("a", "http://p", source)
    assert source.asked == 1


async def test_other_namespaces_and_addresses_are_asked_all_the_same() -> None:
    bad, good, backoff = Source(Unavailable("slow")), Source(), Backoff(Clock())
    with pytest.raises(Unavailable):
        await backoff.ask("a", "http://p", bad)
    assert await backoff.ask("b", "http://p", good) == 7.0
    assert await backoff.ask("a", "http://q", good) == 7.0


async def test_wrong_query_has_nobody_left_unasked() -> None:
    bad, good, backoff = Source(Misconfigured("several series")), Source(), Backoff(Clock())
    for _ in range(3):
        with pytest.raises(Misconfigured, match=r"^several series$"):
            await backoff.ask("a", "http://p", bad)
    assert bad.asked == 3
    assert await backoff.ask("a", "http://p", good) == 7.0
    assert backoff._failures == {}


async def test_few_questions_are_under_way_at_a_time_and_the_rest_are_not_asked_once_it_fails() -> None:
    under_way, most, full, release = 0, 0, asyncio.Event(), asyncio.Event()

    async def slow() -> float:
        nonlocal under_way, most
        under_way += 1
        most = max(most, under_way)
        if under_way == AT_A_TIME:
            full.set()
        await release.wait()
        under_way -= 1
        raise Unavailable("too slow")

    backoff = Backoff(Clock())
    waiting = [asyncio.create_task(backoff.ask("a", "http://p", slow)) for _ in range(10)]
    await full.wait()
    release.set()
    told = await asyncio.gather(*waiting, return_exceptions=True)
    assert {type(one) for one in told} == {Unavailable}
    assert sum("asked again" in str(one) for one in told) == 10 - AT_A_TIME
    assert most == AT_A_TIME


async def test_namespace_whose_servers_all_hang_leaves_threads_to_the_others() -> None:
    under_way, full, release = 0, asyncio.Event(), asyncio.Event()

    async def hang() -> None:
        nonlocal under_way
        under_way += 1
        if under_way == AT_A_TIME:
            full.set()
        await release.wait()

    backoff = Backoff(Clock())
    waiting = [asyncio.create_task(backoff.ask("a", f"http://{n}.a.svc", hang)) for n in range(20)]
    await full.wait()
    assert await backoff.ask("b", "http://p", Source()) == 7.0
    assert under_way == AT_A_TIME < THREADS
    release.set()
    await asyncio.gather(*waiting)


async def test_question_that_is_cancelled_leaves_nothing_behind() -> None:
    backoff, begun = Backoff(Clock()), asyncio.Event()

    async def never() -> None:
        begun.set()
        await asyncio.Event().wait()

    asking = asyncio.create_task(backoff.ask("a", "http://p", never))
    await begun.wait()
    asking.cancel()
    await asyncio.gather(asking, return_exceptions=True)
    assert (backoff._failures, backoff._places) == ({}, {})


async def test_sources_that_nobody_asks_for_any_more_are_forgotten() -> None:
    clock = Clock()
    backoff = Backoff(clock)
    for number in range(MUCH):
        with pytest.raises(Unavailable):
            await backoff.ask("a", f"http://p{number}", Source(Unavailable("down")))
    clock.now += 100
    with pytest.raises(Unavailable):
        await backoff.ask("a", "http://new", Source(Unavailable("down")))
    assert list(backoff._failures) == [("a", "http://new")]
