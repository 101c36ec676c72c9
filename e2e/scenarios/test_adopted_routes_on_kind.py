"""R1 and a rollback through an HTTPRoute of the user's own on the real cluster: through Contour, with a client that counts."""

from typing import Any

import pytest

from e2e.scenarios.arena import NAME, Arena
from luntra_operator.kube import kinds

pytestmark = pytest.mark.timeout(420)
Object = dict[str, Any]
ROUTE = "shop"


async def _route(arena: Arena) -> Object:
    found = await arena.kube.get(kinds.HTTP_ROUTE, arena.namespace, ROUTE)
    assert found
    return {"spec": found["spec"], "annotations": found["metadata"].get("annotations", {})}


async def _adopting(arena: Arena, version: str, **rollout: Any) -> None:
    body = arena.body(version, **rollout)
    body["spec"]["traffic"]["gateway"] = {"mode": "Adopted", "routeRef": {"name": ROUTE}}
    await arena.apply_body(body)


async def test_r1_and_rollback_behind_a_route_of_the_users_lose_no_request(arena: Arena) -> None:
    """Breaks if the gateway is told of a weight before it knows the pods: at the first step, at the flip, or when the rule goes back."""
    route = {
        "apiVersion": kinds.HTTP_ROUTE.api_version,
        "kind": "HTTPRoute",
        "metadata": {"name": ROUTE, "namespace": arena.namespace},
        "spec": {
            "parentRefs": [{"name": "luntra", "namespace": "luntra-gateway"}],
            "hostnames": [arena.host],
            "rules": [
                {
                    "matches": [{"path": {"type": "PathPrefix", "value": f"/v2/models/{NAME}"}}],
                    "backendRefs": [{"name": NAME, "port": 8080}],
                }
            ],
        },
    }
    await arena.kube.create(kinds.HTTP_ROUTE, route)
    written = await _route(arena)
    await _adopting(arena, "v1")
    await arena.until_phase("Stable", "v1")
    assert await _route(arena) == written

    async def given_back() -> bool:
        return await _route(arena) == written

    async with arena.load() as load:
        await _adopting(arena, "v2")
        await arena.until_phase("Stable", "v2")
        await arena.until(given_back)
        await arena.until_gone("digits-w1")
        await _adopting(arena, "v3", steps=[{"weight": 30, "hold": "10m"}])
        await arena.until_weight(30)
        await _adopting(arena, "v2")
        await arena.until_phase("Stable", "v2")
        await arena.until(given_back)
        await arena.until_gone("digits-w3")
    assert load.errors == []
    assert {answer.version for answer in load.answers[-20:]} == {"v2"}
    assert {answer.version for answer in load.answers} == {"v1", "v2", "v3"}
    first = next(at for at, answer in enumerate(load.answers) if answer.version == "v2")
    promoted = [answer.version for answer in load.answers[first:]]
    last = len(promoted) - 1 - promoted[::-1].index("v1")
    assert set(promoted[last + 1 :]) == {"v2", "v3"}
    found = await arena.kube.get(kinds.MODEL_DEPLOYMENT, arena.namespace, NAME)
    assert found
    assert "finalizers" not in found["metadata"]
