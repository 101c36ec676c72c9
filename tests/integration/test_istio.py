"""Rollouts by a VirtualService against a real API server with Istio's own CRDs: what is written is valid, foreign content survives."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from e2e.kind import control_plane
from luntra_operator.kube import kinds
from luntra_operator.kube.client import Kube
from tests.integration import actors
from tests.integration.conftest import install, istio_api
from tests.integration.test_operator_scenarios import Cluster, model_deployment

pytestmark = pytest.mark.timeout(120)
Object = dict[str, Any]


class Meshed(Cluster):
    """A namespace whose traffic goes through Istio."""

    def __init__(self, kube: Kube, namespace: str) -> None:
        super().__init__(kube, namespace)
        self.gateway = actors.Mesh(kube, namespace)

    async def apply(self, version: str = "v1", **rollout: Any) -> Object:
        body = model_deployment(self.namespace, version, **rollout)
        body["spec"]["traffic"] = {"istio": {"gateways": ["infra/public"], "hosts": ["digits.example.com"]}}
        return await self.kube.apply(kinds.MODEL_DEPLOYMENT, body)

    async def service(self) -> Object:
        found = await self.kube.get(kinds.VIRTUAL_SERVICE, self.namespace, "digits")
        assert found
        return found


@pytest.fixture
async def cluster(
    controllers: control_plane.ApiServer,
    custom_resources: None,
    kubectl: Path,
    namespace: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> AsyncIterator[Meshed]:
    await asyncio.to_thread(install, controllers, kubectl, istio_api(tmp_path))
    monkeypatch.setenv("KUBECONFIG", str(controllers.kubeconfig))
    async with Kube.connect(kubeconfig=str(controllers.kubeconfig)) as kube:
        fresh = Meshed(kube, namespace)
        async with fresh.actors():
            yield fresh


async def test_r1_r9_r17_weights_go_up_beside_what_others_wrote_and_all_goes_with_its_owner(cluster: Meshed) -> None:
    """Breaks if Istio's schema refuses our object, a list is overwritten, or the VirtualService has no owner."""
    async with cluster.operator():
        await cluster.apply("v1")
        await cluster.until_phase("Stable", "v1")
        added: list[Object] = [
            {"op": "add", "path": "/spec/http/0/timeout", "value": "3s"},
            {"op": "add", "path": "/spec/http/0/retries", "value": {"attempts": 1, "perTryTimeout": "1s"}},
            {"op": "add", "path": "/spec/http/0/headers", "value": {"response": {"set": {"x-team": "a"}}}},
            {"op": "add", "path": "/spec/http/0", "value": {"match": [{"port": 1}], "redirect": {"uri": "/docs"}}},
        ]
        crowded = (await cluster.kube.patch(kinds.VIRTUAL_SERVICE, cluster.namespace, "digits", added))["spec"]
        await cluster.apply("v2")
        await cluster.until_phase("Stable", "v2")
        await cluster.until_gone("digits-w1")
        service = await cluster.service()
        (destination,) = crowded["http"][1]["route"]
        destination["destination"]["host"] = "digits-w2"
        assert service["spec"] == crowded
        assert "status" not in service
        await cluster.kube.delete(kinds.MODEL_DEPLOYMENT, cluster.namespace, "digits")

        async def gone() -> bool:
            return await cluster.kube.get(kinds.VIRTUAL_SERVICE, cluster.namespace, "digits") is None

        await cluster.until(gone, seconds=90)  # the collector learns of new kinds now and then
    shares = [weights["digits-w2"] for weights in cluster.gateway.weights if "digits-w2" in weights]
    assert shares == [0, 20, 60, 100, 100]


async def test_r8_foreign_weight_is_restored(cluster: Meshed) -> None:
    """Breaks if the watch of VirtualServices is missing: nothing else would tell before the next look."""
    async with cluster.operator():
        await cluster.apply("v1")
        await cluster.until_phase("Stable", "v1")
        await cluster.apply("v2", steps=[{"weight": 30, "hold": "10m"}])

        async def followed() -> bool:
            return (await cluster.status()).get("traffic", {}).get("observed") == 30

        async def divided() -> bool:
            return [one["weight"] for one in (await cluster.service())["spec"]["http"][0]["route"]] == [70, 30]

        await cluster.until(followed)  # an edit before that is taken for unfinished work, and mended without a word
        edit = [{"op": "replace", "path": "/spec/http/0/route/1/weight", "value": 90}]
        await cluster.kube.patch(kinds.VIRTUAL_SERVICE, cluster.namespace, "digits", edit)
        await cluster.until(divided)

        async def told() -> bool:
            return "RouteRepaired" in {reason for reason, _ in await cluster.events()}

        await cluster.until(told)
        assert (await cluster.status())["step"]["weight"] == 30
