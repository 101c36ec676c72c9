"""Verdicts on live traffic in the operator's whole loop: a real API server, a real HTTP source of figures, real looks.

Nodes and the gateway are played; what pods count is judged against real model servers elsewhere (e2e).
"""

import asyncio
import os
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from e2e.kind.control_plane import ApiServer, free_ports
from luntra_operator.api.spec import ModelDeploymentSpec
from luntra_operator.api.vocabulary import LABEL_DEPLOYMENT, LABEL_REVISION
from luntra_operator.controller.judges import Judges
from luntra_operator.controller.queue import WorkQueue
from luntra_operator.controller.reconcile import Reconciler
from luntra_operator.controller.sampling import Sampling
from luntra_operator.kube import kinds
from luntra_operator.kube.client import Kube
from luntra_operator.pods.client import Pods
from luntra_operator.pods.keys import Ring
from luntra_operator.runtime.borrowing import Borrowing
from luntra_operator.runtime.watches import Watches
from luntra_operator.sources.hosts import parse
from luntra_operator.sources.opened import opened
from tests.integration import actors
from tests.integration.test_operator_scenarios import IMAGES, Cluster, _running, model_deployment

STEPS = [{"weight": 20, "hold": "3s"}]
JUDGED = int(os.environ.get("LUNTRA_JUDGED", "3"))
WINDOW = 25.0
"""Seconds in which writes are counted."""


class Figures:
    """A server that answers one number, None for none, and can be stopped and started again."""

    def __init__(self) -> None:
        self.value: float | None = 1.0
        self.asked = 0
        (self.port,) = free_ports(1)
        self._runner: web.AppRunner | None = None

    async def _answer(self, _: web.Request) -> web.Response:
        self.asked += 1
        return web.json_response({"queue": self.value})

    async def start(self) -> None:
        app = web.Application()
        app.router.add_get("/figures", self._answer)
        self._runner = web.AppRunner(app)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self.port).start()

    async def stop(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None


class Judging(Cluster):
    """A cluster whose operator asks for figures once a second."""

    def __init__(self, kube: Kube, namespace: str, figures: Figures) -> None:
        super().__init__(kube, namespace)
        self.figures = figures

    @asynccontextmanager
    async def operator(self, images: Any = IMAGES) -> AsyncIterator[None]:
        borrowing, hosts = Borrowing(self.kube), parse(f"127.0.0.1:{self.figures.port}")
        async with (
            aiohttp.ClientSession() as session,
            opened(hosts, borrowing.secret, borrowing.config_map) as sources,
        ):
            pods = Pods(session, lambda: Ring(()), lambda: datetime.now(UTC))
            sampling = Sampling(Judges(self.kube, pods, sources), lambda key, how: queue.add(key, priority=how))
            queue = WorkQueue(Reconciler(self.kube, self.gateway, images, sampling))
            try:
                async with _running(queue.run(), Watches(queue, (self.namespace,)).run(asyncio.Event())):
                    yield
            finally:
                sampling.close()

    async def rolls(self, steps: Any = STEPS, soak: str = "1s", **more: Any) -> None:
        """v1 serves, and v2 is under way, judged by the figures."""
        await self.apply("v1")
        await self.until_phase("Stable", "v1")
        await self.apply("v2", steps=steps, soak=soak, analysis=self._analysis(**more))
        await self.until_weight(20)

    def _analysis(self, **more: Any) -> Any:
        url = f"http://127.0.0.1:{self.figures.port}/figures"
        metric = {"name": "queue", "web": {"url": url, "jsonPath": "$.queue", "timeout": "1s"}, "max": 5, **more}
        return {"interval": "1s", "metrics": [metric]}

    async def begin(self, name: str, version: str, steps: Any = STEPS) -> None:
        """Apply a version of one object of many, which is judged from the first look on."""
        ready = {"ready": "5m"}  # of all their pods together
        body = model_deployment(self.namespace, version, steps=steps, analysis=self._analysis(), deadlines=ready)
        body["metadata"]["name"] = name
        body["spec"]["replicas"] = 1
        body["spec"]["traffic"]["gateway"]["hostnames"] = [f"{name}.example"]
        await self.kube.apply(kinds.MODEL_DEPLOYMENT, body)

    async def until_all(self, holds: Callable[[Any], bool]) -> None:
        """Wait until the status of every object is so."""

        async def reached() -> bool:
            found = await self.kube.list(kinds.MODEL_DEPLOYMENT, self.namespace)
            return all(holds(one.get("status", {})) for one in found)

        await self.until(reached, seconds=30 + 5 * JUDGED)

    async def until_ready_says(self, reason: str) -> str:
        said = ""

        async def reached() -> bool:
            nonlocal said
            ready = [one for one in (await self.status()).get("conditions", ()) if one["type"] == "Ready"]
            said = ready[0]["message"] if ready else ""
            return bool(ready) and ready[0]["reason"] == reason

        await self.until(reached)
        return said


@pytest.fixture
async def judged(
    controllers: ApiServer, custom_resources: None, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Judging]:
    monkeypatch.setenv("KUBECONFIG", str(controllers.kubeconfig))
    figures = Figures()
    await figures.start()
    async with Kube.connect(kubeconfig=str(controllers.kubeconfig)) as kube:
        cluster = Judging(kube, namespace, figures)
        async with cluster.actors():
            yield cluster
    await figures.stop()


async def test_r2_a_figure_beyond_its_bound_takes_the_candidate_back(judged: Judging) -> None:
    """Breaks if a look's verdict does not wake the queue, or does not reach the plan."""
    async with judged.operator():
        await judged.rolls(steps=[{"weight": 20, "hold": "1h"}])
        judged.figures.value = 9.0
        await judged.until_phase("RolledBack", "v1")
        assert judged.gateway.weights[-1].get("digits-w2", 0) == 0
        status = await judged.status()
        assert status["rejectedReason"] == "MetricFailed"
        assert status["rejectedMessage"] == "queue: queue 9 is above max 5 → rolled back at 20 %"
        assert status["metrics"][0]["verdict"] == "Fail"


async def test_r5_no_figure_holds_the_rollout_until_there_is_one(judged: Judging) -> None:
    """Breaks if silence counts as good, or as bad."""
    async with judged.operator():
        judged.figures.value = None
        await judged.rolls()
        await judged.until_ready_says("NoData")
        judged.figures.value = 1.0
        await judged.until_phase("Stable", "v2")


async def test_r5_silence_counts_as_declared_once_it_has_lasted(judged: Judging) -> None:
    async with judged.operator():
        judged.figures.value = None
        await judged.rolls(onNoData={"action": "Fail", "after": "2s"})
        await judged.until_phase("RolledBack", "v1")
        assert (await judged.status())["rejectedReason"] == "NoData"


async def test_r6_a_source_that_is_down_holds_the_rollout_until_it_is_back(judged: Judging) -> None:
    """Breaks if an outage of the metric source is taken for a fault of the candidate."""
    async with judged.operator():
        await judged.figures.stop()
        await judged.rolls()
        said = await judged.until_ready_says("MetricSourceUnavailable")
        assert f"127.0.0.1:{judged.figures.port}" in said
        await judged.figures.start()
        await judged.until_phase("Stable", "v2")


async def test_r2_a_bad_figure_in_the_soak_returns_all_traffic(judged: Judging) -> None:
    async with judged.operator():
        await judged.rolls(soak="1h")
        await judged.until_phase("Soaking", "v2")
        judged.figures.value = 9.0
        await judged.until_phase("RolledBack", "v1")


class Routes(actors.Gateway):
    """One gateway for many objects, each with weights of its own."""

    def __init__(self, kube: Kube, namespace: str) -> None:
        super().__init__(kube, namespace)
        self._now: dict[str, int] = {}

    def _follow(self, weights: dict[str, int]) -> None:
        self._now |= weights

    async def answers(self, namespace: str, model: str, spec: ModelDeploymentSpec) -> Counter[str] | None:
        found: Counter[str] = Counter()
        for deployment in await self._kube.list(kinds.DEPLOYMENT, namespace, f"{LABEL_DEPLOYMENT}={model}"):
            found[deployment["metadata"]["labels"][LABEL_REVISION]] += self._now.get(deployment["metadata"]["name"], 0)
        return +found or None


@pytest.mark.timeout(900)
async def test_figures_that_change_every_second_cost_a_status_write_every_ten(
    controllers: ApiServer, custom_resources: None, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Breaks if each look is written down: fifty rollouts (LUNTRA_JUDGED=50) would write fifty times a second."""
    monkeypatch.setenv("KUBECONFIG", str(controllers.kubeconfig))
    monkeypatch.setattr(actors, "PERIOD", 1.0)  # they share a process with the operator
    written: Counter[tuple[str, str]] = Counter()
    figures = Figures()
    await figures.start()
    async with Kube.connect(
        kubeconfig=str(controllers.kubeconfig), witness=lambda verb, plural, *_: written.update([(verb, plural)])
    ) as kube:
        cluster = Judging(kube, namespace, figures)
        cluster.gateway = Routes(kube, namespace)
        async with cluster.actors(), cluster.operator():
            for number in range(JUDGED):
                await cluster.begin(f"digits-{number}", "v1")
            await cluster.until_all(lambda status: status.get("phase") == "Stable")
            for number in range(JUDGED):
                await cluster.begin(f"digits-{number}", "v2", [{"weight": 20, "hold": "1h"}])
            await cluster.until_all(lambda status: [one["verdict"] for one in status.get("metrics", [])] == ["Pass"])
            before, asked, began = written["update", "modeldeployments"], figures.asked, time.monotonic()
            while time.monotonic() < began + WINDOW:
                figures.value = 1.0 + 0.01 * (figures.asked % 300)
                await asyncio.sleep(0.2)
            writes, looks = written["update", "modeldeployments"] - before, figures.asked - asked
    await figures.stop()
    print(f"{JUDGED} rollouts, {looks} looks in {WINDOW:g} s: {writes} status writes")
    assert looks >= 0.5 * WINDOW * JUDGED
    assert JUDGED <= writes <= JUDGED * (WINDOW / 10 + 1)
