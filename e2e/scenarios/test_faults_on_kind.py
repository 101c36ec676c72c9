"""Scenarios R7, R8 and R13 on the real cluster: what may happen to a rollout from outside.

What would break each is in its docstring. Answers have five seconds here: an operator that starts takes a processor for two.
"""

import asyncio
import json
import random
import time
from functools import partial

import pytest

from e2e.demo.records import Answer
from e2e.installation import Installation
from e2e.scenarios.arena import NAME, Arena, Load, Object, followed
from e2e.scenarios.judged import ERRORS, judged
from e2e.scenarios.killing import Operator
from luntra_operator.cli.change import change
from luntra_operator.cli.objects import ClusterObjects
from luntra_operator.kube import kinds

pytestmark = pytest.mark.timeout(420)
V1, V2 = "digits-w1", "digits-w2"
SEED = 7
DECLARED = {V1: 70, V2: 30}
QUOTA = kinds.Kind("", "v1", "resourcequotas", "ResourceQuota")
PROPAGATION = 1.0
"""Seconds that the gateway may take to follow a write; measured are 0.1."""


async def apply(arena: Arena, version: str, holds: dict[int, str], replicas: int = 2) -> None:
    """Apply a version whose steps have these weights and holds."""
    body = arena.body(version, steps=[{"weight": weight, "hold": hold} for weight, hold in holds.items()])
    body["spec"]["serving"]["runtime"]["deadline"] = "5s"
    await arena.apply_body(body | {"spec": body["spec"] | {"replicas": replicas}})


async def test_r7_operator_killed_at_any_moment_continues_where_it_was(
    arena: Arena, installation: Installation
) -> None:
    """Breaks if anything of a rollout is only in memory: a step would be repeated, skipped or cut short, or a start would write.

    The second hold outlasts the outages, so that there is nothing to be written when an operator starts.
    """
    chance, operator = random.Random(SEED), Operator(arena, installation)
    holds = {10: 4, 30: 25, 60: 4}
    begun: dict[int, set[str]] = {}

    def heard(found: Object) -> None:
        step = found.get("status", {}).get("step", {})
        if "startedAt" in step:
            begun.setdefault(step["weight"], set()).add(step["startedAt"])

    await apply(arena, "v1", {})
    await arena.until_phase("Stable", "v1")
    watched = arena.watched(kinds.MODEL_DEPLOYMENT, heard)
    async with arena.load() as load, followed(arena) as weights, watched:
        await apply(arena, "v2", {weight: f"{hold}s" for weight, hold in holds.items()})
        for how in ("process", "pod", "process"):
            await operator.until_leading()
            await asyncio.sleep(chance.uniform(0, 5))
            await operator.kill(how)
        await arena.until_phase("Stable", "v2")
        await arena.until_gone(V1)
    assert load.errors == []
    assert weights.shares(V2) == [0, 10, 30, 60, 100]
    assert all(lasted >= holds[weight] for weight, lasted in weights.spans(V2) if weight in holds)
    assert {weight: len(moments) for weight, moments in begun.items()} == {10: 1, 30: 1, 60: 1, 100: 1}
    assert operator.kills[-1].at < weights.at[-2]


async def test_r8_weights_that_somebody_else_changes_are_restored(arena: Arena, installation: Installation) -> None:
    """Breaks if the route is not watched, a foreign weight is taken for progress, or a repair begins the step anew."""
    edits = [{V1: 0, V2: 100}, {V1: 0, V2: 0}, {V1: 50, V2: 50}, {V1: 100, V2: 0}]

    async def settled() -> bool:
        return (await arena.status())["traffic"].get("observed") == 30

    async def told(edit: dict[str, int]) -> bool:
        text = f"weights were changed by somebody else ({V1}={edit[V1]}, {V2}={edit[V2]}) and are restored"
        events = await arena.kube.list(kinds.EVENT, arena.namespace)
        return any(one["reason"] == "RouteRepaired" and one["message"] == text for one in events)

    await apply(arena, "v1", {})
    await arena.until_phase("Stable", "v1")
    await apply(arena, "v2", {30: "10m"})
    await arena.until_weight(30)
    await arena.until(settled)
    before = await arena.status()
    async with arena.load() as load, followed(arena) as weights:
        for edit in edits:
            _edit(arena, installation, edit)
            await arena.until(partial(told, edit))
            await arena.until(settled)
        after = await arena.status()
    assert weights.seen == [DECLARED, *(seen for edit in edits for seen in (edit, DECLARED))]
    assert (after["phase"], after["step"], after["attempt"]) == ("Shifting", before["step"], before["attempt"])
    lasted = [later - at for at, later in zip(weights.at[1::2], weights.at[2::2], strict=True)]
    print(f"restored after {', '.join(f'{1000 * one:.0f}' for one in lasted)} ms")
    assert max(lasted) < 10
    nobody = 1 + 2 * edits.index({V1: 0, V2: 0})
    assert _errors_outside(load, weights.at[nobody], weights.at[nobody + 1]) == []


def _edit(arena: Arena, installation: Installation, weights: dict[str, int]) -> None:
    """Write weights into the route as a person does."""
    patch = [
        {"op": "replace", "path": f"/spec/rules/0/backendRefs/{place}/weight", "value": weights[workload]}
        for place, workload in enumerate((V1, V2))
    ]
    where = ("httproute", NAME, f"--namespace={arena.namespace}")
    installation.cluster.kubectl("patch", *where, "--type=json", f"--patch={json.dumps(patch)}")


def _errors_outside(load: Load, begin: float, end: float) -> list[Answer]:
    """Client errors but those of requests that were under way between two moments, or until the gateway had followed."""
    return [one for one in load.answers if one.error and not begin - one.latency <= one.at <= end + PROPAGATION]


async def _beside_a_candidate(arena: Arena, replicas: int) -> list[str]:
    """Bring a candidate to 30 % of the traffic; the names of the stable pods beside it."""
    await apply(arena, "v1", {}, replicas)
    await arena.until_phase("Stable", "v1")
    await apply(arena, "v2", {30: "10m"}, replicas)
    await arena.until_weight(30)
    return [pod["metadata"]["name"] for pod in await arena.pods(V1)]


async def _rejected_after_losing(pods: list[str], left: int, arena: Arena, installation: Installation) -> None:
    """Reject the candidate once the operator knows that `left` stable pods are left."""
    await _lose(pods, left, arena, installation)
    await change("abort", arena.namespace, NAME, None, ClusterObjects(arena.kube))
    await arena.until_phase("RolledBack", "v1")


async def _lose(pods: list[str], left: int, arena: Arena, installation: Installation) -> None:
    """Take stable pods away for as long as the quota stays, until the operator knows that `left` are left."""
    quota = {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "full", "namespace": arena.namespace}}
    await arena.kube.apply(QUOTA, quota | {"spec": {"hard": {"pods": "0"}}})

    async def counted() -> bool:
        found = await arena.kube.get(QUOTA, arena.namespace, "full") or {}
        return "pods" in found.get("status", {}).get("used", {})

    async def noticed() -> bool:
        return (await arena.status())["stable"]["readyReplicas"] == left

    await arena.until(counted)
    installation.cluster.kubectl("delete", "pod", *pods, f"--namespace={arena.namespace}")
    await arena.until(noticed)


async def _told(arena: Arena) -> list[str]:
    return [(await arena.condition(kind))["message"] for kind in ("Ready", "Available")]


async def test_r13_rejected_candidate_gets_nothing_though_most_stable_pods_are_down(
    arena: Arena, installation: Installation
) -> None:
    """Breaks if a degraded stable version is taken for a dead one, or if the status keeps it to itself."""
    pods = await _beside_a_candidate(arena, replicas=4)
    async with arena.load() as load, followed(arena) as weights:
        await _rejected_after_losing(pods[:3], 1, arena, installation)
        told = await _told(arena)
        await arena.until_gone(V2)
    assert load.errors == []
    assert weights.shares(V2) == [30, 0]
    assert {answer.version for answer in load.answers if answer.at > weights.at[1] + PROPAGATION} == {"v1"}
    assert all(message.endswith("v1 serves with 1 of 4 pods") for message in told)


async def test_r13_candidate_that_fails_requests_gets_nothing_though_most_stable_pods_are_down(
    arena: Arena, installation: Installation
) -> None:
    """Breaks if a metric's verdict waits for the stable pods, or figures of fewer pods are taken for silence."""
    body = arena.body("v1")
    body["spec"]["replicas"] = 4
    await arena.apply_body(body)
    await arena.until_phase("Stable", "v1")
    body = arena.body("v5", steps=[{"weight": 30, "hold": "10m"}], analysis=judged(ERRORS))
    body["spec"]["replicas"] = 4
    await arena.apply_body(body)
    await arena.until_weight(30)
    await _lose([pod["metadata"]["name"] for pod in await arena.pods(V1)][:3], 1, arena, installation)
    async with arena.load(brighter=0.2) as load, followed(arena) as weights:
        await arena.until_phase("RolledBack", "v1")
        told = await _told(arena)
        await arena.until_gone(V2)
    assert (await arena.status())["rejectedReason"] == "MetricFailed"
    assert load.lost == []
    assert weights.shares(V2) == [30, 0]
    assert {answer.version for answer in load.answers if answer.at > weights.at[1] + PROPAGATION} == {"v1"}
    assert all(message.endswith("v1 serves with 1 of 4 pods") for message in told)


async def test_r13_rejected_candidate_keeps_its_traffic_while_no_stable_pod_is_ready(
    arena: Arena, installation: Installation
) -> None:
    """Breaks if traffic that is answered goes to a version that cannot answer, or stays once that one can."""
    pods = await _beside_a_candidate(arena, replicas=1)
    async with arena.load() as load, followed(arena) as weights:
        down = time.time()
        await _rejected_after_losing(pods, 0, arena, installation)
        rejected, told = time.time(), await _told(arena)
        await asyncio.sleep(3)
        assert weights.seen == [DECLARED]
        await arena.kube.delete(QUOTA, arena.namespace, "full")
        stable = (f"--namespace={arena.namespace}", f"--selector=luntra.io/workload={V1}")
        installation.cluster.kubectl("annotate", "replicaset", *stable, "quota=lifted")  # else it looks after a minute
        await arena.until_gone(V2)
        await asyncio.sleep(2)
    returned = weights.at[1]
    kept = "no pod of v1 is ready; digits-w2 keeps 30 % of the traffic until one is"
    assert all(message.endswith(kept) for message in told)
    assert sum(one.version == "v2" and not one.error for one in load.answers if rejected < one.at < returned) > 30
    assert _errors_outside(load, down, returned) == []
    assert {one.version for one in load.answers if one.at > returned + PROPAGATION} == {"v1"}
