"""An operator in memory: the reconciler with an API server, a gateway, pods and a clock that is moved by hand."""

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, cast

from luntra_operator.api.spec import ModelDeploymentSpec
from luntra_operator.controller.execute import Images
from luntra_operator.controller.queue import Key
from luntra_operator.controller.reconcile import Reconciler
from luntra_operator.controller.sampling import Trial
from luntra_operator.kube import kinds
from luntra_operator.rollout.observed import Judgement
from tests.operator.controller.fake_kube import FakeKube

if TYPE_CHECKING:
    from luntra_operator.kube.client import Kube

Object = dict[str, Any]
KEY = ("team-a", "digits")
START = datetime(2026, 1, 1, tzinfo=UTC)
MD = kinds.MODEL_DEPLOYMENT


class Gateway:
    """Answers what it is told to, and counts how often it is asked."""

    def __init__(self) -> None:
        self.seen: dict[str, int] | None = None
        self.asked = 0

    async def answers(self, namespace: str, model: str, spec: ModelDeploymentSpec) -> dict[str, int] | None:
        self.asked += 1
        return self.seen


class Metrics:
    """Says what it is told to of whatever is looked at."""

    def __init__(self) -> None:
        self.said: tuple[Judgement, ...] = ()
        self.trials: dict[Key, Trial] = {}

    @property
    def keys(self) -> set[Key]:
        return set(self.trials)

    def judgements(self, key: Key, trial: Trial) -> tuple[Judgement, ...]:
        self.trials[key] = trial
        return self.said

    def leave(self, key: Key) -> None:
        self.trials.pop(key, None)


class Operator:
    """A reconciler with its surroundings and a clock that is moved by hand."""

    def __init__(self) -> None:
        self.kube, self.gateway, self.now = FakeKube((MD, model_deployment())), Gateway(), START
        self.metrics = Metrics()
        self.keys: str | None = None
        self.reconcile = self.reconciler()

    def reconciler(self) -> Reconciler:
        """A fresh one, as after a restart."""
        images = Images(serving="luntra/inference:1", checks="luntra/operator:1")
        kube = cast("Kube", self.kube)
        return Reconciler(kube, self.gateway, images, self.metrics, clock=lambda: self.now, keys=lambda: self.keys)

    async def settle(self, turns: int = 30) -> float | None:
        """Reconcile with ready pods and a gateway that accepts everything, until nothing is to be done at once."""
        again: float | None = 0.0
        for _ in range(turns):
            traffic = self.status.get("traffic") or {"desired": 0, "observed": 0}
            if again is None or (again > 1 and traffic.get("observed") == traffic["desired"]):
                return again
            self.play_cluster()
            again = await self.reconcile(KEY)
            self.now += timedelta(seconds=again or 0.1)
        raise AssertionError(f"does not come to rest: {self.status}")

    def play_cluster(self) -> None:
        """Pods of every Deployment are ready, and the route is in force and followed."""
        for name in self.kube.names(kinds.DEPLOYMENT):
            deployment = self.kube.peek(kinds.DEPLOYMENT, name)
            labels = deployment["spec"]["template"]["metadata"]["labels"]
            replicas = deployment["spec"]["replicas"]
            for number in range(replicas):
                self.pod(f"{name}-{number}", labels)
            metadata: Object = {"name": name, "namespace": "team-a"}
            metadata["labels"] = {**labels, "kubernetes.io/service-name": name}
            self.kube.put(kinds.ENDPOINT_SLICE, {"metadata": metadata, "endpoints": [{}] * replicas})
        for kind, name in ((kinds.HTTP_ROUTE, "digits"), (kinds.GRPC_ROUTE, "digits.grpc")):
            if name not in self.kube.names(kind):
                continue
            route = self.kube.peek(kind, name)
            generation = route["metadata"]["generation"]
            conditions = [
                {"type": kind, "status": "True", "observedGeneration": generation}
                for kind in ("Accepted", "ResolvedRefs")
            ]
            route["status"] = {"parents": [{"parentRef": {"name": "gateway"}, "conditions": conditions}]}
            refs = [ref for ref in route["spec"]["rules"][0]["backendRefs"] if ref["weight"]]
            deployments = {ref["name"]: self.kube.peek(kinds.DEPLOYMENT, ref["name"]) for ref in refs}
            self.gateway.seen = {
                deployments[ref["name"]]["metadata"]["labels"]["luntra.io/revision"]: ref["weight"] for ref in refs
            }

    def pod(self, name: str, labels: Object, *, restarts: int = 0, ready: bool = True) -> None:
        container = {"name": "server", "image": "x", "ready": ready, "restartCount": restarts, "state": {"running": {}}}
        status = {"conditions": [{"type": "Ready", "status": str(ready)}], "containerStatuses": [container]}
        self.kube.put(
            kinds.POD, {"metadata": {"name": name, "namespace": "team-a", "labels": labels}, "status": status}
        )

    def crash(self, workload: str) -> None:
        labels = self.kube.peek(kinds.POD, f"{workload}-0")["metadata"]["labels"]
        self.pod(f"{workload}-0", labels, restarts=1)

    @property
    def status(self) -> Object:
        found: Object = self.kube.peek(MD, "digits").get("status", {})
        return found

    @property
    def ready(self) -> tuple[str, str]:
        condition = next(one for one in self.status["conditions"] if one["type"] == "Ready")
        return condition["reason"], condition["message"]

    def edit(self, **spec: Any) -> None:
        body = self.kube.peek(MD, "digits")
        body["metadata"]["generation"] += 1
        self.kube.put(MD, {**body, "spec": {**body["spec"], **spec}})

    def weights(self, kind: kinds.Kind = kinds.HTTP_ROUTE) -> dict[str, int]:
        (name,) = self.kube.names(kind)
        rule = self.kube.peek(kind, name)["spec"]["rules"][0]
        return {ref["name"]: ref["weight"] for ref in rule["backendRefs"]}


def model(version: str) -> Object:
    return {"version": version, "uri": f"https://models.example/{version}", "digest": "sha256:" + version[-1] * 64}


def model_deployment() -> Object:
    return {
        "apiVersion": "luntra.io/v1alpha1",
        "kind": "ModelDeployment",
        "metadata": {"name": "digits", "namespace": "team-a", "creationTimestamp": "2026-01-01T00:00:00Z"},
        "spec": {
            "model": model("v1"),
            "replicas": 2,
            "traffic": {"gateway": {"parentRefs": [{"name": "gateway"}]}},
            "rollout": {"steps": [{"weight": 20, "hold": "1h"}], "soak": "1h"},
        },
    }
