"""Who else acts in a cluster, for tests against an API server without nodes: a kubelet and a gateway controller.

They do nothing but what a real one would report, by polling the real API server; what they report is
set by the test. The real ones are met in the end-to-end tests.
"""

import asyncio
import json
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from luntra_operator.api.spec import ModelDeploymentSpec
from luntra_operator.api.vocabulary import LABEL_CHECK, LABEL_DEPLOYMENT, LABEL_REVISION
from luntra_operator.kube import kinds
from luntra_operator.kube.client import Kube
from luntra_operator.kube.errors import ConflictError, KindMissingError, NotFoundError, UnavailableError

Object = dict[str, Any]
PERIOD = 0.1
NODE = "node"


async def set_status(kube: Kube, kind: kinds.Kind, body: Object, status: Object) -> None:
    """Write a status if it differs; who wrote meanwhile wins."""
    if body.get("status", {}) == status:
        return
    with suppress(ConflictError, NotFoundError):
        await kube.replace_status(kind, {**body, "status": status})


class Kubelet:
    """Makes pods Ready, crash or finish; `serving` and `checks` say what becomes of a pod."""

    def __init__(self, kube: Kube, namespace: str) -> None:
        self._kube, self._namespace = kube, namespace
        self.serving: Callable[[Object], Object] = running
        self.checks: Callable[[Object], Object] = passed
        self._address = 1

    async def run(self) -> None:
        with suppress(ConflictError):
            node = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": NODE}}
            await self._kube.create(kinds.Kind("", "v1", "nodes", "Node"), node)
        while True:
            for pod in await self._kube.list(kinds.POD, self._namespace, LABEL_DEPLOYMENT):
                await self._visit(pod)
            await asyncio.sleep(PERIOD)

    async def _visit(self, pod: Object) -> None:
        labels = pod["metadata"]["labels"]
        if "deletionTimestamp" in pod["metadata"]:
            await self._gone(pod["metadata"]["name"])
            return
        decide = self.checks if LABEL_CHECK in labels else self.serving
        status = dict(decide(pod))
        if "nodeName" not in pod["spec"]:
            await self._bind(pod["metadata"]["name"])
            return
        if "podIP" not in status and status.get("phase") == "Running":
            known = pod.get("status", {}).get("podIP")
            self._address += known is None
            address = known or f"10.1.{self._address // 250}.{self._address % 250 + 1}"
            status |= {"podIP": address, "podIPs": [{"ip": address}]}
        await set_status(self._kube, kinds.POD, pod, {**pod.get("status", {}), **status})

    async def _bind(self, name: str) -> None:
        path = kinds.POD.path(self._namespace, name, "binding")
        target = {"apiVersion": "v1", "kind": "Node", "name": NODE}
        with suppress(ConflictError, NotFoundError):
            body = {"apiVersion": "v1", "kind": "Binding", "metadata": {"name": name}, "target": target}
            await self._kube._request("POST", path, body=body)

    async def _gone(self, name: str) -> None:
        with suppress(NotFoundError):
            await self._kube._request("DELETE", kinds.POD.path(self._namespace, name), body={"gracePeriodSeconds": 0})


def _container(pod: Object, state: Object, *, ready: bool, restarts: int = 0, last: Object | None = None) -> Object:
    container = pod["spec"]["containers"][0]
    return {
        "name": container["name"],
        "image": container["image"],
        "imageID": "",
        "ready": ready,
        "restartCount": restarts,
        "state": state,
        "lastState": last or {},
    }


def _conditions(*, ready: bool) -> list[Object]:
    return [{"type": "Ready", "status": "True" if ready else "False"}]


def running(pod: Object) -> Object:
    """A pod that serves."""
    started = {"running": {"startedAt": pod["metadata"]["creationTimestamp"]}}
    return {
        "phase": "Running",
        "conditions": _conditions(ready=True),
        "containerStatuses": [_container(pod, started, ready=True)],
    }


def pulling(pod: Object) -> Object:
    """A pod whose image does not exist."""
    state = {"waiting": {"reason": "ImagePullBackOff", "message": "Back-off pulling image"}}
    return {
        "phase": "Pending",
        "conditions": _conditions(ready=False),
        "containerStatuses": [_container(pod, state, ready=False)],
    }


def crashed(exit_code: int, message: str) -> Callable[[Object], Object]:
    """A pod whose server ended and is started again and again."""

    def status(pod: Object) -> Object:
        ended = {"terminated": {"exitCode": exit_code, "message": message, "reason": "Error"}}
        state = {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off"}}
        container = _container(pod, state, ready=False, restarts=1, last=ended)
        return {"phase": "Running", "conditions": _conditions(ready=False), "containerStatuses": [container]}

    return status


def reported(verdict: str, reason: str = "Ok", message: str = "as declared", **more: Any) -> Callable[[Object], Object]:
    """A check that ended with a report."""

    def status(pod: Object) -> Object:
        check = pod["metadata"]["labels"][LABEL_CHECK]
        report = {"check": check, "verdict": verdict, "reason": reason, "message": message, **more}
        ended = {"terminated": {"exitCode": 0, "message": json.dumps(report)}}
        return {"phase": "Succeeded", "containerStatuses": [_container(pod, ended, ready=False)]}

    return status


passed = reported("Pass")


def killed(pod: Object) -> Object:
    """A check whose container took more memory than it may."""
    ended = {"terminated": {"exitCode": 137, "reason": "OOMKilled"}}
    return {"phase": "Failed", "containerStatuses": [_container(pod, ended, ready=False)]}


def evicted(pod: Object) -> Object:
    """A check whose node wanted its room back."""
    condition = {"type": "DisruptionTarget", "status": "True", "reason": "EvictionByEvictionAPI"}
    ended = {"terminated": {"exitCode": 137, "reason": "Error"}}
    status = {"phase": "Failed", "reason": "Evicted", "conditions": [condition]}
    return {**status, "containerStatuses": [_container(pod, ended, ready=False)]}


def accepted(route: Object) -> Object:
    """The status of a route that its first parent follows as it is now."""
    condition = {
        "status": "True",
        "reason": "Accepted",
        "message": "",
        "observedGeneration": route["metadata"]["generation"],
        "lastTransitionTime": route["metadata"]["creationTimestamp"],
    }
    parent = {
        "parentRef": route["spec"]["parentRefs"][0],
        "controllerName": "test/gateway",
        "conditions": [{"type": kind, **condition} for kind in ("Accepted", "ResolvedRefs")],
    }
    return {"parents": [parent]}


class Gateway:
    """Accepts every HTTPRoute at once, and answers probes by the weights that it has accepted."""

    kind = kinds.HTTP_ROUTE

    def __init__(self, kube: Kube, namespace: str) -> None:
        self._kube, self._namespace = kube, namespace
        self.weights: list[dict[str, int]] = []

    async def run(self) -> None:
        while True:
            with suppress(KindMissingError, UnavailableError):  # a kind that was installed a moment ago answers 429
                for route in await self._kube.list(self.kind, self._namespace):
                    await self._accept(route)
            await asyncio.sleep(PERIOD)

    def _follow(self, weights: dict[str, int]) -> None:
        if not self.weights or self.weights[-1] != weights:
            self.weights.append(weights)

    async def _accept(self, route: Object) -> None:
        self._follow({ref["name"]: ref["weight"] for ref in route["spec"]["rules"][-1].get("backendRefs", [])})
        await set_status(self._kube, self.kind, route, accepted(route))

    async def answers(self, namespace: str, model: str, spec: ModelDeploymentSpec) -> Counter[str] | None:
        """What a look through this gateway shows, by revision."""
        found: Counter[str] = Counter()
        for deployment in await self._kube.list(kinds.DEPLOYMENT, namespace):
            weight = self.weights[-1].get(deployment["metadata"]["name"], 0) if self.weights else 0
            if weight:
                found[deployment["metadata"]["labels"][LABEL_REVISION]] += weight
        return found or None


class GrpcGateway(Gateway):
    """The same for every GRPCRoute."""

    kind = kinds.GRPC_ROUTE


class Mesh(Gateway):
    """Istio's gateway: reports nothing, and answers probes by the weights of the VirtualService."""

    kind = kinds.VIRTUAL_SERVICE

    async def _accept(self, route: Object) -> None:
        destinations = [one for rule in route["spec"]["http"] for one in rule.get("route", [])]
        self._follow({one["destination"]["host"]: one["weight"] for one in destinations})
