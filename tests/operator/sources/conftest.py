"""A server on 127.0.0.1 that answers as it is told, and sources that may ask it."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import pytest
from aiohttp import web

from luntra_operator.sources.backoff import Backoff
from luntra_operator.sources.borrowed import Borrowed
from luntra_operator.sources.door import Door
from luntra_operator.sources.errors import Misconfigured
from luntra_operator.sources.hosts import parse
from luntra_operator.sources.prometheus import Prometheus
from luntra_operator.sources.target import Target
from luntra_operator.sources.web import Web

Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass
class Site:
    """Answers `body` with `status`, or whatever `answer` gives; remembers what it was asked."""

    url: str = ""
    status: int = 200
    body: bytes | str = b"{}"
    headers: dict[str, str] = field(default_factory=dict)
    answer: Answer | None = None
    asked: list[web.Request] = field(default_factory=list)
    arrived: asyncio.Event = field(default_factory=asyncio.Event)
    released: asyncio.Event = field(default_factory=asyncio.Event)

    async def handle(self, request: web.Request) -> web.StreamResponse:
        self.asked.append(request)
        self.arrived.set()
        if self.answer is not None:
            return await self.answer(request)
        return web.Response(status=self.status, body=self.body, headers=self.headers)

    async def hang(self, request: web.Request) -> web.StreamResponse:
        """Say nothing until the test is over."""
        await self.released.wait()
        return web.Response()


@pytest.fixture
async def site() -> AsyncIterator[Site]:
    """The server."""
    found = Site()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", found.handle)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1)
    await runner.setup()
    place = web.TCPSite(runner, "127.0.0.1", 0)
    await place.start()
    found.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield found
    finally:
        found.released.set()
        await runner.cleanup()


@dataclass
class Clock:
    """Seconds that pass when they are told to."""

    now: float = 1000.0

    def __call__(self) -> float:
        return self.now


@dataclass
class Borrower:
    """The Secrets and ConfigMaps of a cluster; counts how often they are read."""

    kept: dict[tuple[str, str, str], str] = field(default_factory=dict)
    reads: int = 0

    async def __call__(self, namespace: str, name: str, key: str) -> str:
        self.reads += 1
        try:
            return self.kept[namespace, name, key]
        except KeyError:
            raise Misconfigured(f"there is no {name} with a key {key} in namespace {namespace}") from None


@dataclass
class Rig:
    """Sources with a clock and Secrets of the test's."""

    prometheus: Prometheus
    web: Web
    clock: Clock
    secrets: Borrower
    config_maps: Borrower
    threads: ThreadPoolExecutor


@pytest.fixture
async def rig(site: Site) -> AsyncIterator[Rig]:
    """Sources that may ask 127.0.0.1; the site is the operator's own Prometheus."""
    clock, secrets, config_maps = Clock(), Borrower(), Borrower()
    threads = ThreadPoolExecutor(2, "test-sources")
    borrowed, backoff = Borrowed(secrets, config_maps, clock), Backoff(clock)
    async with Door(parse("127.0.0.1")) as door:
        yield Rig(
            Prometheus(door, borrowed, backoff, threads, site.url),
            Web(door, borrowed, backoff, threads),
            clock,
            secrets,
            config_maps,
            threads,
        )
        await asyncio.to_thread(threads.shutdown)  # they wait for this loop


@pytest.fixture
def target() -> Target:
    """A candidate, with a stable version beside it."""
    return Target("team-a", "gas-price", "0a1b2c3d4e", "f0e1d2c3b4", "gas-price-w2", "gas-price-w1", 30.0)
