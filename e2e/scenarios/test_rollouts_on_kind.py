"""Scenarios R1, R3, R4, R10, R14 and R17 on the real cluster: real pods, a real gateway, a client that counts.

What would break each is in its docstring.
"""

import asyncio
import time
from itertools import pairwise

import pytest

from e2e.installation import NAMESPACE, Installation, helm
from e2e.scenarios.arena import NAME, Arena, followed
from e2e.scenarios.judged import ERRORS, judged
from luntra_operator.kube import kinds

pytestmark = pytest.mark.timeout(420)
V1, V2, V3 = "digits-w1", "digits-w2", "digits-w3"


async def test_r1_happy_path_loses_no_request(arena: Arena) -> None:
    """Breaks if a weight is written before the pods are ready, a step is cut short, or the old pods go too early."""
    await arena.apply("v1")
    await arena.until_phase("Stable", "v1")
    async with arena.load() as load, followed(arena) as weights:
        await arena.apply("v2")
        await arena.until_phase("Stable", "v2")
        await arena.until_gone(V1)

        async def measured() -> bool:
            return (await arena.counted()).get("v2", 0) > 100

        await arena.until(measured)
    assert load.errors == []
    assert weights.shares(V2) == [0, 10, 50, 100]
    moments = [at for at, seen in zip(weights.at, weights.seen, strict=True) if seen.get(V2) in (10, 50, 100)]
    assert all(later - earlier >= 3 for earlier, later in pairwise(moments[:3]))
    assert {answer.version for answer in load.answers[-20:]} == {"v2"}
    service = await arena.kube.get(kinds.SERVICE, arena.namespace, NAME)
    assert service
    assert service["spec"]["selector"] == {"luntra.io/workload": V2}


async def test_r3_candidate_whose_image_is_missing_never_gets_traffic(arena: Arena) -> None:
    """Breaks if traffic does not wait for readiness, or the deadline or the pod's own reason is lost."""
    await arena.apply("v1")
    await arena.until_phase("Stable", "v1")
    before = {pod["metadata"]["uid"] for pod in await arena.pods(V1)}
    async with arena.load() as load, followed(arena) as weights:
        body = arena.body("v2", deadlines={"ready": "8s"})
        body["spec"]["serving"]["image"] = "luntra/inference:never-built"
        await arena.apply_body(body)
        await arena.until_phase("RolledBack", "v1")
        await arena.until_gone(V2)
    status = await arena.status()
    assert status["rejectedReason"] == "ImagePullFailed"
    assert "luntra/inference:never-built" in status["rejectedMessage"]
    assert load.errors == []
    assert weights.seen == [{V1: 100}]
    assert {pod["metadata"]["uid"] for pod in await arena.pods(V1)} == before


@pytest.mark.parametrize("how", ["killed", "deleted", "killed while metrics are looked at"])
async def test_r4_traffic_leaves_a_candidate_that_dies(arena: Arena, installation: Installation, how: str) -> None:
    """Breaks if pod events do not wake the engine, or a rollback waits for a timer: hold and interval here are ten minutes."""
    await arena.apply("v1")
    await arena.until_phase("Stable", "v1")
    await arena.apply(
        "v2",
        steps=[{"weight": 30, "hold": "10m"}],
        **({"analysis": judged(ERRORS, interval="10m")} if "metrics" in how else {}),
    )
    await arena.until_weight(30)
    async with arena.load() as load, followed(arena) as weights:
        pods = await arena.pods(V2)
        died = time.time()
        if how == "deleted":
            names = [pod["metadata"]["name"] for pod in pods]
            installation.cluster.kubectl(
                "delete", "pod", *names, f"--namespace={arena.namespace}", "--grace-period=0", "--force", "--wait=false"
            )
        else:
            for pod in pods:
                container = pod["status"]["containerStatuses"][0]["containerID"].removeprefix("containerd://")
                installation.cluster.in_node("ctr", "--namespace=k8s.io", "task", "kill", "--signal=SIGKILL", container)
        await arena.until_phase("RolledBack", "v1")
        await asyncio.sleep(3)
    status = await arena.status()
    assert status["rejectedReason"] == "CandidateDied"
    left = next(at for at, seen in zip(weights.at, weights.seen, strict=True) if at > died and not seen.get(V2))
    assert left - died < 10
    assert not [answer for answer in load.answers if answer.error and answer.at > left + 1]
    assert {answer.version for answer in load.answers if answer.at > left + 1} == {"v1"}


async def test_r10_newer_version_in_mid_rollout_replaces_the_candidate(arena: Arena) -> None:
    """Breaks if two candidates ever share the traffic, or a backend is named whose pods are gone."""
    await arena.apply("v1")
    await arena.until_phase("Stable", "v1")
    async with arena.load() as load, followed(arena) as weights:
        await arena.apply("v2", steps=[{"weight": 30, "hold": "10m"}])
        await arena.until_weight(30)
        await arena.apply("v2.1", bundle="v2")
        await arena.until_phase("Stable", "v2.1")
        await arena.until_gone(V1, V2)
    assert load.errors == []
    assert not any(seen.get(V2) and seen.get(V3) for seen in weights.seen)
    assert weights.shares(V2) == [0, 30, 0]
    assert weights.shares(V3) == [0, 10, 50, 100]
    history = (await arena.status())["history"]
    assert [entry["outcome"] for entry in history] == ["Promoted", "Superseded", "Promoted"]


async def test_r10_return_to_the_stable_version_is_immediate(arena: Arena) -> None:
    """Breaks if going back is treated as a rollout of its own, with pods to start and checks to run."""
    await arena.apply("v1")
    await arena.until_phase("Stable", "v1")
    async with arena.load() as load, followed(arena) as weights:
        await arena.apply("v2", steps=[{"weight": 30, "hold": "10m"}])
        await arena.until_weight(30)
        asked = time.time()
        await arena.apply("v1")
        await arena.until_phase("Stable", "v1")
        await arena.until_gone(V2)
    assert load.errors == []
    left = next(at for at, seen in zip(weights.at, weights.seen, strict=True) if at > asked and seen.get(V2) == 0)
    assert left - asked < 5
    assert "rejectedRevision" not in await arena.status()


async def test_r14_upgraded_operator_with_a_new_default_image_changes_nothing(
    arena: Arena, installation: Installation
) -> None:
    """Breaks if a revision or a pod template depends on the operator's settings instead of the ControllerRevision."""
    await arena.apply("v1")
    await arena.until_phase("Stable", "v1")
    deployment = await arena.kube.get(kinds.DEPLOYMENT, arena.namespace, V1)
    attempt = (await arena.status())["attempt"]
    async with arena.load() as load:
        try:
            helm(installation.cluster, installation.operator_image, "luntra/inference:another-default")
            await arena.apply("v1", soak="3s")
            await arena.until_phase("Stable", "v1")
            await asyncio.sleep(2)
        finally:
            helm(installation.cluster, installation.operator_image, installation.inference_image)
    after = await arena.kube.get(kinds.DEPLOYMENT, arena.namespace, V1)
    assert deployment
    assert after
    assert after["metadata"]["generation"] == deployment["metadata"]["generation"]
    assert (await arena.status())["attempt"] == attempt
    assert load.errors == []


@pytest.mark.parametrize("phase", ["Preparing", "Shifting", "Stable"])
async def test_r17_deletion_leaves_nothing_behind(arena: Arena, installation: Installation, phase: str) -> None:
    """Breaks if a child has no owner reference, or a finalizer needs the operator; in Shifting it is down."""
    cluster = installation.cluster
    await arena.apply("v1")
    await arena.until_phase("Stable", "v1")
    if phase == "Preparing":
        body = arena.body("v2")
        body["spec"]["serving"]["image"] = "luntra/inference:never-built"
        await arena.apply_body(body)
    elif phase == "Shifting":
        await arena.apply("v2", steps=[{"weight": 30, "hold": "10m"}])
    await arena.until_phase(phase)
    down = phase == "Shifting"
    operator = ["deployment/luntra", f"--namespace={NAMESPACE}"]
    try:
        if down:
            cluster.kubectl("scale", *operator, "--replicas=0")
            cluster.kubectl(
                "wait",
                "--for=delete",
                "pod",
                "--selector=app.kubernetes.io/name=luntra-operator",
                f"--namespace={NAMESPACE}",
            )
        await arena.kube.delete(kinds.MODEL_DEPLOYMENT, arena.namespace, NAME)

        async def nothing() -> bool:
            return not await arena.children()

        await arena.until(nothing)
    finally:
        if down:
            cluster.kubectl("scale", *operator, "--replicas=1")
            cluster.kubectl("rollout", "status", *operator, "--timeout=60s")
