"""Scenarios R2, R5 and R6 on the real cluster: real models, real pods' counters, a real Prometheus, and faults of theirs.

What would break each is in its docstring.
"""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import yaml

from e2e.installation import Installation
from e2e.kind import prometheus
from e2e.scenarios.arena import Arena, Object, followed
from e2e.scenarios.judged import ERRORS, FAILED, judged

pytestmark = pytest.mark.timeout(420)
V1, V2 = "digits-w1", "digits-w2"
ALERTS = Path(__file__).parents[2] / "charts" / "luntra" / "files" / "alerts.yaml"
PROPAGATION = 1.0
"""Seconds that the gateway may take to follow a write; measured are 0.1."""


async def beside(arena: Arena, version: str, weight: int, analysis: Object, hold: str = "3s") -> None:
    """Have a version beside v1 at a step."""
    await arena.apply(version, steps=[{"weight": weight, "hold": hold}], analysis=analysis)
    await arena.until_weight(weight)


@pytest.fixture(autouse=True)
async def stable(arena: Arena) -> None:
    """v1 serves."""
    await arena.apply("v1")
    await arena.until_phase("Stable", "v1")


@contextmanager
def unheard(installation: Installation, pods: list[Object]) -> Iterator[None]:
    """The management port of these pods answers no other pod for as long as the context lasts; the kubelet's probes get through."""
    addresses = [pod["status"]["podIP"] for pod in pods]
    what = ("--protocol", "tcp", "--dport", "8090", "--jump", "REJECT")
    rules = [("FORWARD", "--destination", address, *what) for address in addresses]
    try:
        for rule in rules:
            installation.cluster.in_node("iptables", "--insert", *rule)
        yield
    finally:
        for rule in rules:
            installation.cluster.in_node("iptables", "--delete", *rule)


async def alerted(arena: Arena, alert: str) -> bool:
    """Whether Prometheus would fire one of the chart's alerts for the arena's object."""
    rules = [rule for group in yaml.safe_load(ALERTS.read_text())["groups"] for rule in group["rules"]]
    [expression] = [rule["expr"] for rule in rules if rule["alert"] == alert]
    return any(one["metric"]["namespace"] == arena.namespace for one in await arena.series(expression))


async def test_r2_model_that_fails_on_some_inputs_is_taken_back(arena: Arena) -> None:
    """Breaks if the pods' counters are not read, the versions' are mixed up, nobody is alerted, or the rollback waits for the
    step: it holds ten minutes.
    """
    async with arena.load(rate=60, brighter=0.05) as load, followed(arena) as weights:
        await beside(arena, "v5", 50, judged(ERRORS), hold="10m")
        await arena.until_phase("RolledBack", "v1")
        await arena.until_gone(V2)
        await asyncio.sleep(2)
    status = await arena.status()
    assert status["rejectedReason"] == "MetricFailed"
    assert status["rejectedMessage"].endswith("→ rolled back at 50 %")
    assert (await arena.metric("errors"))["samples"] >= 30
    assert load.lost == []
    assert {answer.version for answer in load.answers if answer.failed} == {"v5"}
    assert weights.shares(V2) == [0, 50, 0]
    taken = weights.at[[seen.get(V2) for seen in weights.seen].index(50) + 1]
    assert {answer.version for answer in load.answers if answer.at > taken + PROPAGATION} == {"v1"}
    await arena.until(lambda: alerted(arena, "LuntraRolledBack"))


async def test_r5_rollout_waits_for_somebody_to_ask_and_goes_on_then(arena: Arena) -> None:
    """Breaks if silence counts for or against a version, or is not told: two seconds' hold are long over."""
    async with followed(arena) as weights:
        await beside(arena, "v2", 20, judged(ERRORS | {"minSamples": 20}), hold="2s")
        await arena.until_ready_says("NoData")
        await asyncio.sleep(5)
        assert weights.shares(V2) == [0, 20]
        async with arena.load() as load:
            await arena.until_phase("Stable", "v2")
    assert load.errors == []
    assert weights.shares(V2) == [0, 20, 100]


async def test_r5_silence_counts_as_failed_where_that_is_declared(arena: Arena) -> None:
    """Breaks if the policy or its time is not heeded."""
    silent = {"action": "Fail", "after": "12s"}
    async with followed(arena) as weights:
        await beside(arena, "v2", 20, judged(ERRORS | {"onNoData": silent}))
        await arena.until_phase("RolledBack", "v1")
    status = await arena.status()
    assert status["rejectedReason"] == "NoData"
    assert "given up after 12 s" in status["rejectedMessage"]
    assert weights.shares(V2) == [0, 20, 0]


async def test_r6_pods_that_do_not_tell_what_they_have_counted_hold_the_rollout(
    arena: Arena, installation: Installation
) -> None:
    """Breaks if an answer that does not come is taken for a verdict, or what was counted meanwhile is lost."""
    async with arena.load() as load, followed(arena) as weights:
        await beside(arena, "v2", 30, judged(ERRORS), hold="15s")
        with unheard(installation, await arena.pods(V2)):
            await arena.until_ready_says("MetricSourceUnavailable")
            await asyncio.sleep(15)  # by now it would have been held for long enough
            assert (await arena.metric("errors"))["verdict"] == "Error"
            assert weights.shares(V2) == [0, 30]
        await arena.until_phase("Stable", "v2")
    assert load.errors == []
    assert weights.shares(V2) == [0, 30, 100]


async def test_r6_nan_and_a_prometheus_that_is_down_hold_the_rollout(arena: Arena, installation: Installation) -> None:
    """Breaks if 0/0 or a source that does not answer is taken for a value, or the source is not asked again afterwards."""
    failed = {"name": "failed", "prometheus": {"query": FAILED}, "window": "10s", "max": 0.02}
    async with followed(arena) as weights:
        await beside(arena, "v2", 30, judged(failed), hold="2s")
        await arena.until_ready_says("NoData")
        try:
            _prometheus(installation, replicas=0)
            await arena.until_ready_says("MetricSourceUnavailable")
            async with arena.load() as load:
                await asyncio.sleep(3)
                assert weights.shares(V2) == [0, 30]
                _prometheus(installation, replicas=1)
                await arena.until_phase("Stable", "v2")
        finally:
            _prometheus(installation, replicas=1)
            await asyncio.to_thread(prometheus.wait, installation.cluster)
    assert load.errors == []
    assert weights.shares(V2) == [0, 30, 100]


async def test_r2_model_that_a_prometheus_finds_bad_is_taken_back(arena: Arena) -> None:
    """Breaks if a query is not filled in for the candidate, or its verdict decides nothing."""
    failed = {"name": "failed", "prometheus": {"query": FAILED}, "window": "10s", "max": 0.02, "consecutive": 2}
    async with arena.load(rate=60, brighter=0.2) as load:
        await beside(arena, "v5", 50, judged(failed), hold="10m")
        await arena.until_phase("RolledBack", "v1")
    status = await arena.status()
    assert status["rejectedReason"] == "MetricFailed"
    assert status["rejectedMessage"].startswith("failed: ")
    assert load.lost == []


def _prometheus(installation: Installation, replicas: int) -> None:
    where = ("deployment/prometheus", f"--namespace={prometheus.NAMESPACE}")
    installation.cluster.kubectl("scale", *where, f"--replicas={replicas}")
