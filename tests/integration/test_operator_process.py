"""The operator as its entry point runs it: Lease, keys, health and metrics together, against a real API server."""

import asyncio
import json

import aiohttp
import pytest

from e2e.kind.control_plane import ApiServer, free_ports
from luntra_operator.api.vocabulary import KEY_STORE
from luntra_operator.kube import kinds
from luntra_operator.kube.client import Kube
from luntra_operator.runtime import lease
from luntra_operator.runtime.main import run
from luntra_operator.runtime.settings import Settings
from tests.integration.test_operator_scenarios import NAME, Cluster


async def test_process_leads_makes_its_key_tells_its_health_and_leaves_in_order(
    controllers: ApiServer, custom_resources: None, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Breaks if the parts are not put together, or a stop leaves the Lease behind."""
    monkeypatch.setenv("KUBECONFIG", str(controllers.kubeconfig))
    (port,) = free_ports(1)
    settings = Settings("luntra/inference:1", "luntra/operator:1", namespace, "first", (namespace,), port=port)
    stop = asyncio.Event()

    async with Kube.connect(kubeconfig=str(controllers.kubeconfig)) as kube, aiohttp.ClientSession() as session:

        async def told(path: str) -> str:
            try:
                async with session.get(f"http://127.0.0.1:{port}/{path}") as answer:
                    return f"{answer.status} {await answer.text()}"
            except aiohttp.ClientConnectionError:
                return ""

        async with asyncio.timeout(120), asyncio.TaskGroup() as tasks:
            tasks.create_task(run(settings, stop))
            cluster = Cluster(kube, namespace)
            async with cluster.actors():
                await cluster.apply("v1", steps=[])
                await cluster.until_phase("Stable", "v1")

                async def counted() -> bool:
                    return 'luntra_objects{phase="Stable"} 1.0' in await told("metrics")

                await cluster.until(counted)
            assert await told("healthz") == "200 ok\n"
            metrics = await told("metrics")
            for line in (
                "luntra_leader 1.0",
                'luntra_rollouts_total{outcome="Promoted"} 1.0',
                'luntra_watch_requests_total{kind="HTTPRoute",outcome="ok"}',
                'luntra_api_requests_total{code="201",kind="secrets",verb="create"} 1.0',
            ):
                assert line in metrics, line
            assert await kube.get(kinds.SECRET, namespace, KEY_STORE)
            handed_out = await kube.get(kinds.CONFIG_MAP, namespace, f"{NAME}-w1")
            assert handed_out
            assert len(json.loads(handed_out["data"]["keys.json"])["keys"]) == 1
            stop.set()
        released = await kube.get(kinds.LEASE, namespace, lease.NAME)
        assert released
        assert released["spec"]["holderIdentity"] == ""
