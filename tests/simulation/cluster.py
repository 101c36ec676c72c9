"""What the rest of a cluster does: Deployments get pods, pods get ready or do not, Services get endpoints, Jobs end.

And what nobody owns any more is collected. Each of these controllers looks at the level a seeded while after something changed.
"""

import json
import random
from collections import Counter
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from luntra_operator.api.vocabulary import LABEL_CHECK, LABEL_WORKLOAD
from luntra_operator.kube import kinds

from .api_server import ApiServer, Caller, Object, Write

if TYPE_CHECKING:
    from luntra_operator.kube.kinds import Kind

CLUSTER = Caller("cluster")
COLLECTED = (
    kinds.CONTROLLER_REVISION,
    kinds.HTTP_ROUTE,
    kinds.GRPC_ROUTE,
    kinds.JOB,
    kinds.DEPLOYMENT,
    kinds.SERVICE,
    kinds.CONFIG_MAP,
    kinds.ENDPOINT_SLICE,
    kinds.POD,
)
Later = Callable[..., Any]
"""`loop.call_later`."""


class Cluster:
    """kubelet, controller manager and garbage collector.

    `health` says by version how its pods start (good, slow, crash, permanent, pull), `verdicts` by version and check how a
    Job ends (Pass, Fail, error, hang); `serves` what each pod, by UID, has loaded.
    """

    def __init__(self, server: ApiServer, rng: random.Random, later: Later) -> None:
        """Work on what `server` stores."""
        self._server, self._rng, self._later = server, rng, later
        self._due: set[tuple[str, str]] = set()
        self._numbers: Counter[str] = Counter()
        self.health: dict[str, str] = {}
        self.verdicts: dict[tuple[str, str], str] = {}
        self.serves: dict[str, str | None] = {}

    def heard(self, write: Write) -> None:
        """Look at what a write concerns, soon."""
        kind, name = write.kind, write.name
        if kind is kinds.DEPLOYMENT and write.after:
            self._soon(self._scale, name, 0.3)
        elif kind is kinds.SERVICE:
            self._soon(self._connect, name, 0.2)
        elif kind is kinds.POD:
            workload = _label(write.body, LABEL_WORKLOAD)
            for service in self._server.all(kinds.SERVICE):
                if workload and service["spec"]["selector"].get(LABEL_WORKLOAD) == workload:
                    self._soon(self._connect, service["metadata"]["name"], 0.2)
            owners = [owner["name"] for owner in write.body["metadata"]["ownerReferences"]]
            if write.after is None or "deletionTimestamp" in write.body["metadata"] or _failed(write.body):
                self._soon(self._scale, owners[0], 0.3)
        elif kind is kinds.JOB and write.verb in ("create", "apply"):
            self._later(self._rng.uniform(0.1, 1), self._job_starts, name, write.body["metadata"]["uid"])
        orphaned = write.verb in ("create", "apply") and write.body["metadata"].get("ownerReferences")
        if write.after is None or orphaned or "deletionTimestamp" in write.body["metadata"]:
            self._soon(self._collect, "", 2.0)

    def _soon(self, look: Callable[[str], None], name: str, within: float) -> None:
        key = (look.__name__, name)
        if key not in self._due:
            self._due.add(key)
            self._later(self._rng.random() * within, self._look, key, look)

    def _look(self, key: tuple[str, str], look: Callable[[str], None]) -> None:
        self._due.discard(key)
        look(key[1])

    # Deployments and their pods.

    def pods(self, workload: str) -> list[Object]:
        """Pods of a workload that are neither on their way out nor evicted."""
        pods = [pod for pod in self._server.all(kinds.POD) if _label(pod, LABEL_WORKLOAD) == workload]
        return [pod for pod in pods if "deletionTimestamp" not in pod["metadata"] and not _failed(pod)]

    def _scale(self, name: str) -> None:
        deployment = self._server.find(kinds.DEPLOYMENT, name)
        if deployment is None:
            return
        meta, spec = deployment["metadata"], deployment["spec"]
        pods = [pod for pod in self.pods(name) if _owned(pod, meta["uid"])]
        for pod in sorted(pods, key=lambda pod: not _ready(pod))[spec["replicas"] :]:
            self._stop(pod)
        for _ in range(spec["replicas"] - len(pods)):
            labels = spec["template"]["metadata"]["labels"]
            self._new_pod(name, meta["uid"], labels, self._pod_starts)

    def _new_pod(self, owner: str, uid: str, labels: Object, then: Callable[[str, str], None]) -> None:
        self._numbers[owner] += 1
        meta: Object = {"name": f"{owner}-{self._numbers[owner]}", "labels": labels}
        meta["ownerReferences"] = [{"name": owner, "uid": uid, "controller": True}]
        pod = self._server.create(CLUSTER, kinds.POD, {"metadata": meta, "status": _status("Pending")})
        self._later(self._rng.uniform(0.2, 2), then, meta["name"], pod["metadata"]["uid"])

    def _living(self, name: str, uid: str) -> Object | None:
        pod = self._server.find(kinds.POD, name)
        gone = pod is None or pod["metadata"]["uid"] != uid or "deletionTimestamp" in pod["metadata"] or _failed(pod)
        return None if gone else pod

    def _pod_starts(self, name: str, uid: str) -> None:
        pod = self._living(name, uid)
        if pod is None:
            return
        version = self.version_of(_label(pod, LABEL_WORKLOAD) or "")
        if version is None:  # no ConfigMap to mount yet
            self._later(1.0, self._pod_starts, name, uid)
            return
        restarts = _restarts(pod)
        health = self.health.get(version, "good")
        if health == "good":
            self._later(self._rng.uniform(0.1, 2), self._pod_gets_ready, name, uid)
        elif health == "slow":
            self._later(self._rng.uniform(15, 45), self._pod_gets_ready, name, uid)
        else:
            told = {
                "crash": _status("Running", restarts=restarts + 1, ended=1),
                "permanent": _status("Running", restarts=restarts + 1, ended=3),
                "pull": _status("Pending", waiting="ErrImagePull"),
            }
            self._server.report(CLUSTER, kinds.POD, name, told[health])
            self._later(self._rng.uniform(5, 15), self._pod_starts, name, uid)

    def _pod_gets_ready(self, name: str, uid: str) -> None:
        pod = self._living(name, uid)
        if pod is not None:
            self.serves.setdefault(uid, self.version_of(_label(pod, LABEL_WORKLOAD) or ""))
            self._server.report(CLUSTER, kinds.POD, name, _status("Running", ready=True, restarts=_restarts(pod)))

    def version_of(self, workload: str) -> str | None:
        """The version that a workload's ConfigMap tells its pods to serve."""
        found = self._server.find(kinds.CONFIG_MAP, workload)
        return json.loads(found["data"]["document.json"])["stable"]["version"] if found else None

    def _stop(self, pod: Object) -> None:
        name = pod["metadata"]["name"]
        if "deletionTimestamp" not in pod["metadata"]:
            self._server.edit(
                CLUSTER, kinds.POD, name, lambda body: body["metadata"].update(deletionTimestamp="2026-01-01T00:00:00Z")
            )
            self._later(self._rng.uniform(0.2, 3), self._server.delete, CLUSTER, kinds.POD, name)

    # What may happen to a pod.

    def befalls(self, what: str, pod: Object) -> None:
        """A pod crashes, is evicted or drained, or stops being ready for a moment."""
        name, uid = pod["metadata"]["name"], pod["metadata"]["uid"]
        restarts = _restarts(pod)
        if what == "crash":
            self._server.report(CLUSTER, kinds.POD, name, _status("Running", restarts=restarts + 1, ended=137))
            self._later(self._rng.uniform(0.5, 4), self._pod_starts, name, uid)
        elif what == "evict":
            self._server.report(CLUSTER, kinds.POD, name, _status("Failed", restarts=restarts))
        elif what == "drain":
            self._stop(pod)
        elif _ready(pod):
            self._server.report(CLUSTER, kinds.POD, name, _status("Running", restarts=restarts))
            self._later(self._rng.uniform(0.1, 5), self._pod_gets_ready, name, uid)

    # Endpoints.

    def _connect(self, service: str) -> None:
        name, found = f"{service}-slice", self._server.find(kinds.SERVICE, service)
        if found is None:
            return  # collected with its Service
        ready = [pod for pod in self.pods(found["spec"]["selector"][LABEL_WORKLOAD]) if _ready(pod)]
        meta = {
            "name": name,
            "labels": {**found["metadata"]["labels"], "kubernetes.io/service-name": service},
            "ownerReferences": [{"name": service, "uid": found["metadata"]["uid"], "controller": True}],
        }
        endpoints = [
            {"addresses": [uid], "targetRef": {"uid": uid}, "conditions": {"ready": True}}
            for uid in (pod["metadata"]["uid"] for pod in ready)
        ]
        self._server.apply(CLUSTER, kinds.ENDPOINT_SLICE, {"metadata": meta, "endpoints": endpoints})

    # Checks.

    def _job_starts(self, name: str, uid: str) -> None:
        job = self._server.find(kinds.JOB, name)
        if job is None or job["metadata"]["uid"] != uid or "status" in job:
            return
        self._server.report(CLUSTER, kinds.JOB, name, {"active": 1})
        labels = {**job["spec"]["template"]["metadata"]["labels"], "batch.kubernetes.io/job-name": name}
        self._new_pod(name, uid, labels, self._check_ends)

    def _check_ends(self, name: str, uid: str) -> None:
        pod = self._living(name, uid)
        if pod is None or self._server.find(kinds.JOB, pod["metadata"]["ownerReferences"][0]["name"]) is None:
            return
        check, job = _label(pod, LABEL_CHECK) or "", pod["metadata"]["ownerReferences"][0]["name"]
        verdict = self.verdicts.get((self.version_of(job.partition(f"-{check}")[0]) or "", check), "Pass")
        if verdict == "hang":
            self._later(10.0, self._check_ends, name, uid)
            return
        if verdict == "error":
            self._server.report(CLUSTER, kinds.POD, name, _status("Running", ended=1))
            failed = {"type": "Failed", "status": "True", "reason": "BackoffLimitExceeded"}
            self._server.report(CLUSTER, kinds.JOB, job, {"conditions": [failed]})
            return
        report = json.dumps({"check": check, "verdict": verdict, "reason": "Simulated", "message": f"says {verdict}"})
        self._server.report(CLUSTER, kinds.POD, name, _status("Succeeded", ended=0, message=report))
        self._server.report(CLUSTER, kinds.JOB, job, {"conditions": [{"type": "Complete", "status": "True"}]})

    # Garbage.

    def _collect(self, _: str) -> None:
        """Delete what has owners of which none exists; an owner in foreground deletion goes after what it owns."""
        every: list[tuple[Kind, Object]] = [(kind, body) for kind in COLLECTED for body in self._server.all(kind)]
        owners = self._server.all(kinds.MODEL_DEPLOYMENT)
        alive = {body["metadata"]["uid"] for body in owners if "deletionTimestamp" not in body["metadata"]}
        alive |= {body["metadata"]["uid"] for _, body in every}
        for kind, body in every:
            uids = {owner["uid"] for owner in body["metadata"].get("ownerReferences", ())}
            if uids and not uids & alive:
                if kind is kinds.POD:
                    self._stop(body)
                else:
                    self._server.delete(CLUSTER, kind, body["metadata"]["name"])
        for owner in owners:
            uid = owner["metadata"]["uid"]
            if uid not in alive and not any(_owned(body, uid) for _, body in every):
                self._server.delete(CLUSTER, kinds.MODEL_DEPLOYMENT, owner["metadata"]["name"])


def _label(body: Object, label: str) -> str | None:
    value: str | None = body["metadata"].get("labels", {}).get(label)
    return value


def _owned(body: Object, uid: str) -> bool:
    return any(owner["uid"] == uid for owner in body["metadata"].get("ownerReferences", ()))


def _failed(pod: Object) -> bool:
    return bool(pod["status"]["phase"] == "Failed")


def _ready(pod: Object) -> bool:
    return any(one["type"] == "Ready" and one["status"] == "True" for one in pod["status"]["conditions"])


def _restarts(pod: Object) -> int:
    count: int = pod["status"]["containerStatuses"][0]["restartCount"]
    return count


def _status(
    phase: str,
    *,
    ready: bool = False,
    restarts: int = 0,
    ended: int | None = None,
    waiting: str = "",
    message: str = "",
) -> Object:
    state: Object = {"running": {}} if ready else {}
    if ended is not None:
        state = {"terminated": {"exitCode": ended, "message": message}}
    elif waiting:
        state = {"waiting": {"reason": waiting}}
    container = {"name": "server", "ready": ready, "restartCount": restarts, "state": state}
    condition = {"type": "Ready", "status": "True" if ready else "False"}
    return {"phase": phase, "conditions": [condition], "containerStatuses": [container]}
