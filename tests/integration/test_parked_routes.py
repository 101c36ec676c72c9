"""Routes that lose their requests before they are deleted, against a real API server: what is written is valid, and a restart goes on."""

from typing import Any

import pytest

from luntra_operator.kube import kinds
from tests.integration.test_operator_scenarios import NAME, Cluster, cluster, model_deployment

__all__ = ["cluster"]
pytestmark = pytest.mark.timeout(120)
Object = dict[str, Any]


async def parked(cluster: Cluster) -> Object:
    """The spec of the HTTPRoute once it is parked."""

    async def reached() -> bool:
        return "parked" in await cluster.status()

    await cluster.until(reached)
    found = await cluster.kube.get(kinds.HTTP_ROUTE, cluster.namespace, NAME)
    assert found
    assert found["metadata"]["annotations"]["luntra.io/frame"] == "parked"
    spec: Object = found["spec"]
    return spec


@pytest.mark.parametrize("hostnames", [["digits.example.com"], []], ids=["hosts", "every host"])
async def test_r7_r18_route_is_parked_then_deleted_by_whoever_finds_it(cluster: Cluster, hostnames: list[str]) -> None:
    """Breaks if the API server refuses a parked route, or only the operator that parked it knows that it has to go."""
    body = model_deployment(cluster.namespace)
    body["spec"]["traffic"]["gateway"]["hostnames"] = hostnames
    if not hostnames:
        del body["spec"]["traffic"]["gateway"]["hostnames"]
    async with cluster.operator():
        await cluster.kube.apply(kinds.MODEL_DEPLOYMENT, body)
        await cluster.until_phase("Stable", "v1")
        del body["spec"]["traffic"], body["spec"]["rollout"]["steps"]
        await cluster.kube.apply(kinds.MODEL_DEPLOYMENT, body)
        spec = await parked(cluster)
    (rule,) = spec["rules"]
    assert [ref["name"] for ref in rule["backendRefs"]] == ["digits-w1"]
    (header,) = rule["matches"][0].get("headers") or [None]
    if hostnames:
        (host,) = spec["hostnames"]
        assert (host.partition("-")[0], host.partition(".")[2], header) == ("luntra", "example.com", None)
    else:
        assert header == {"type": "Exact", "name": "x-luntra-parked", "value": "true"}
    async with cluster.operator():

        async def gone() -> bool:
            found = await cluster.kube.get(kinds.HTTP_ROUTE, cluster.namespace, NAME)
            return found is None and "parked" not in await cluster.status()

        await cluster.until(gone)
        await cluster.until_phase("Stable", "v1")
    assert cluster.gateway.weights == [{"digits-w1": 100}]


async def test_r17_route_of_a_deleted_object_is_not_parked(cluster: Cluster) -> None:
    """Breaks if the end of an object with all its pods waits for its route."""
    async with cluster.operator():
        await cluster.apply("v1")
        await cluster.until_phase("Stable", "v1")
        hosts: list[list[str]] = []
        await cluster.kube.delete(kinds.MODEL_DEPLOYMENT, cluster.namespace, NAME)

        async def gone() -> bool:
            found = await cluster.kube.get(kinds.HTTP_ROUTE, cluster.namespace, NAME)
            hosts.extend([found["spec"]["hostnames"]] if found else [])
            return found is None

        await cluster.until(gone)
    assert all(found == ["digits.example"] for found in hosts)
