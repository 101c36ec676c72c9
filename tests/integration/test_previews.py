"""A preview against a real API server, which knows what a rule, a match and a filter may be."""

from typing import Any

import pytest

from luntra_operator.kube import kinds
from tests.integration.test_operator_scenarios import NAME, Cluster, model_deployment
from tests.integration.test_operator_scenarios import cluster as cluster

pytestmark = pytest.mark.timeout(120)
Object = dict[str, Any]
STEPS = [{"weight": 30, "hold": "10m"}]
THEIRS = {
    "matches": [{"headers": [{"name": "x-preview", "value": "next"}]}],
    "backendRefs": [{"name": "mine", "port": 80}],
}


async def apply(cluster: Cluster, version: str, value: str | None, **rollout: Any) -> None:
    body = model_deployment(cluster.namespace, version, **rollout)
    if value is not None:
        body["spec"]["traffic"]["gateway"]["preview"] = {"header": {"name": "x-preview", "value": value}}
    await cluster.kube.apply(kinds.MODEL_DEPLOYMENT, body)


async def rules(cluster: Cluster) -> list[Object]:
    route = await cluster.kube.get(kinds.HTTP_ROUTE, cluster.namespace, NAME)
    assert route
    found: list[Object] = route["spec"]["rules"]
    return found


async def leads_to(cluster: Cluster) -> list[tuple[str, str]]:
    """The header's value and the backend of each rule that sets the mark."""
    return [
        (match["headers"][-1]["value"], rule["backendRefs"][0]["name"])
        for rule in await rules(cluster)
        for match in rule["matches"]
        if any("set" in one.get("requestHeaderModifier", {}) for one in rule.get("filters", []))
    ]


async def until_preview(cluster: Cluster, expected: list[tuple[str, str]]) -> None:
    async def reached() -> bool:
        traffic = (await cluster.status())["traffic"]
        return await leads_to(cluster) == expected and traffic.get("observed") == traffic["desired"]

    await cluster.until(reached)


async def test_preview_comes_with_the_candidate_follows_the_spec_and_goes_with_it(cluster: Cluster) -> None:
    """Breaks if the API server refuses the rule, an edit is not followed, or what others wrote is lost."""
    async with cluster.operator():
        await apply(cluster, "v1", None)
        await cluster.until_phase("Stable", "v1")
        plain = await rules(cluster)
        await apply(cluster, "v1", "next")

        async def guarded() -> bool:
            return "x-luntra-preview" in str(await rules(cluster))

        await cluster.until(guarded)
        front = [{"op": "add", "path": "/spec/rules/0", "value": THEIRS}]
        await cluster.kube.patch(kinds.HTTP_ROUTE, cluster.namespace, NAME, front)
        theirs = (await rules(cluster))[0]
        await apply(cluster, "v2", "next", approval="BeforeTraffic", steps=STEPS)
        await cluster.until_phase("AwaitingApproval")
        await until_preview(cluster, [("next", "digits-w2")])
        assert cluster.gateway.weights[-1] == {"digits-w1": 100}
        await cluster.luntra("approve")
        await cluster.until_weight(30)
        await apply(cluster, "v2", "newer", approval="BeforeTraffic", steps=STEPS)
        await until_preview(cluster, [("newer", "digits-w2")])
        await cluster.luntra("abort")
        await cluster.until_phase("RolledBack", "v1")
        await until_preview(cluster, [])
        await cluster.until_gone("digits-w2")
        assert (await rules(cluster))[0] == theirs
        await apply(cluster, "v1", None)

        async def as_before() -> bool:
            return await rules(cluster) == [theirs, *plain]

        await cluster.until(as_before)
    shares = [weights["digits-w2"] for weights in cluster.gateway.weights if "digits-w2" in weights]
    assert shares[:3] == [0, 30, 0]
