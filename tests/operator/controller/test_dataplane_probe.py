"""Asking the gateway: what counts as an answer, what as a broken one, and what as none."""

from collections import Counter
from collections.abc import AsyncIterator, Callable
from typing import TYPE_CHECKING, Any, cast

import aiohttp
import pytest
from aiohttp import web

from luntra_operator.api.spec import ModelDeploymentSpec
from luntra_operator.api.validation import parse_spec
from luntra_operator.controller.dataplane import SAMPLES, DataPlane
from luntra_operator.kube import kinds
from luntra_operator.rollout.observed import BROKEN

if TYPE_CHECKING:
    from luntra_operator.kube.client import Kube

Object = dict[str, Any]
Respond = Callable[[int, web.Request], web.Response]


class Gateway:
    """A gateway on 127.0.0.1; `respond` gets the running number of the request."""

    def __init__(self) -> None:
        self.asked: list[web.Request] = []
        self.respond: Respond = lambda number, request: answer("abc")
        self.port = 0

    async def handle(self, request: web.Request) -> web.Response:
        self.asked.append(request)
        return self.respond(len(self.asked), request)


def answer(revision: str, status: int = 200) -> web.Response:
    return web.Response(status=status, headers={"x-model-revision": revision} if revision else {})


class FakeKube:
    """Knows one Gateway object."""

    def __init__(self, gateway: Object | None) -> None:
        self.gateway, self.read = gateway, list[tuple[Any, ...]]()

    async def get(self, kind: kinds.Kind, namespace: str, name: str) -> Object | None:
        self.read.append((kind, namespace, name))
        return self.gateway


@pytest.fixture
async def gateway() -> AsyncIterator[Gateway]:
    fresh = Gateway()
    app = web.Application()
    app.router.add_get("/{path:.*}", fresh.handle)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.01)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    fresh.port = runner.addresses[0][1]
    yield fresh
    await runner.cleanup()


def spec(traffic: Object | None = None, **gateway: Any) -> ModelDeploymentSpec:
    parent = {"name": "gw", "namespace": "infra"}
    declared = {"gateway": {"parentRefs": [parent], "hostnames": ["digits.example"], **gateway}, **(traffic or {})}
    model = {"version": "v1", "uri": "https://x.example/y", "digest": "sha256:" + "a" * 64}
    return parse_spec({"model": model, "traffic": declared})


def object_at(port: int, address: str = "127.0.0.1", protocol: str = "HTTP") -> Object:
    listeners = [
        {"name": "other", "port": 1, "protocol": "HTTP"},
        {"name": "http", "port": port, "protocol": protocol},
    ]
    return {"spec": {"listeners": listeners}, "status": {"addresses": [{"value": address}]}}


async def ask(found: Object | None, declared: ModelDeploymentSpec, kube: FakeKube | None = None) -> Counter[str] | None:
    async with aiohttp.ClientSession() as session:
        return await DataPlane(cast("Kube", kube or FakeKube(found)), session).answers("team-a", "digits", declared)


HTTP: dict[str, Any] = {"parentRefs": [{"name": "gw", "namespace": "infra", "sectionName": "http"}]}


async def test_answers_are_counted_by_revision(gateway: Gateway) -> None:
    gateway.respond = lambda number, request: answer("abc" if number % 4 else "def")
    found = await ask(object_at(gateway.port), spec(**HTTP))
    assert found == {"abc": SAMPLES - SAMPLES // 4, "def": SAMPLES // 4}
    assert {request.path for request in gateway.asked} == {"/v2/models/digits"}
    assert {request.headers["Host"] for request in gateway.asked} == {"digits.example"}


async def test_gateway_of_the_parent_reference_is_read(gateway: Gateway) -> None:
    kube = FakeKube(object_at(gateway.port))
    await ask(None, spec(**HTTP), kube)
    assert kube.read == [(kinds.GATEWAY, "infra", "gw")]
    own = FakeKube(object_at(gateway.port))
    await ask(None, spec(parentRefs=[{"name": "gw", "port": gateway.port}]), own)
    assert own.read == [(kinds.GATEWAY, "team-a", "gw")]


async def test_probe_url_takes_the_place_of_the_gateways_address(gateway: Gateway) -> None:
    kube = FakeKube(None)
    found = await ask(None, spec({"probe": {"url": f"http://127.0.0.1:{gateway.port}/"}}), kube)
    assert found == {"abc": SAMPLES}
    assert kube.read == []


async def test_wildcard_hostname_is_asked_by_a_name_below_it(gateway: Gateway) -> None:
    await ask(object_at(gateway.port), spec(**HTTP, hostnames=["*.example"]))
    assert gateway.asked[0].headers["Host"] == "luntra.example"


async def test_404_counts_for_nothing(gateway: Gateway) -> None:
    gateway.respond = lambda number, request: answer("abc") if number % 2 else answer("", 404)
    assert await ask(object_at(gateway.port), spec(**HTTP)) == {"abc": SAMPLES // 2}
    gateway.respond = lambda number, request: answer("", 404)
    assert await ask(object_at(gateway.port), spec(**HTTP)) is None


async def test_5xx_counts_as_broken_whoever_says_it(gateway: Gateway) -> None:
    gateway.respond = lambda number, request: answer("abc", 503) if number % 2 else answer("", 500)
    assert await ask(object_at(gateway.port), spec(**HTTP)) == {BROKEN: SAMPLES}


@pytest.mark.parametrize(
    "found",
    [
        None,
        {},
        {"spec": {"listeners": []}, "status": {"addresses": [{"value": "127.0.0.1"}]}},
        object_at(1, protocol="HTTPS"),
        {**object_at(1), "status": {}},
        object_at(1),  # nobody listens there
    ],
)
async def test_gateway_that_cannot_be_found_or_reached_is_none(found: Object | None) -> None:
    assert await ask(found, spec(**HTTP)) is None


async def test_without_a_gateway_nobody_is_asked() -> None:
    model = {"version": "v1", "uri": "https://x.example/y", "digest": "sha256:" + "a" * 64}
    assert await ask(None, parse_spec({"model": model})) is None
