"""The operator's whole control loop against a real API server: watches, reconciliation, status, routes, garbage collection.

Nodes and the gateway are played by `actors`. Each scenario has its own namespace.
"""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from e2e.kind.control_plane import ApiServer
from luntra_operator.cli.change import change
from luntra_operator.cli.objects import ClusterObjects
from luntra_operator.controller.execute import Images
from luntra_operator.controller.queue import WorkQueue
from luntra_operator.controller.reconcile import Reconciler
from luntra_operator.kube import kinds
from luntra_operator.kube.client import Kube
from luntra_operator.runtime.watches import Watches
from tests.integration import actors

Object = dict[str, Any]
IMAGES = Images(serving="luntra/inference:1", checks="luntra/operator:1")
NAME = "digits"


def model_deployment(namespace: str, version: str = "v1", **rollout: Any) -> Object:
    return {
        "apiVersion": "luntra.io/v1alpha1",
        "kind": "ModelDeployment",
        "metadata": {"name": NAME, "namespace": namespace},
        "spec": {
            "model": {
                "version": version,
                "uri": f"https://models.example/{version}",
                "digest": "sha256:" + hashlib.sha256(version.encode()).hexdigest(),
            },
            "serving": {"runtime": {"deadline": "500ms"}},
            "replicas": 2,
            "traffic": {"gateway": {"parentRefs": [{"name": "gateway"}], "hostnames": ["digits.example"]}},
            "rollout": {
                "steps": [{"weight": 20, "hold": "1s"}, {"weight": 60, "hold": "1s"}],
                "soak": "1s",
                "deadlines": {"ready": "4s"},
                **rollout,
            },
        },
    }


class Cluster:
    """A namespace with a kubelet, a gateway and, while `operator()` is open, an operator."""

    def __init__(self, kube: Kube, namespace: str) -> None:
        self.kube, self.namespace = kube, namespace
        self.kubelet = actors.Kubelet(kube, namespace)
        self.gateway = actors.Gateway(kube, namespace)

    @asynccontextmanager
    async def actors(self) -> AsyncIterator[None]:
        async with _running(self.kubelet.run(), self.gateway.run()):
            yield

    @asynccontextmanager
    async def operator(self, images: Images = IMAGES) -> AsyncIterator[None]:
        queue = WorkQueue(Reconciler(self.kube, self.gateway, images))
        async with _running(queue.run(), Watches(queue, (self.namespace,)).run(asyncio.Event())):
            yield

    async def apply(self, version: str = "v1", **rollout: Any) -> Object:
        return await self.kube.apply(kinds.MODEL_DEPLOYMENT, model_deployment(self.namespace, version, **rollout))

    async def luntra(self, verb: str) -> str:
        """What a person types: `luntra VERB digits`."""
        return await change(verb, self.namespace, NAME, None, ClusterObjects(self.kube))

    async def status(self) -> Object:
        found = await self.kube.get(kinds.MODEL_DEPLOYMENT, self.namespace, NAME)
        status: Object = (found or {}).get("status", {})
        return status

    async def until(self, holds: Callable[[], Awaitable[bool]], seconds: float = 90) -> None:
        try:
            async with asyncio.timeout(seconds):
                while not await holds():  # noqa: ASYNC110 - the other side is an API server
                    await asyncio.sleep(0.05)
        except TimeoutError:
            raise AssertionError(f"did not come true within {seconds} s; status: {await self.status()}") from None

    async def until_phase(self, phase: str, version: str | None = None) -> None:
        async def reached() -> bool:
            status = await self.status()
            stable = status.get("stable", {}).get("version")
            return status.get("phase") == phase and version in (None, stable)

        await self.until(reached)

    async def until_weight(self, weight: int) -> None:
        async def reached() -> bool:
            return (await self.status()).get("step", {}).get("weight") == weight

        await self.until(reached)

    async def until_divided(self, weights: dict[str, int]) -> None:
        """Wait until the gateway divides the traffic like this, which it may learn after the status has told of it."""

        async def reached() -> bool:
            return self.gateway.weights[-1:] == [weights]

        await self.until(reached)

    async def until_gone(self, *names: str) -> None:
        async def reached() -> bool:
            present = {child["metadata"]["name"] for child in await self.children()}
            return not present & set(names)

        await self.until(reached)

    async def children(self) -> list[Object]:
        found = []
        for kind in (
            kinds.DEPLOYMENT,
            kinds.SERVICE,
            kinds.CONFIG_MAP,
            kinds.POD_DISRUPTION_BUDGET,
            kinds.JOB,
            kinds.CONTROLLER_REVISION,
            kinds.POD,
            kinds.HTTP_ROUTE,
            kinds.GRPC_ROUTE,
        ):
            found += await self.kube.list(kind, self.namespace, f"luntra.io/model-deployment={NAME}")
        return found

    async def delete_with_all_of_it(self) -> None:
        """Delete the object, and wait until nothing is left of what belonged to it."""
        await self.kube.delete(kinds.MODEL_DEPLOYMENT, self.namespace, NAME)

        async def nothing() -> bool:
            return not await self.children()

        await self.until(nothing, seconds=90)  # the garbage collector looks for kinds that are new every 30 s

    async def events(self) -> list[tuple[str, str]]:
        return [(one["reason"], one["message"]) for one in await self.kube.list(kinds.EVENT, self.namespace)]


@asynccontextmanager
async def _running(*work: Any) -> AsyncIterator[None]:
    tasks = [asyncio.ensure_future(one) for one in work]
    try:
        yield
    finally:
        for task in tasks:
            if task.done() and not task.cancelled():
                task.result()
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


@pytest.fixture
async def cluster(
    controllers: ApiServer, custom_resources: None, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Cluster]:
    monkeypatch.setenv("KUBECONFIG", str(controllers.kubeconfig))
    async with Kube.connect(kubeconfig=str(controllers.kubeconfig)) as kube:
        fresh = Cluster(kube, namespace)
        async with fresh.actors():
            yield fresh


async def test_r1_new_version_takes_over_step_by_step(cluster: Cluster) -> None:
    """Breaks if a step is skipped or written twice, or conditions, Service or leftovers are not as promised at the end."""
    async with cluster.operator():
        await cluster.apply("v1")
        await cluster.until_phase("Stable", "v1")
        await cluster.apply("v2")
        await cluster.until_phase("Stable", "v2")
        await cluster.until_gone("digits-w1")
    shares = [weights.get("digits-w2") for weights in cluster.gateway.weights if "digits-w2" in weights]
    assert shares == [0, 20, 60, 100, 100]
    status = await cluster.status()
    conditions = {one["type"]: one["status"] for one in status["conditions"]}
    assert conditions == {"Ready": "True", "Reconciling": "False", "Stalled": "False", "Available": "True"}
    assert status["observedGeneration"] == 2
    assert (status["replicas"], status["selector"]) == (2, "luntra.io/workload=digits-w2")
    assert {"RolloutStarted", "WeightChanged", "Promoted", "Released"} <= {
        reason for reason, _ in await cluster.events()
    }
    service = await cluster.kube.get(kinds.SERVICE, cluster.namespace, NAME)
    assert service
    assert service["spec"]["selector"] == {"luntra.io/workload": "digits-w2"}


async def test_r3_candidate_that_never_gets_ready_is_refused(cluster: Cluster) -> None:
    """Breaks if traffic does not wait for readiness, or the deadline does not end the wait."""
    async with cluster.operator():
        await cluster.apply("v1")
        await cluster.until_phase("Stable", "v1")
        cluster.kubelet.serving = lambda pod: (
            actors.pulling(pod) if "digits-w2" in pod["metadata"]["name"] else actors.running(pod)
        )
        await cluster.apply("v2")
        await cluster.until_phase("RolledBack", "v1")
        await cluster.until_gone("digits-w2")
    status = await cluster.status()
    assert status["rejectedReason"] == "ImagePullFailed"
    assert "Back-off pulling image" in status["rejectedMessage"]
    assert cluster.gateway.weights == [{"digits-w1": 100}]


async def test_bundle_that_can_never_load_is_refused_with_the_servers_own_words(cluster: Cluster) -> None:
    async with cluster.operator():
        await cluster.apply("v1")
        await cluster.until_phase("Stable", "v1")
        broken = actors.crashed(3, "DigestMismatch: model.yaml has sha256:1, the document says sha256:2")
        cluster.kubelet.serving = lambda pod: (
            broken(pod) if "digits-w2" in pod["metadata"]["name"] else actors.running(pod)
        )
        await cluster.apply("v2", deadlines={"ready": "10m"})
        await cluster.until_phase("RolledBack", "v1")
    assert (await cluster.status())["rejectedReason"] == "LoadFailed"
    assert "DigestMismatch" in (await cluster.status())["rejectedMessage"]


async def test_r4_crash_of_the_candidate_takes_its_traffic(cluster: Cluster) -> None:
    """Breaks if a restart after readiness is no evidence, or the watch of pods is lost."""
    async with cluster.operator():
        await cluster.apply("v1")
        await cluster.until_phase("Stable", "v1")
        await cluster.apply("v2", steps=[{"weight": 30, "hold": "10m"}])
        await cluster.until_weight(30)
        crash = actors.crashed(139, "segmentation fault")
        cluster.kubelet.serving = lambda pod: (
            crash(pod) if "digits-w2" in pod["metadata"]["name"] else actors.running(pod)
        )
        await cluster.until_phase("RolledBack", "v1")
        assert cluster.gateway.weights[-1].get("digits-w2", 0) == 0
        await cluster.until_divided({"digits-w1": 100})
    assert (await cluster.status())["rejectedReason"] == "CandidateDied"


async def test_candidate_that_fails_its_evaluation_is_refused(cluster: Cluster) -> None:
    dataset = {"uri": "https://models.example/eval.npz", "digest": "sha256:" + "0" * 64}
    checks = {"evaluation": {"dataset": dataset, "metric": "accuracy", "min": 0.9}, "benchmark": {"requests": 10}}
    async with cluster.operator():
        await cluster.apply("v1")
        await cluster.until_phase("Stable", "v1")
        cluster.kubelet.checks = actors.reported("Fail", "AccuracyBelowMinimum", "accuracy 0.4 of 360 is below min 0.9")
        await cluster.apply("v2", checks=checks)
        await cluster.until_phase("RolledBack", "v1")
        cluster.kubelet.checks = actors.passed
        await cluster.apply("v3", checks=checks)
        await cluster.until_phase("Stable", "v3")
    status = await cluster.status()
    assert [(entry["version"], entry["outcome"], entry["reason"]) for entry in status["history"]] == [
        ("v3", "Promoted", "Promoted"),
        ("v2", "RolledBack", "EvaluationFailed"),
        ("v1", "Promoted", "Promoted"),
    ]
    assert [entry["verdict"] for entry in status["checks"]] == ["Pass", "Pass"]


def _one_after_the_other(*fates: Callable[[Object], Object]) -> Callable[[Object], Object]:
    """What becomes of the first pod, the second, and so on; the last is that of all others."""
    met: dict[str, Callable[[Object], Object]] = {}

    def fate(pod: Object) -> Object:
        return met.setdefault(pod["metadata"]["uid"], fates[min(len(met), len(fates) - 1)])(pod)

    return fate


BENCHMARK = {"benchmark": {"requests": 10}}


async def test_evicted_check_goes_on_and_a_killed_one_is_tried_again(cluster: Cluster) -> None:
    """Breaks if the API server or the Job controller reads the failure policy differently than it is meant."""
    cluster.kubelet.checks = _one_after_the_other(actors.evicted, actors.killed, actors.passed)
    async with cluster.operator():
        await cluster.apply("v1", checks=BENCHMARK)
        await cluster.until_phase("Stable", "v1")
        (check,) = (await cluster.status())["checks"]
        events = await cluster.events()
    assert (check["verdict"], check["attempt"], check["job"]) == ("Pass", 2, "digits-w1-benchmark-2")
    assert [(one["attempt"], one["reason"]) for one in check["failedAttempts"]] == [(1, "OOMKilled")]
    assert [reason for reason, _ in events].count("CheckRetried") == 1
    for job in await cluster.kube.list(kinds.JOB, cluster.namespace):
        assert job["spec"]["backoffLimit"] == 0
        assert job["spec"]["activeDeadlineSeconds"] == 420
        assert job["spec"]["podReplacementPolicy"] == "Failed"
        assert job["spec"]["podFailurePolicy"]["rules"][0]["action"] == "Ignore"


async def test_stable_version_that_cannot_be_compared_with_does_not_block_its_fix(cluster: Cluster) -> None:
    """Breaks if what a check says of stable is lost on its way, or the API server's rules know nothing of the added try."""
    why = "relative bounds cannot be decided: stable failed 3 of 10 requests"
    async with cluster.operator():
        await cluster.apply("v1")
        await cluster.until_phase("Stable", "v1")
        cluster.kubelet.checks = actors.reported("NoData", "StableDisturbed", why, stableFailed=True)
        await cluster.apply("v2", checks={"benchmark": {"requests": 10, "retries": 0}})
        await cluster.until_phase("Stable", "v2")
        (check,) = (await cluster.status())["checks"]
        told = [message for reason, message in await cluster.events() if reason == "StableNotCompared"]
    assert (check["verdict"], check["reason"], check["attempt"]) == ("Pass", "StableNotCompared", 2)
    assert [(one["reason"], one["stableFailed"]) for one in check["failedAttempts"]] == [("StableDisturbed", True)]
    (message,) = told
    assert message.endswith(f"in 2 tries, so the relative bound was not applied: {why}")


async def test_check_whose_job_somebody_deletes_is_tried_again(cluster: Cluster) -> None:
    """Breaks if a deleted Job is made anew for ever, or waited for."""
    cluster.kubelet.checks = actors.pulling
    async with cluster.operator():
        await cluster.apply("v1", checks=BENCHMARK)

        async def seen() -> bool:
            return any("job" in check for check in (await cluster.status()).get("checks", []))

        await cluster.until(seen)
        await cluster.kube.delete(kinds.JOB, cluster.namespace, "digits-w1-benchmark")
        cluster.kubelet.checks = actors.passed
        await cluster.until_phase("Stable", "v1")
    (check,) = (await cluster.status())["checks"]
    assert [(one["attempt"], one["reason"]) for one in check["failedAttempts"]] == [(1, "JobDeleted")]


async def test_r7_restarted_operator_continues_where_it_was(cluster: Cluster) -> None:
    """Breaks if anything of a rollout is only in memory: a step would be repeated, skipped, or begun anew."""
    async with cluster.operator():
        await cluster.apply("v1")
        await cluster.until_phase("Stable", "v1")
        await cluster.apply("v2")
        await cluster.until_weight(20)
    async with cluster.operator():
        await cluster.until_phase("Stable", "v2")
        await cluster.until_gone("digits-w1")
    shares = [weights.get("digits-w2") for weights in cluster.gateway.weights if "digits-w2" in weights]
    assert shares == [0, 20, 60, 100, 100]


async def test_r8_foreign_weight_is_restored(cluster: Cluster) -> None:
    """Breaks if the route is not watched, or what others write is taken for our own unfinished work."""
    async with cluster.operator():
        await cluster.apply("v1")
        await cluster.until_phase("Stable", "v1")
        await cluster.apply("v2", steps=[{"weight": 30, "hold": "10m"}])
        await cluster.until_weight(30)

        async def told() -> bool:
            return any(reason == "RouteRepaired" for reason, _ in await cluster.events())

        async def settled() -> bool:
            return (await cluster.status())["traffic"].get("observed") == 30

        await cluster.until(settled)
        edit = [{"op": "replace", "path": "/spec/rules/0/backendRefs/1/weight", "value": 90}]
        await cluster.kube.patch(kinds.HTTP_ROUTE, cluster.namespace, NAME, edit)
        await cluster.until(told)

        async def restored() -> bool:
            route = await cluster.kube.get(kinds.HTTP_ROUTE, cluster.namespace, NAME) or {}
            return [ref["weight"] for ref in route["spec"]["rules"][0]["backendRefs"]] == [70, 30]

        await cluster.until(restored)


async def test_r10_newer_version_replaces_the_running_candidate(cluster: Cluster) -> None:
    """Breaks if a new version begins before the one under way has lost its traffic."""
    async with cluster.operator():
        await cluster.apply("v1")
        await cluster.until_phase("Stable", "v1")
        await cluster.apply("v2", steps=[{"weight": 30, "hold": "10m"}])
        await cluster.until_weight(30)
        await cluster.apply("v3")
        await cluster.until_phase("Stable", "v3")
        await cluster.until_gone("digits-w1", "digits-w2")
    assert not any(weights.get("digits-w2") and weights.get("digits-w3") for weights in cluster.gateway.weights)


async def test_r12_approved_version_is_promoted_and_an_aborted_one_refused(cluster: Cluster) -> None:
    """Breaks if annotations are not read, or the command writes what the operator does not understand."""
    async with cluster.operator():
        await cluster.apply("v1")
        await cluster.until_phase("Stable", "v1")
        await cluster.apply("v2", approval="BeforePromotion")
        await cluster.until_phase("AwaitingApproval")
        assert cluster.gateway.weights[-1] == {"digits-w1": 40, "digits-w2": 60}
        await cluster.luntra("approve")
        await cluster.until_phase("Stable", "v2")
        await cluster.apply("v3", approval="BeforeTraffic")
        await cluster.until_phase("AwaitingApproval")
        await cluster.luntra("abort")
        await cluster.until_phase("RolledBack", "v2")
    status = await cluster.status()
    assert status["rejectedReason"] == "Aborted"
    assert not any("digits-w3" in weights for weights in cluster.gateway.weights)


async def test_rollback_rolls_out_what_was_stable_before(cluster: Cluster) -> None:
    async with cluster.operator():
        first = (await cluster.apply("v1"))["spec"]["model"]
        await cluster.until_phase("Stable", "v1")
        revision = (await cluster.status())["stable"]["revision"]
        await cluster.apply("v2")
        await cluster.until_phase("Stable", "v2")
        await cluster.luntra("rollback")
        await cluster.until_phase("Stable", "v1")
    found = await cluster.kube.get(kinds.MODEL_DEPLOYMENT, cluster.namespace, NAME) or {}
    assert found["spec"]["model"] == first
    assert found["status"]["stable"]["revision"] == revision


async def test_r14_operator_with_another_default_image_changes_no_pod(cluster: Cluster) -> None:
    """Breaks if anything is rendered from today's settings and not from the stored revision."""
    async with cluster.operator():
        await cluster.apply("v1")
        await cluster.until_phase("Stable", "v1")
    before = await cluster.kube.get(kinds.DEPLOYMENT, cluster.namespace, "digits-w1")
    attempt = (await cluster.status())["attempt"]
    async with cluster.operator(Images(serving="luntra/inference:2", checks="luntra/operator:2")):
        await cluster.apply("v1", soak="2s")

        async def noticed() -> bool:
            return (await cluster.status())["observedGeneration"] == 2

        await cluster.until(noticed)
    after = await cluster.kube.get(kinds.DEPLOYMENT, cluster.namespace, "digits-w1")
    assert before
    assert after
    assert after["metadata"]["generation"] == before["metadata"]["generation"]
    assert (await cluster.status())["attempt"] == attempt


@pytest.mark.parametrize("phase", ["Preparing", "Shifting", "Soaking", "Stable"])
async def test_r17_deletion_leaves_nothing_behind_with_the_operator_down(cluster: Cluster, phase: str) -> None:
    """Breaks if a child lacks its owner reference, or a finalizer waits for the operator."""
    async with cluster.operator():
        await cluster.apply("v1")
        await cluster.until_phase("Stable", "v1")
        if phase == "Preparing":
            cluster.kubelet.serving = actors.pulling
        if phase != "Stable":
            await cluster.apply(
                "v2", steps=[{"weight": 30, "hold": "10m" if phase == "Shifting" else "0s"}], soak="10m"
            )
            await cluster.until_phase(phase)
    await cluster.delete_with_all_of_it()


async def test_refused_pod_template_is_named_and_the_old_version_serves_on(cluster: Cluster) -> None:
    async with cluster.operator():
        await cluster.apply("v1")
        await cluster.until_phase("Stable", "v1")
        body = model_deployment(cluster.namespace, "v2")
        body["spec"]["serving"]["podTemplate"] = {"spec": {"volumes": [{"name": "host", "hostPath": {"path": "/"}}]}}
        await cluster.kube.apply(kinds.MODEL_DEPLOYMENT, body)

        async def told() -> bool:
            conditions = {one["type"]: one for one in (await cluster.status())["conditions"]}
            return "hostPath, which is refused" in conditions["Ready"]["message"]

        await cluster.until(told)
    assert cluster.gateway.weights == [{"digits-w1": 100}]


async def test_quota_that_forbids_the_pods_is_named(cluster: Cluster) -> None:
    quota = {
        "apiVersion": "v1",
        "kind": "ResourceQuota",
        "metadata": {"name": "small", "namespace": cluster.namespace},
        "spec": {"hard": {"pods": "3"}},
    }
    async with cluster.operator():
        await cluster.apply("v1")
        await cluster.until_phase("Stable", "v1")
        await cluster.kube.apply(kinds.Kind("", "v1", "resourcequotas", "ResourceQuota"), quota)

        async def counted() -> bool:
            found = await cluster.kube.get(
                kinds.Kind("", "v1", "resourcequotas", "ResourceQuota"), cluster.namespace, "small"
            )
            return (found or {}).get("status", {}).get("used", {}).get("pods") == "2"

        await cluster.until(counted)
        await cluster.apply("v2")
        await cluster.until_phase("RolledBack", "v1")
    assert (await cluster.status())["rejectedReason"] == "QuotaExceeded"
    assert "exceeded quota: small" in (await cluster.status())["rejectedMessage"]
