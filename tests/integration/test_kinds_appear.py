"""A cluster that has neither the Gateway API nor Istio yet: an API server of its own, since CRDs are shared by all tests of the other."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

from e2e.kind import control_plane
from luntra_operator.kube.client import Kube
from tests.integration.conftest import gateway_api, install, istio_api
from tests.integration.test_istio import Meshed
from tests.integration.test_operator_scenarios import Cluster

Place = Callable[[Path], Path]


@pytest.mark.timeout(120)
@pytest.mark.parametrize(
    ("kind_of_cluster", "crds", "reason"),
    [(Cluster, gateway_api, "GatewayAPIMissing"), (Meshed, istio_api, "IstioMissing")],
    ids=["Gateway API", "Istio"],
)
async def test_missing_kind_is_a_clear_condition_and_is_picked_up_when_it_appears(
    program: Callable[[str], Path],
    kubectl: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    kind_of_cluster: type[Cluster],
    crds: Place,
    reason: str,
) -> None:
    with control_plane.running(program) as server:
        control_plane.start_controllers(server, program)
        await asyncio.to_thread(install, server, kubectl, Path("crds"))
        monkeypatch.setenv("KUBECONFIG", str(server.kubeconfig))
        async with Kube.connect(kubeconfig=str(server.kubeconfig)) as kube:
            cluster = kind_of_cluster(kube, "default")
            async with cluster.operator(), cluster.actors():
                await cluster.apply("v1")

                async def told() -> bool:
                    conditions = {one["type"]: one["reason"] for one in (await cluster.status()).get("conditions", [])}
                    return conditions.get("Ready") == reason

                await cluster.until(told)
                await asyncio.to_thread(install, server, kubectl, crds(tmp_path))
                await cluster.until_phase("Stable", "v1")
            assert cluster.gateway.weights == [{"digits-w1": 100}]
