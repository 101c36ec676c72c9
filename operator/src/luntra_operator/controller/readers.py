"""Pure translation of live Kubernetes objects into the engine's own words."""

from collections.abc import Collection
from typing import Any, Final

from luntra_operator.api.vocabulary import LABEL_WORKLOAD, Reason
from luntra_operator.pods.client import PodAddress
from luntra_operator.rollout.observed import Pod, Problem, Workload

Object = dict[str, Any]

EXIT_PERMANENT: Final = 3
"""Exit code of a model server whose document can never load; waiting cannot help."""

_IMAGE = {"ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull", "RegistryUnavailable"}
_CONFIG = {"CreateContainerConfigError", "CreateContainerError", "RunContainerError"}


def workloads(
    names: Collection[str],
    deployments: list[Object],
    services: list[Object],
    config_maps: list[Object],
    budgets: list[Object],
    pods: list[Object],
    slices: list[Object],
) -> dict[str, Workload]:
    """The workloads of those names, each with what exists of it."""
    present = [{child["metadata"]["name"] for child in children} for children in (deployments, services, config_maps)]
    by_name = {child["metadata"]["name"]: child for child in deployments}
    living: dict[str | None, list[Pod]] = {}
    for pod in pods:
        if label(pod, LABEL_WORKLOAD) in names and not _leaving(pod):
            living.setdefault(label(pod, LABEL_WORKLOAD), []).append(read_pod(pod))
    return {
        name: Workload(
            name=name,
            replicas=by_name[name]["spec"].get("replicas", 1) if name in by_name else None,
            pods=tuple(living.get(name, ())),
            endpoints=ready_endpoints(slices, name),
            complete=all(name in names_present for names_present in present),
            protected=any(budget["metadata"]["name"] == name for budget in budgets),
            problem=_deployment_problem(by_name.get(name)),
        )
        for name in names
    }


def addresses(pods: list[Object], workload: str) -> tuple[PodAddress, ...]:
    """Where the pods of a workload can be asked, those included that are about to leave: they still answer clients."""
    return tuple(
        PodAddress(pod["metadata"]["name"], pod["metadata"]["uid"], pod["status"]["podIP"])
        for pod in pods
        if label(pod, LABEL_WORKLOAD) == workload and pod.get("status", {}).get("podIP")
    )


def label(child: Object, key: str) -> str | None:
    """The value of a label, None where the object has none."""
    value: str | None = child["metadata"].get("labels", {}).get(key)
    return value


def _leaving(pod: Object) -> bool:
    return "deletionTimestamp" in pod["metadata"]


def ready_endpoints(slices: list[Object], service: str) -> int:
    """Addresses of a Service that get requests now."""
    return sum(
        endpoint.get("conditions", {}).get("ready", True) is not False
        for piece in slices
        if label(piece, "kubernetes.io/service-name") == service
        for endpoint in piece.get("endpoints") or []
    )


def same_endpoints(slices: list[Object], service: str, other: str | None) -> bool:
    """Whether two Services have the same ready addresses, or both have none."""
    return _addresses(slices, service) == _addresses(slices, other)


def _addresses(slices: list[Object], service: str | None) -> list[list[str]]:
    return sorted(
        endpoint.get("addresses") or []
        for piece in slices
        if label(piece, "kubernetes.io/service-name") == service
        for endpoint in piece.get("endpoints") or []
        if endpoint.get("conditions", {}).get("ready", True) is not False
    )


def read_pod(pod: Object) -> Pod:
    """One pod; the gravest thing that any of its containers says is its problem."""
    status = pod.get("status", {})
    containers = [*(status.get("initContainerStatuses") or []), *(status.get("containerStatuses") or [])]
    ready = any(c["type"] == "Ready" and c["status"] == "True" for c in status.get("conditions") or [])
    return Pod(
        name=pod["metadata"]["name"],
        uid=pod["metadata"]["uid"],
        ready=ready and not _leaving(pod),
        restarts=sum(container.get("restartCount", 0) for container in containers),
        ended=status.get("phase") == "Failed" or any(_crashed(container) for container in containers),
        problem=_pod_problem(pod, containers),
    )


def _crashed(container: Object) -> bool:
    ended = container.get("state", {}).get("terminated")
    return bool(ended) and ended.get("exitCode", 0) != 0


def _pod_problem(pod: Object, containers: list[Object]) -> Problem | None:
    problems = [problem for problem in map(_container_problem, containers) if problem]
    if problems:
        return max(problems, key=lambda problem: problem.permanent)
    for condition in pod.get("status", {}).get("conditions") or []:
        if condition["type"] == "PodScheduled" and condition["status"] == "False":
            return Problem(Reason.UNSCHEDULABLE, condition.get("message") or "no node fits the pod")
    if pod.get("status", {}).get("phase") == "Failed":
        return Problem(
            Reason.CRASH_LOOP, pod["status"].get("message") or pod["status"].get("reason") or "the pod failed"
        )
    return None


def _container_problem(container: Object) -> Problem | None:
    state, name = container.get("state", {}), container["name"]
    ended = state.get("terminated") or container.get("lastState", {}).get("terminated") or {}
    waiting = state.get("waiting") or {}
    told = (ended.get("message") or "").strip()
    if ended.get("exitCode") == EXIT_PERMANENT:
        return Problem(
            Reason.LOAD_FAILED, told or f"container {name} says that its model can never load", permanent=True
        )
    if waiting.get("reason") in _IMAGE:
        detail = waiting.get("message") or waiting["reason"]
        return Problem(Reason.IMAGE_PULL_FAILED, f"image {container.get('image')}: {detail}")
    if waiting.get("reason") in _CONFIG:
        return Problem(Reason.CRASH_LOOP, f"container {name}: {waiting.get('message') or waiting['reason']}")
    if ended.get("exitCode", 0) != 0 and not container.get("ready"):
        detail = told or ended.get("reason") or "no message"
        return Problem(Reason.CRASH_LOOP, f"container {name} ended with exit code {ended['exitCode']}: {detail}")
    return None


def _deployment_problem(deployment: Object | None) -> Problem | None:
    """Why no pod can even be created: quota, LimitRange, admission."""
    for condition in (deployment or {}).get("status", {}).get("conditions") or []:
        if condition["type"] == "ReplicaFailure" and condition["status"] == "True":
            message = condition.get("message") or condition.get("reason") or "the ReplicaSet cannot create pods"
            return Problem(Reason.QUOTA_EXCEEDED if "exceeded quota" in message else Reason.PODS_NOT_READY, message)
    return None
