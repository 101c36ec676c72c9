"""`spec.traffic` names another provider than before: its object serves before the other one's goes."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from luntra_operator.kube import kinds
from luntra_operator.kube.errors import KindMissingError
from tests.operator.controller.in_memory import KEY, Operator, model

Object = dict[str, Any]
GATEWAY: Object = {"gateway": {"parentRefs": [{"name": "gateway"}]}}
ISTIO: Object = {"istio": {"gateways": ["infra/public"], "hosts": ["digits.example.com"]}}


def weights(operator: Operator) -> dict[str, int]:
    """Those of the VirtualService."""
    (route,) = operator.kube.peek(kinds.VIRTUAL_SERVICE, "digits")["spec"]["http"]
    return {one["destination"]["host"]: one["weight"] for one in route["route"]}


def present(operator: Operator) -> list[str]:
    return [kind.kind for kind in (kinds.HTTP_ROUTE, kinds.VIRTUAL_SERVICE) if operator.kube.names(kind)]


async def turns(operator: Operator, answers: dict[str, int], number: int = 20) -> None:
    """Reconcile again and again while the data plane that is asked answers like this."""
    for _ in range(number):
        operator.gateway.seen = answers
        await operator.reconcile(KEY)
        operator.now += timedelta(seconds=1)


@pytest.fixture(params=["at rest", "in mid-rollout"])
async def settled(request: pytest.FixtureRequest) -> tuple[Operator, dict[str, int]]:
    """An operator that has come to rest, and its weights."""
    operator = Operator()
    await operator.settle()
    if request.param == "in mid-rollout":
        operator.edit(model=model("v2"))
        await operator.settle()
    expected = {"at rest": {"digits-w1": 100}, "in mid-rollout": {"digits-w1": 80, "digits-w2": 20}}[request.param]
    assert operator.weights() == expected
    return operator, expected


async def test_r18_virtual_service_is_followed_before_the_route_goes(settled: tuple[Operator, dict[str, int]]) -> None:
    """Breaks if the route is deleted once the VirtualService exists, before anything answers behind it."""
    operator, expected = settled
    revisions = dict(operator.gateway.seen or {})
    operator.edit(traffic=ISTIO)
    assert await operator.reconcile(KEY) == 2  # without waiting for a watch, which may not have begun
    await turns(operator, {"": 20})
    assert present(operator) == ["HTTPRoute", "VirtualService"]
    assert weights(operator) == operator.weights() == expected
    await turns(operator, revisions)
    assert present(operator) == ["VirtualService"]
    assert weights(operator) == expected


async def test_r18_route_loses_its_requests_before_it_goes(settled: tuple[Operator, dict[str, int]]) -> None:
    """Breaks if a gateway may hear of the end of the backends while it still sends requests to them."""
    operator, expected = settled
    revisions = dict(operator.gateway.seen or {})
    operator.edit(traffic=ISTIO)
    while "parked" not in operator.status:
        await turns(operator, revisions, 1)
    began = operator.now
    for _ in range(4):
        await turns(operator, revisions, 1)
        matches = operator.kube.peek(kinds.HTTP_ROUTE, "digits")["spec"]["rules"][0]["matches"]
        assert all("x-luntra-parked" in str(match) for match in matches)
        assert operator.weights() == weights(operator) == expected
        operator.reconcile = operator.reconciler()  # a restart loses nothing
    await turns(operator, revisions, 3)
    assert present(operator) == ["VirtualService"]
    assert (operator.now - began).total_seconds() < 8
    assert "parked" not in operator.status


async def test_r18_change_of_mind_revives_the_parked_route(settled: tuple[Operator, dict[str, int]]) -> None:
    """Breaks if a parked route is taken for one that serves, is deleted after all, or has lost what others wrote."""
    operator, expected = settled
    revisions, before = dict(operator.gateway.seen or {}), operator.kube.peek(kinds.HTTP_ROUTE, "digits")["spec"]
    before["rules"].append({"matches": [{"path": {"value": "/docs"}}], "backendRefs": [{"name": "docs", "port": 80}]})
    operator.edit(traffic=ISTIO)
    while "parked" not in operator.status:
        await turns(operator, revisions, 1)
    operator.edit(traffic=GATEWAY)
    for _ in range(30):
        operator.play_cluster()
        await turns(operator, revisions, 1)
        assert operator.weights() == expected
    assert present(operator) == ["HTTPRoute"]
    assert operator.kube.peek(kinds.HTTP_ROUTE, "digits")["spec"] == {**before, "hostnames": []}


async def test_spec_that_cannot_be_read_does_not_revive_a_parked_route() -> None:
    """Breaks if the hosts of a parked route are taken for what the spec said before."""
    operator = Operator()
    await operator.settle()
    revisions = dict(operator.gateway.seen or {})
    operator.edit(traffic=ISTIO)
    while "parked" not in operator.status:
        await turns(operator, revisions, 1)
    operator.edit(replicas=-1)
    await turns(operator, revisions)
    assert operator.ready[0] == "InvalidSpec"
    assert present(operator) == ["VirtualService"]


async def test_r18_route_is_in_force_before_the_virtual_service_goes(settled: tuple[Operator, dict[str, int]]) -> None:
    operator, expected = settled
    revisions = dict(operator.gateway.seen or {})
    operator.edit(traffic=ISTIO)
    await turns(operator, revisions)
    operator.edit(traffic=GATEWAY)
    await turns(operator, revisions)
    assert present(operator) == ["HTTPRoute", "VirtualService"]  # nobody has accepted the route yet
    operator.play_cluster()
    await turns(operator, revisions)
    assert present(operator) == ["HTTPRoute"]
    assert operator.weights() == expected


async def test_without_a_probe_a_delay_stands_in_and_the_status_says_so() -> None:
    operator = Operator()
    operator.edit(traffic=ISTIO)
    for _ in range(20):
        operator.play_cluster()
        operator.gateway.seen = None
        await operator.reconcile(KEY)
        operator.now += timedelta(seconds=1)
    assert (operator.status["phase"], operator.status["traffic"]["observedBy"]) == ("Stable", "Delay")
    assert weights(operator) == {"digits-w1": 100}


async def first_version() -> Operator:
    operator = Operator()
    operator.edit(traffic=ISTIO)
    return operator


async def second_provider() -> Operator:
    operator = Operator()
    await operator.settle()
    operator.edit(traffic=ISTIO)
    return operator


@pytest.mark.parametrize("begin", [first_version, second_provider])
async def test_missing_istio_is_a_condition_and_what_serves_stays(begin: Callable[[], Any]) -> None:
    """Breaks if the old provider's route goes, or nothing is said, where the next one cannot be written."""
    operator = await begin()
    before = present(operator)
    operator.kube.failures["get", kinds.VIRTUAL_SERVICE] = KindMissingError("404 page not found")
    for _ in range(8):
        operator.play_cluster()
        again = await operator.reconcile(KEY)
    assert operator.ready == (
        "IstioMissing",
        "the cluster has no VirtualService kind; install Istio (istio.io), then this continues by itself",
    )
    assert again == 10
    assert present(operator) == before
    operator.kube.failures.clear()
    await operator.settle()
    await turns(operator, dict(operator.gateway.seen or {}))
    assert present(operator) == ["VirtualService"]
    assert operator.ready[0] == "Stable"
