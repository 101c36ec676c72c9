"""The API server goes away in mid-rollout: nothing changes, and everything goes on when it is back. It has one of its own."""

import asyncio
import logging
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import aiohttp
import pytest

from e2e.kind import control_plane, gobuild, versions
from e2e.kind.progress import Progress
from luntra_operator.controller.queue import WorkQueue
from luntra_operator.controller.reconcile import Reconciler
from luntra_operator.kube import kinds
from luntra_operator.kube.client import Kube
from luntra_operator.runtime import lease
from luntra_operator.runtime.health import problems
from luntra_operator.runtime.life import SignsOfLife
from luntra_operator.runtime.watches import WATCHED, Watches
from tests.integration.conftest import install
from tests.integration.operator_process import operator_process
from tests.integration.test_operator_scenarios import IMAGES, NAME, Cluster, Object, _running

STEPS = [{"weight": 20, "hold": "40s"}, {"weight": 60, "hold": "1s"}]
OUTAGE = float(os.environ.get("LUNTRA_OUTAGE", "0"))
"""Seconds that the API server is away at least; it is as long as it takes to lose the Lease in any case."""


async def decided(cluster: Cluster) -> Object:
    """The route, and the status without the words and figures that are only reported."""
    status = await cluster.status()
    conditions = [(one["type"], one["status"], one["lastTransitionTime"]) for one in status["conditions"]]
    route = await cluster.kube.get(kinds.HTTP_ROUTE, cluster.namespace, NAME)
    return {**status, "conditions": conditions, "route": route}


@asynccontextmanager
async def control_plane_of_its_own(
    program: Callable[[str], Path], kubectl: Path
) -> AsyncIterator[control_plane.ApiServer]:
    with control_plane.running(program) as server:
        control_plane.start_controllers(server, program)
        gateway_api = gobuild.module_folder("sigs.k8s.io/gateway-api", versions.GATEWAY_API, Progress())
        for folder in (Path("crds"), gateway_api / "config/crd/standard"):
            await asyncio.to_thread(install, server, kubectl, folder)
        yield server


async def in_mid_rollout(cluster: Cluster, steps: list[Object]) -> Object:
    """Bring a second version to 20 %, until that holds, and stop everybody but the operator; what is decided then."""
    async with cluster.actors():
        await cluster.apply("v1")
        await cluster.until_phase("Stable", "v1")
        await cluster.apply("v2", steps=steps)
        await cluster.until_weight(20)

        async def holds() -> bool:
            return "startedAt" in (await cluster.status())["step"]

        await cluster.until(holds)
    return await decided(cluster)


async def to_its_end(cluster: Cluster) -> list[int | None]:
    """Let the rollout come to its end; the weights of the second version in their order."""
    async with cluster.actors():

        async def promoted() -> bool:
            return (await cluster.status())["phase"] == "Stable"

        await cluster.until(promoted, seconds=90)
    return [weights.get("digits-w2") for weights in cluster.gateway.weights if "digits-w2" in weights]


@pytest.mark.timeout(180)
async def test_outage_in_mid_rollout_changes_nothing_and_health_tells_of_it(
    program: Callable[[str], Path], kubectl: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Breaks if a failed read is taken for an invalid object, watches do not come back, or a failure ends the operator."""
    async with control_plane_of_its_own(program, kubectl) as server:
        monkeypatch.setenv("KUBECONFIG", str(server.kubeconfig))
        async with Kube.connect(kubeconfig=str(server.kubeconfig)) as kube, AsyncExitStack() as stack:
            cluster = Cluster(kube, "default")
            queue = WorkQueue(Reconciler(kube, cluster.gateway, IMAGES))
            life = SignsOfLife(WATCHED, failing=3.0)
            watches = Watches(queue, (cluster.namespace,), life)
            await stack.enter_async_context(_running(queue.run(), watches.run(asyncio.Event())))

            async def healthy() -> bool:
                return problems(queue, life) == []

            before = await in_mid_rollout(cluster, STEPS)
            assert await healthy()
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
            shares = await to_its_end(cluster)
    assert shares[:4] == [0, 20, 60, 100]
    ours = [record for record in caplog.records if record.name.startswith("luntra_operator")]
    told = [record for record in ours if record.levelno >= logging.WARNING]
    assert told
    assert [record.message for record in told if " fail" not in record.message or record.exc_info] == []


@pytest.mark.timeout(240 + 2 * OUTAGE)
async def test_outage_that_costs_the_lease_costs_neither_the_process_nor_a_step(
    program: Callable[[str], Path], kubectl: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Breaks if the process ends with its term, if anything is remembered of it, or if signals are not heard between two terms."""
    steps = [{"weight": 20, "hold": f"{OUTAGE + 40:g}s"}, {"weight": 60, "hold": "1s"}]
    log = tmp_path / "operator.log"
    async with control_plane_of_its_own(program, kubectl) as server, AsyncExitStack() as stack:
        monkeypatch.setenv("KUBECONFIG", str(server.kubeconfig))
        kube = await stack.enter_async_context(Kube.connect(kubeconfig=str(server.kubeconfig)))
        session = await stack.enter_async_context(aiohttp.ClientSession())
        cluster = Cluster(kube, "default")
        started = operator_process(server.kubeconfig, [cluster.namespace], log)
        process, port = await stack.enter_async_context(started)

        async def told(path: str) -> str:
            async with session.get(f"http://127.0.0.1:{port}/{path}") as answer:
                return await answer.text()

        async def leads() -> bool:
            return "luntra_leader 1.0" in await told("metrics")

        async def waits() -> bool:
            return not await leads()

        before = await in_mid_rollout(cluster, steps)
        assert await leads()

        loop = asyncio.get_running_loop()
        back = loop.time() + OUTAGE
        await asyncio.to_thread(server.crash)
        await _until(waits)
        assert await told("healthz") == "ok\n"
        await asyncio.sleep(max(back - loop.time(), 0))  # nothing is waited for: this is the outage
        assert await waits()
        await asyncio.to_thread(server.start)
        assert await decided(cluster) == before
        await _until(leads)
        assert await decided(cluster) == before, "the hold goes on for some seconds more"
        held = await kube.get(kinds.LEASE, cluster.namespace, lease.NAME)
        assert held
        assert held["spec"]["leaseTransitions"] == 0
        assert (await to_its_end(cluster))[:4] == [0, 20, 60, 100]

        await asyncio.to_thread(server.crash)
        await _until(waits)
        process.send_signal(signal.SIGTERM)
        assert await process.wait() == 0
    text = log.read_text()
    assert "Traceback" not in text
    assert text.count("nothing is done before this process leads again") == 2


async def _until(holds: Callable[[], Awaitable[bool]]) -> None:
    """Wait, without the API server."""
    async with asyncio.timeout(30):
        while not await holds():  # noqa: ASYNC110 - another process sets no event here
            await asyncio.sleep(0.1)
