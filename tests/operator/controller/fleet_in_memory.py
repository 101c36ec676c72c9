"""Many ModelDeployments with one operator in memory: pods come, end and go by hand, and every write is watched."""

import hashlib
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, cast

from luntra_operator.controller.execute import Images
from luntra_operator.controller.fleet import Fleet
from luntra_operator.controller.reconcile import Reconciler
from luntra_operator.fleet.budget import Budget, Key
from luntra_operator.kube import kinds
from luntra_operator.workloads.devices import devices
from tests.operator.controller.fake_kube import FakeKube
from tests.operator.controller.in_memory import Gateway

if TYPE_CHECKING:
    from collections.abc import Callable

    from luntra_operator.kube.client import Kube

Object = dict[str, Any]
GPU = "nvidia.com/gpu"
MD = kinds.MODEL_DEPLOYMENT


class Killed(BaseException):
    """The operator ends here, as by SIGKILL: nothing may catch it."""


class WatchedKube(FakeKube):
    """Calls `watch` after every write, and is cut off before or after a write as `cut` says of its number."""

    def __init__(self) -> None:
        self.watch: Callable[[], None] = lambda: None
        self.cut: tuple[int, bool] | None = None
        self.count = 0
        super().__init__()

    def _note(self, verb: str, kind: kinds.Kind, name: str) -> None:
        super()._note(verb, kind, name)
        if verb in ("get", "list"):
            return
        self.count += 1
        if self.cut == (self.count, False):
            raise Killed

    def put(self, kind: kinds.Kind, body: Object) -> Object:
        stored = super().put(kind, body)
        self.watch()
        if self.cut == (self.count, True) and self.writes:
            self.cut = None
            raise Killed
        return stored


class FleetWorld:
    """An API server with Deployments, ReplicaSets and pods, and an operator that can be killed."""

    def __init__(self, total: int, each: int | None = None, **namespaces: int) -> None:
        self.budget = Budget(GPU, total, each, namespaces)
        self.kube, self.now = WatchedKube(), datetime(2026, 1, 1, tzinfo=UTC)
        self.highest = 0
        self.kube.watch = self._measure
        self.slow: set[str] = set()
        self.start()

    def start(self) -> None:
        """A new operator with an empty memory; it has counted nothing yet."""
        kube = cast("Kube", self.kube)
        self.woken: list[tuple[Key, float]] = []
        self.fleet = Fleet(kube, self.budget, lambda key, after: self.woken.append((key, after)), (), lambda: self.now)
        images = Images(serving="luntra/inference:1", checks="luntra/operator:1")
        self.reconcile = Reconciler(kube, Gateway(), images, fleet=self.fleet, clock=lambda: self.now)

    def apply(self, name: str, version: str, units: int = 1, replicas: int = 1, soak: str = "30s") -> Key:
        namespace = "team-a"
        body = model_deployment(name, version, units, replicas, soak)
        before = self.kube._store.get((MD, namespace, name))
        if before:
            body["metadata"] |= {"generation": before["metadata"]["generation"] + 1, "uid": before["metadata"]["uid"]}
            body["status"] = before.get("status", {})
        self.kube.put(MD, body)
        return namespace, name

    def status(self, key: Key) -> Object:
        found: Object = self.kube.peek(MD, key[1], key[0]).get("status", {})
        return found

    def message(self, key: Key) -> str:
        return next(one["message"] for one in self.status(key)["conditions"] if one["type"] == "Ready")

    def over(self, key: Key) -> Object:
        """The condition OverBudget, empty where there is none."""
        return next((one for one in self.status(key)["conditions"] if one["type"] == "OverBudget"), {})

    def objects(self, kind: kinds.Kind) -> list[Object]:
        return [body for (found, _, _), body in self.kube._store.items() if found == kind]

    def delete(self, kind: kinds.Kind, body: Object) -> None:
        del self.kube._store[kind, body["metadata"]["namespace"], body["metadata"]["name"]]

    async def turns(self, *keys: Key, times: int = 12) -> None:
        """Reconcile these (none named: all) in turns, with a cluster that follows."""
        for _ in range(times):
            for key in keys or [(one["metadata"]["namespace"], one["metadata"]["name"]) for one in self.objects(MD)]:
                self.play_cluster()
                await self.reconcile(key)
                self.now += timedelta(seconds=1)

    def play_cluster(self) -> None:
        """What controllers and kubelets do: make what is asked for, end what nobody owns; pods of `slow` workloads take their time."""
        deployments = {
            (one["metadata"]["namespace"], one["metadata"]["name"]): one for one in self.objects(kinds.DEPLOYMENT)
        }
        for key, body in deployments.items():
            body["status"] = {"observedGeneration": body["metadata"]["generation"]}
            self._replica_set(key, body)
        for body in list(self.objects(kinds.REPLICA_SET)):
            if (body["metadata"]["namespace"], body["metadata"]["name"]) not in deployments:
                self.delete(kinds.REPLICA_SET, body)
        wanted = {
            (namespace, f"{name}-{number}")
            for (namespace, name), body in deployments.items()
            for number in range(body["spec"]["replicas"])
        }
        for pod in list(self.objects(kinds.POD)):
            meta = pod["metadata"]
            if (meta["namespace"], meta["name"]) not in wanted:
                if meta["labels"]["luntra.io/workload"] in self.slow:
                    meta["deletionTimestamp"] = "2026-01-01T00:00:00Z"
                else:
                    self.delete(kinds.POD, pod)
        self._measure()

    def _replica_set(self, key: Key, body: Object) -> None:
        namespace, name = key
        template, replicas = body["spec"]["template"], body["spec"]["replicas"]
        known = self.kube._store.get((kinds.REPLICA_SET, namespace, name))
        if known and known["spec"]["replicas"] == replicas:
            return
        meta = {"name": name, "namespace": namespace, "labels": template["metadata"]["labels"]}
        status = {"observedGeneration": 1}
        spec = {"replicas": replicas, "template": template}
        self.kube.put(kinds.REPLICA_SET, {"metadata": meta, "spec": spec, "status": status})
        for number in range(replicas):
            own = {**meta, "name": f"{name}-{number}", "creationTimestamp": "2026-01-01T00:00:00Z"}
            ready = {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}
            if (kinds.POD, namespace, own["name"]) not in self.kube._store:
                self.kube.put(kinds.POD, {"metadata": own, "spec": template["spec"], "status": ready})
        labels = {**meta["labels"], "kubernetes.io/service-name": name}
        self.kube.put(kinds.ENDPOINT_SLICE, {"metadata": {**meta, "labels": labels}, "endpoints": [{}] * replicas})

    def _measure(self) -> None:
        """The most that pods held or Deployments were promised at any moment, by workload."""
        names = {(one["metadata"]["namespace"], one["metadata"]["name"]) for one in self.objects(kinds.DEPLOYMENT)}
        used = 0
        for body in self.objects(kinds.DEPLOYMENT):
            used += body["spec"]["replicas"] * devices(body["spec"]["template"]["spec"], GPU)
        for pod in self.objects(kinds.POD):
            owner = (pod["metadata"]["namespace"], pod["metadata"]["labels"]["luntra.io/workload"])
            if owner not in names or "deletionTimestamp" in pod["metadata"]:
                used += devices(pod["spec"], GPU)
        self.highest = max(self.highest, used)


def model_deployment(name: str, version: str, units: int, replicas: int, soak: str) -> Object:
    digest = "sha256:" + hashlib.sha256(version.encode()).hexdigest()
    return {
        "apiVersion": "luntra.io/v1alpha1",
        "kind": "ModelDeployment",
        "metadata": {"name": name, "namespace": "team-a", "creationTimestamp": "2026-01-01T00:00:00Z"},
        "spec": {
            "model": {"version": version, "uri": f"https://models.example/{version}", "digest": digest},
            "serving": {"resources": {"limits": {GPU: units}}, "runtime": {"deadline": "1s"}},
            "replicas": replicas,
            "rollout": {"soak": soak},
        },
    }
