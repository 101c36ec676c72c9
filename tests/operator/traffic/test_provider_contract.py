"""What every provider of traffic promises, whichever objects it has. A new one needs a line in SAMPLES, nothing else."""

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import pytest

from luntra_operator.api.kinds import HTTP_ROUTE
from luntra_operator.kube.errors import ConflictError
from luntra_operator.traffic import routes
from luntra_operator.traffic.adopted import AdoptedHttpRoute, StrayHttpRoutes
from luntra_operator.traffic.grpcroute import OwnedGrpcRoute
from luntra_operator.traffic.httproute import OwnedHttpRoute
from luntra_operator.traffic.provider import Create, Delete, Found, FrameChange, Patch, Provider, Ref, Write
from luntra_operator.traffic.virtualservice import OwnedVirtualService
from tests.operator.controller.fake_kube import FakeKube
from tests.operator.traffic.endpoints import endpoint, selecting

Object = dict[str, Any]
W1, W2 = "digits-w1", "digits-w2"


def _crowd_route(route: Object) -> None:
    ours = route["spec"]["rules"][0]
    ours["timeouts"] = {"request": "3s"}
    ours["backendRefs"].insert(0, {"name": "shadow", "port": 80, "weight": 0})
    route["spec"]["rules"].insert(0, {"backendRefs": [{"name": "docs", "port": 80}]})


def _crowd_virtual_service(service: Object) -> None:
    ours = service["spec"]["http"][0]
    ours |= {"timeout": "3s", "retries": {"attempts": 1}, "headers": {"request": {"set": {"x": "y"}}}}
    ours["route"].insert(0, {"destination": {"host": "shadow"}, "weight": 0})
    service["spec"]["http"].insert(0, {"route": [{"destination": {"host": "docs"}}]})


@dataclass(frozen=True)
class Sample:
    """How `spec.traffic` names a provider, how it says it otherwise, and what others may add to its objects.

    `lent` is an object of the user's that the provider is to use, `left` the provider that has it once the spec names it no more.
    """

    traffic: Object
    otherwise: Object
    crowd: Callable[[Object], None]
    lent: Object | None = None
    left: Provider | None = None


def _istio(name: str) -> Object:
    return {"istio": {"gateways": [f"infra/{name}"], "hosts": [f"{name}.example"]}}


def _gateway(name: str) -> Object:
    return {"gateway": {"parentRefs": [{"name": name}], "hostnames": [f"{name}.example"]}}


def _grpc(name: str) -> Object:
    return {"gateway": {"parentRefs": [{"name": name}], "grpc": {"hostnames": [f"{name}.example"]}}}


USERS: Object = {
    "metadata": {"name": "shop", "namespace": "team-a", "labels": {}, "annotations": {}},
    "spec": {
        "parentRefs": [{"name": "one"}],
        "rules": [{"name": "model", "backendRefs": [{"name": "digits", "port": 8080}]}],
    },
}


def _adopted(**rule: str) -> Object:
    return {"gateway": {"mode": "Adopted", "routeRef": {"name": "shop", **rule}}}


SAMPLES: dict[type, Sample] = {
    AdoptedHttpRoute: Sample(_adopted(), _adopted(rule="model"), _crowd_route, USERS, StrayHttpRoutes()),
    OwnedGrpcRoute: Sample(_grpc("one"), _grpc("two"), _crowd_route),
    OwnedHttpRoute: Sample(_gateway("one"), _gateway("two"), _crowd_route),
    OwnedVirtualService: Sample(_istio("one"), _istio("two"), _crowd_virtual_service),
}


class Cluster:
    """A provider with the API server that its objects live at."""

    def __init__(self, provider: Provider) -> None:
        self.provider, self.sample, self.kube = provider, SAMPLES[type(provider)], FakeKube()
        self.adopted = ("shop",) if self.sample.lent else ()
        self.says(self.sample.traffic)
        if self.sample.lent:
            self.kube.put(HTTP_ROUTE, self.sample.lent)

    def says(self, traffic: Object | None, uid: str = "u1") -> None:
        self.endpoint = endpoint(traffic, uid, (selecting(W1),), self.adopted)

    async def found(self) -> Found:
        return {
            ref: await self.kube.get(ref.kind, "team-a", ref.name)
            for ref in (
                *self.provider.objects("digits", self.endpoint.spec),
                *(Ref(HTTP_ROUTE, name) for name in self.adopted),
            )
        }

    async def carry_out(self, writes: tuple[Write, ...]) -> None:
        for write in writes:
            match write:
                case Create():
                    await self.kube.create(write.kind, write.body)
                case Patch():
                    await self.kube.patch(write.ref.kind, "team-a", write.ref.name, write.operations)
                case Delete():
                    await self.kube.delete(write.ref.kind, "team-a", write.ref.name)

    async def write(self, weights: dict[str, int], intent: str = "1/abc/100", change: FrameChange = "Keep") -> None:
        await self.carry_out(self.provider.write(self.endpoint, await self.found(), weights, intent, change))

    async def weights(self) -> dict[str, int]:
        state = self.provider.read(self.endpoint, await self.found())
        return dict(state.weights) if state else {}

    def everything(self) -> list[Object]:
        """All that is stored, to be changed in place."""
        return [self.kube.peek(kind, name) for kind in self.provider.kinds for name in self.kube.names(kind)]


PROVIDERS = [one for one in routes.PROVIDERS if not isinstance(one, StrayHttpRoutes)]
"""Strays only ever have what another one has begun: they are met where the spec names that one no more."""


@pytest.fixture(params=PROVIDERS, ids=lambda provider: type(provider).__name__)
def cluster(request: pytest.FixtureRequest) -> Cluster:
    return Cluster(request.param)


async def test_what_is_built_and_patched_reads_back(cluster: Cluster) -> None:
    before = cluster.provider.read(cluster.endpoint, await cluster.found())
    assert before is None or before.untouched
    for weights, intent in (
        ({W1: 100}, "1/abc/100"),
        ({W1: 100, W2: 0}, "2/abc/100"),
        ({W1: 70, W2: 30}, "2/def/30"),
        ({W1: 100}, "2/def/0"),
        ({W2: 100}, "3/def/100"),
    ):
        await cluster.write(weights, intent)
        state = cluster.provider.read(cluster.endpoint, await cluster.found())
        assert state
        assert (state.weights, state.intent) == (weights, intent)
        assert (state.frame, state.widened) == (cluster.provider.frame(cluster.endpoint), False)
        assert sum(state.weights.values()) == 100


async def test_foreign_content_survives_every_write(cluster: Cluster) -> None:
    """Breaks if an object is written from memory instead of what is there."""
    await cluster.write({W1: 100})
    for body in cluster.everything():
        cluster.sample.crowd(body)
        body["metadata"]["labels"]["team"] = "a"
        body["metadata"]["annotations"]["other.example/note"] = "keep"
    before = json.dumps(cluster.everything(), sort_keys=True)
    await cluster.write({W1: 60, W2: 40})
    assert await cluster.weights() == {W1: 60, W2: 40}
    await cluster.write({W1: 100})
    for body, known in zip(cluster.everything(), json.loads(before), strict=True):
        known["metadata"]["resourceVersion"] = body["metadata"]["resourceVersion"]
        assert body == known


async def test_preview_is_no_weight(cluster: Cluster) -> None:
    cluster.endpoint = replace(cluster.endpoint, preview=W2)
    await cluster.write({W1: 100})
    assert await cluster.weights() == {W1: 100}
    await cluster.write({W1: 70, W2: 30})
    assert await cluster.weights() == {W1: 70, W2: 30}


async def test_stale_write_is_refused(cluster: Cluster) -> None:
    await cluster.write({W1: 100})
    stale = cluster.provider.write(cluster.endpoint, await cluster.found(), {W1: 60, W2: 40}, "2/def/40", "Keep")
    for kind in cluster.provider.kinds:
        for name in cluster.kube.names(kind):
            cluster.kube.put(kind, cluster.kube.peek(kind, name))
    with pytest.raises(ConflictError):
        await cluster.carry_out(stale)
    assert await cluster.weights() == {W1: 100}


async def test_r18_changed_frame_is_widened_then_replaced(cluster: Cluster) -> None:
    await cluster.write({W1: 100})
    before = cluster.provider.frame(cluster.endpoint)
    cluster.says(cluster.sample.otherwise)
    after = cluster.provider.frame(cluster.endpoint)
    assert before != after
    await cluster.write({W1: 100})
    state = cluster.provider.read(cluster.endpoint, await cluster.found())
    assert state
    assert state.frame == before
    changes: tuple[tuple[FrameChange, bool], ...] = (("Widen", True), ("Keep", True), ("Replace", False))
    for change, widened in changes:
        await cluster.write({W1: 90, W2: 10}, "2/def/10", change)
        state = cluster.provider.read(cluster.endpoint, await cluster.found())
        assert state
        widened &= cluster.sample.lent is None  # of a user's object nothing is widened
        assert (state.frame, state.widened, state.weights) == (after, widened, {W1: 90, W2: 10})


async def test_weights_move_on_after_the_spec_has_dropped_the_provider_until_it_is_removed(cluster: Cluster) -> None:
    await cluster.write({W1: 70, W2: 30})
    cluster.says(None)
    assert not cluster.provider.wanted(cluster.endpoint)
    assert cluster.provider.question(cluster.endpoint.spec) is None
    cluster.provider = cluster.sample.left or cluster.provider
    await cluster.write({W1: 60, W2: 40})
    assert await cluster.weights() == {W1: 60, W2: 40}
    for _ in range(2):  # what is lent goes back in two writes
        await cluster.carry_out(cluster.provider.remove(cluster.endpoint, await cluster.found()))
    assert await cluster.weights() == {}
    assert cluster.provider.remove(cluster.endpoint, await cluster.found()) == ()


async def test_what_is_parked_names_its_backends_and_can_serve_again_as_it_was(cluster: Cluster) -> None:
    """Breaks if the first of two writes takes the backends from the gateway, or the way back loses what others wrote."""
    await cluster.write({W1: 70, W2: 30})
    for body in cluster.everything():
        cluster.sample.crowd(body)
    before = json.dumps(cluster.everything(), sort_keys=True)
    first = cluster.provider.remove(cluster.endpoint, await cluster.found())
    await cluster.carry_out(first)
    state = cluster.provider.read(cluster.endpoint, await cluster.found())
    if cluster.sample.lent or state is None:
        assert cluster.sample.lent or isinstance(cluster.provider, OwnedVirtualService)
        return
    assert state.parked
    assert await cluster.weights() == {W1: 70, W2: 30}
    await cluster.write({W1: 70, W2: 30})
    for body, known in zip(cluster.everything(), json.loads(before), strict=True):
        known["metadata"]["resourceVersion"] = body["metadata"]["resourceVersion"]
        assert body == known


async def test_objects_of_somebody_else_are_named_and_neither_read_nor_removed(cluster: Cluster) -> None:
    if cluster.sample.lent:
        pytest.skip("an object of the user's has no owner of ours")
    await cluster.write({W1: 100})
    cluster.says(cluster.sample.traffic, uid="u2")
    found = await cluster.found()
    assert " is not owned by this object" in (cluster.provider.conflict(cluster.endpoint, found) or "")
    assert cluster.provider.read(cluster.endpoint, found) is None
    assert cluster.provider.remove(cluster.endpoint, found) == ()


async def test_all_kinds_are_declared(cluster: Cluster) -> None:
    """Breaks if an object would be written whose kind is neither watched nor permitted."""
    refs = cluster.provider.objects("digits", cluster.endpoint.spec)
    await cluster.write({W1: 100})
    assert {kind for kind, _, _ in cluster.kube._store} <= {*cluster.provider.kinds}
    assert {ref.kind for ref in refs} >= {*cluster.provider.kinds}
