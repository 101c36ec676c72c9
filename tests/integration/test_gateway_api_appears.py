"""A cluster that has no Gateway API yet: an API server of its own, since CRDs are shared by all tests of the other."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

from e2e.kind import control_plane, gobuild, versions
from e2e.kind.progress import Progress
from luntra_operator.kube import kinds
from luntra_operator.kube.client import Kube
from tests.integration.conftest import install
from tests.integration.test_operator_scenarios import Cluster


@pytest.mark.timeout(120)
async def test_missing_gateway_api_is_a_clear_condition_and_is_picked_up_when_it_appears(
    program: Callable[[str], Path], kubectl: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with control_plane.running(program) as server:
        control_plane.start_controllers(server, program)
        await asyncio.to_thread(install, server, kubectl, Path("crds"))
        monkeypatch.setenv("KUBECONFIG", str(server.kubeconfig))
        async with Kube.connect(kubeconfig=str(server.kubeconfig)) as kube:
            cluster = Cluster(kube, "default")
            async with cluster.operator(), cluster.actors():
                await cluster.apply("v1")

                async def told() -> bool:
                    conditions = {one["type"]: one["reason"] for one in (await cluster.status()).get("conditions", [])}
                    return conditions.get("Ready") == "GatewayAPIMissing"

                await cluster.until(told)
                folder = gobuild.module_folder("sigs.k8s.io/gateway-api", versions.GATEWAY_API, Progress())
                await asyncio.to_thread(install, server, kubectl, folder / "config/crd/standard")
                await cluster.until_phase("Stable", "v1")
            assert await kube.get(kinds.HTTP_ROUTE, "default", "digits")
