"""Whether the watches live is told from their requests alone; time is moved by hand."""

import aiohttp
import pytest
from aiohttp import web

from luntra_operator.kube import kinds
from luntra_operator.runtime.life import FAILING, SERVER_TIMEOUT, SILENT, SignsOfLife

PODS, ROUTES = kinds.POD.path(None), kinds.HTTP_ROUTE.path("team-a")


class Clock:
    def __init__(self) -> None:
        self.now = 500.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def life(clock: Clock) -> SignsOfLife:
    return SignsOfLife([kinds.POD, kinds.HTTP_ROUTE], clock=clock)


def test_idle_watch_that_reconnects_when_the_server_ends_it_is_alive(life: SignsOfLife, clock: Clock) -> None:
    for _ in range(20):
        life.heard(PODS, 200)
        clock.now += SERVER_TIMEOUT + 10
        assert life.problems() == []


def test_watch_that_ended_is_named_after_a_while_and_forgotten_once_it_is_back(life: SignsOfLife, clock: Clock) -> None:
    life.heard(PODS, 200)
    life.heard(ROUTES, 200)
    clock.now += SILENT
    life.heard(ROUTES, 200)
    assert life.problems() == []
    clock.now += 1
    assert life.problems() == ["the watch of Pod has shown no sign of life for 421 s"]
    life.heard(PODS, 200)
    assert life.problems() == []


def test_outage_of_a_minute_is_no_death_but_a_longer_one_is_told_with_its_cause(
    life: SignsOfLife, clock: Clock
) -> None:
    life.heard(ROUTES, 200)
    for _ in range(13):
        clock.now += 5
        life.heard(ROUTES, None, "Connection refused")
    assert life.problems() == []
    clock.now += FAILING
    life.heard(ROUTES, 503)
    assert life.problems() == ["the watch of HTTPRoute in team-a has failed for 150 s: status 503"]
    life.heard(ROUTES, 200)
    assert life.problems() == []
    clock.now += FAILING
    life.heard(ROUTES, 500)
    assert life.problems() == []


def test_watch_that_never_begins_is_missed_where_it_is_expected(life: SignsOfLife, clock: Clock) -> None:
    life.expect([kinds.POD])
    clock.now += SILENT + 1
    assert life.problems() == ["the watch of Pod has shown no sign of life for 421 s"]


def test_kind_that_is_gone_is_not_missed(life: SignsOfLife, clock: Clock) -> None:
    life.heard(ROUTES, 200)
    life.heard(ROUTES, 404)
    clock.now += SILENT + 1
    assert life.problems() == []


def test_requests_of_others_are_not_counted(life: SignsOfLife) -> None:
    for path in ("/apis", "/version", kinds.SERVICE.path(None), "/api/v1/namespaces"):
        life.heard(path, 500)
    assert life.requests == {}
    assert life.ages == {}


def test_age_of_a_kind_is_that_of_its_oldest_watch(life: SignsOfLife, clock: Clock) -> None:
    life.heard(kinds.POD.path("team-a"), 200)
    clock.now += 10
    life.heard(kinds.POD.path("team-b"), 200)
    life.heard(kinds.POD.path("team-b"), 500)
    assert life.ages == {"Pod": 10}
    assert life.requests == {("Pod", "ok"): 2, ("Pod", "failed"): 1}


async def test_session_tells_of_answers_and_of_their_absence(life: SignsOfLife, clock: Clock) -> None:
    async def answer(request: web.Request) -> web.Response:
        return web.Response(status=200 if request.query.get("watch") else 500)

    app = web.Application()
    app.router.add_get(PODS, answer)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.01)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    address = f"http://127.0.0.1:{runner.addresses[0][1]}"
    async with aiohttp.ClientSession(trace_configs=[life.trace()]) as session:
        for query in ("?watch=true", ""):
            async with session.get(address + PODS + query):
                pass
        await runner.cleanup()
        with pytest.raises(aiohttp.ClientConnectionError):
            await session.get(address + PODS)
    assert life.requests == {("Pod", "ok"): 1, ("Pod", "failed"): 2}
    clock.now += FAILING + 1
    (problem,) = life.problems()
    assert "the watch of Pod has failed for 91 s: Cannot connect" in problem
