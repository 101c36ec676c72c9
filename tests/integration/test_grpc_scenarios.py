"""Rollouts by an HTTPRoute and a GRPCRoute at once, against a real API server."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from e2e.kind.control_plane import ApiServer, running, start_controllers
from luntra_operator.kube import kinds
from luntra_operator.kube.client import Kube
from tests.integration import actors
from tests.integration.conftest import gateway_api, install
from tests.integration.test_operator_scenarios import Cluster, _running, model_deployment

pytestmark = pytest.mark.timeout(120)
Object = dict[str, Any]
V2 = "digits-w2"


class BothCluster(Cluster):
    """A namespace whose ModelDeployment has a host for gRPC while `grpc` is set."""

    grpc: bool = True

    def __init__(self, kube: Kube, namespace: str) -> None:
        super().__init__(kube, namespace)
        self.grpc_gateway = actors.GrpcGateway(kube, namespace)

    @asynccontextmanager
    async def actors(self) -> AsyncIterator[None]:
        async with super().actors(), _running(self.grpc_gateway.run()):
            yield

    async def apply(self, version: str = "v1", **rollout: Any) -> Object:
        body = model_deployment(self.namespace, version, **rollout)
        if self.grpc:
            body["spec"]["traffic"]["gateway"]["grpc"] = {"hostnames": ["grpc.digits.example"]}
        return await self.kube.apply(kinds.MODEL_DEPLOYMENT, body)

    async def named(self, kind: kinds.Kind) -> dict[str, int] | None:
        """The weights of our route of a kind, None where there is no route."""
        for route in await self.kube.list(kind, self.namespace):
            return {ref["name"]: ref["weight"] for ref in route["spec"]["rules"][0]["backendRefs"]}
        return None

    async def until_grpc(self, weights: dict[str, int] | None) -> None:
        """Wait until the GRPCRoute has these weights, or is gone, and nothing is left to do for it."""

        async def reached() -> bool:
            traffic = (await self.status())["traffic"]
            return await self.named(kinds.GRPC_ROUTE) == weights and traffic.get("observed") == traffic["desired"]

        await self.until(reached)


@asynccontextmanager
async def connected(server: ApiServer, namespace: str) -> AsyncIterator[BothCluster]:
    async with Kube.connect(kubeconfig=str(server.kubeconfig)) as kube:
        fresh = BothCluster(kube, namespace)
        async with fresh.actors():
            yield fresh


@pytest.fixture
async def cluster(
    controllers: ApiServer, custom_resources: None, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[BothCluster]:
    monkeypatch.setenv("KUBECONFIG", str(controllers.kubeconfig))
    async with connected(controllers, namespace) as fresh:
        yield fresh


def shares(history: list[dict[str, int]], workload: str) -> list[int]:
    return [weights[workload] for weights in history if workload in weights]


async def test_r1_weights_go_up_on_both_routes(cluster: BothCluster) -> None:
    """Breaks if the API server refuses our GRPCRoute, or one of the routes skips a step."""
    async with cluster.operator():
        await cluster.apply("v1")
        await cluster.until_phase("Stable", "v1")
        await cluster.apply("v2")
        await cluster.until_phase("Stable", "v2")
        await cluster.until_gone("digits-w1")
    for history in (cluster.gateway.weights, cluster.grpc_gateway.weights):
        assert shares(history, V2) == [0, 20, 60, 100, 100]
    await cluster.delete_with_all_of_it()


async def test_r2_r4_candidate_is_out_of_both_routes_before_anything_of_it_goes(cluster: BothCluster) -> None:
    """Breaks if a workload is scaled or deleted while one route still sends requests to it."""
    async with cluster.operator():
        await cluster.apply("v1")
        await cluster.until_phase("Stable", "v1")
        await cluster.apply("v2", steps=[{"weight": 30, "hold": "10m"}])
        await cluster.until_weight(30)
        await cluster.until_grpc({"digits-w1": 70, V2: 30})
        crash = actors.crashed(139, "segmentation fault")
        cluster.kubelet.serving = lambda pod: crash(pod) if V2 in pod["metadata"]["name"] else actors.running(pod)
        early: list[str] = []

        async def gone() -> bool:
            # What is left is read first: a route that is read afterwards can only be nearer to its end.
            left = await cluster.kube.get(kinds.DEPLOYMENT, cluster.namespace, V2)
            named = {kind: await cluster.named(kind) or {} for kind in (kinds.HTTP_ROUTE, kinds.GRPC_ROUTE)}
            early.extend(kind.kind for kind, weights in named.items() if left is None and V2 in weights)
            return left is None

        await cluster.until(gone)
        await cluster.until_phase("RolledBack", "v1")
        await cluster.until_divided({"digits-w1": 100})
        await cluster.until_grpc({"digits-w1": 100})
    assert early == []


@pytest.mark.parametrize("moment", ["at rest", "in mid-rollout"])
async def test_r18_grpc_comes_and_goes_beside_http(cluster: BothCluster, moment: str) -> None:
    """Breaks if the edit moves a weight, begins a rollout anew, or leaves a route behind."""
    cluster.grpc = False
    version, rollout, weights = "v1", {}, {"digits-w1": 100}
    async with cluster.operator():
        await cluster.apply("v1")
        await cluster.until_phase("Stable", "v1")
        if moment == "in mid-rollout":
            version, rollout = "v2", {"steps": [{"weight": 30, "hold": "10m"}]}
            weights = {"digits-w1": 70, V2: 30}
            await cluster.apply(version, **rollout)
            await cluster.until_weight(30)

        async def written() -> bool:
            return await cluster.named(kinds.HTTP_ROUTE) == weights

        await cluster.until(written)
        before, attempt = await cluster.named(kinds.HTTP_ROUTE), (await cluster.status())["attempt"]
        for cluster.grpc in (True, False):
            await cluster.apply(version, **rollout)
            await cluster.until_grpc(weights if cluster.grpc else None)
    assert before == weights == await cluster.named(kinds.HTTP_ROUTE)
    assert (await cluster.status())["attempt"] == attempt
    assert cluster.grpc_gateway.weights == [weights]


async def test_missing_kind_for_grpc_is_told_while_http_goes_on_and_is_picked_up_when_it_appears(
    program: Callable[[str], Path], kubectl: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On an API server of its own, since CRDs are shared by all tests of the other."""
    crds = gateway_api(tmp_path)
    without = tmp_path / "without"
    without.mkdir()
    for file in crds.glob("*_httproutes.yaml"):
        (without / file.name).write_bytes(file.read_bytes())
    with running(program) as server:
        start_controllers(server, program)
        for folder in (Path("crds"), without):
            await asyncio.to_thread(install, server, kubectl, folder)
        monkeypatch.setenv("KUBECONFIG", str(server.kubeconfig))
        async with connected(server, "default") as cluster, cluster.operator():
            cluster.grpc = False
            await cluster.apply("v1")
            await cluster.until_phase("Stable", "v1")
            cluster.grpc = True
            await cluster.apply("v1")

            async def told() -> bool:
                ready = next(one for one in (await cluster.status())["conditions"] if one["type"] == "Ready")
                return ready["reason"] == "GatewayAPIMissing" and "no GRPCRoute kind" in ready["message"]

            await cluster.until(told)
            assert await cluster.named(kinds.HTTP_ROUTE) == {"digits-w1": 100}
            await asyncio.to_thread(install, server, kubectl, crds)
            await cluster.until_grpc({"digits-w1": 100})
            await cluster.until_phase("Stable", "v1")
