"""The API server goes away in mid-rollout: nothing changes, and everything goes on when it is back. It has one of its own."""

import asyncio
import logging
from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from e2e.kind import control_plane, gobuild, versions
from e2e.kind.progress import Progress
from luntra_operator.controller.queue import WorkQueue
from luntra_operator.controller.reconcile import Reconciler
from luntra_operator.kube import kinds
from luntra_operator.kube.client import Kube
from luntra_operator.runtime.health import problems
from luntra_operator.runtime.life import SignsOfLife
from luntra_operator.runtime.watches import WATCHED, Watches
from tests.integration.conftest import install
from tests.integration.test_operator_scenarios import IMAGES, NAME, Cluster, Object, _running

STEPS = [{"weight": 20, "hold": "40s"}, {"weight": 60, "hold": "1s"}]


async def decided(cluster: Cluster) -> Object:
    """The route, and the status without the words and figures that are only reported."""
    status = await cluster.status()
    conditions = [(one["type"], one["status"], one["lastTransitionTime"]) for one in status["conditions"]]
    route = await cluster.kube.get(kinds.HTTP_ROUTE, cluster.namespace, NAME)
    return {**status, "conditions": conditions, "route": route}


@pytest.mark.timeout(180)
async def test_outage_in_mid_rollout_changes_nothing_and_health_tells_of_it(
    program: Callable[[str], Path], kubectl: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Breaks if a failed read is taken for an invalid object, watches do not come back, or a failure ends the operator."""
    with control_plane.running(program) as server:
        control_plane.start_controllers(server, program)
        gateway_api = gobuild.module_folder("sigs.k8s.io/gateway-api", versions.GATEWAY_API, Progress())
        for folder in (Path("crds"), gateway_api / "config/crd/standard"):
            await asyncio.to_thread(install, server, kubectl, folder)
        monkeypatch.setenv("KUBECONFIG", str(server.kubeconfig))
        async with Kube.connect(kubeconfig=str(server.kubeconfig)) as kube, AsyncExitStack() as stack:
            cluster = Cluster(kube, "default")
            queue = WorkQueue(Reconciler(kube, cluster.gateway, IMAGES))
            life = SignsOfLife(WATCHED, failing=3.0)
            watches = Watches(queue, (cluster.namespace,), life)
            await stack.enter_async_context(_running(queue.run(), watches.run(asyncio.Event())))

            async def healthy() -> bool:
                return problems(queue, life) == []

            async with cluster.actors():
                await cluster.apply("v1")
                await cluster.until_phase("Stable", "v1")
                await cluster.apply("v2", steps=STEPS)
                await cluster.until_weight(20)

                async def holds() -> bool:
                    return "startedAt" in (await cluster.status())["step"]

                await cluster.until(holds)
            assert await healthy()
            before = await decided(cluster)
            caplog.clear()

            await asyncio.to_thread(server.crash)
            queue.add((cluster.namespace, NAME))  # whatever would have happened meanwhile

            async def ill() -> bool:
                return len(problems(queue, life)) == len(life.ages)  # of kinds that the cluster knows

            await cluster.until(ill)
            assert list(queue.failing) == [(cluster.namespace, NAME)]
            assert "the watch of HTTPRoute in default has failed for " in "\n".join(problems(queue, life))
            await asyncio.to_thread(server.start)

            assert await decided(cluster) == before
            await cluster.until(healthy)
            async with cluster.actors():

                async def promoted() -> bool:
                    return (await cluster.status())["phase"] == "Stable"

                await cluster.until(promoted, seconds=90)
    shares = [weights.get("digits-w2") for weights in cluster.gateway.weights if "digits-w2" in weights]
    assert shares[:4] == [0, 20, 60, 100]
    ours = [record for record in caplog.records if record.name.startswith("luntra_operator")]
    told = [record for record in ours if record.levelno >= logging.WARNING]
    assert told
    assert [record.message for record in told if " fail" not in record.message or record.exc_info] == []
