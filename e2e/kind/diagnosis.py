"""What to look at when something in the cluster does not come about: a short text, or a folder with everything.

Reads only. Each part that cannot be read says so in its place: a diagnosis must not hide the error it explains.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from e2e.kind.errors import HarnessError

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from e2e.kind.cluster import Cluster

LOG_LINES = 20
OBJECTS = (
    "pods,deployments,replicasets,services,endpointslices,configmaps,jobs,events,"
    "gateways.gateway.networking.k8s.io,httproutes.gateway.networking.k8s.io"
)


def explain(cluster: Cluster, namespaces: Iterable[str]) -> str:
    """Return, in a few lines, the pods of some namespaces and the end of the logs of those that are not ready."""
    parts = []
    for namespace in namespaces:
        parts.append(_ask(cluster, "get", "pods", f"--namespace={namespace}", "--output=wide"))
        parts += [
            f"{pod}:\n"
            + _ask(cluster, "logs", pod, f"--namespace={namespace}", "--all-containers", f"--tail={LOG_LINES}")
            for pod in _not_ready(cluster, namespace)
        ]
    return "\n".join(parts)


def dump(cluster: Cluster, folder: Path) -> None:
    """Write objects, events and logs of all namespaces below `folder`, for a person to read after a failed run."""
    folder.mkdir(parents=True, exist_ok=True)
    objects = _ask(cluster, "get", OBJECTS, "--all-namespaces", "--output=yaml")
    (folder / "objects.yaml").write_text(objects)
    (folder / "model-deployments.yaml").write_text(
        _ask(cluster, "get", "modeldeployments.luntra.io", "--all-namespaces", "--output=yaml")
    )
    for namespace in _ask(cluster, "get", "namespaces", "--output=name").splitlines():
        name = namespace.removeprefix("namespace/")
        for pod in _ask(cluster, "get", "pods", f"--namespace={name}", "--output=name").splitlines():
            if not pod.startswith("pod/"):
                continue
            text = _ask(cluster, "logs", pod, f"--namespace={name}", "--all-containers", "--prefix", "--tail=5000")
            target = folder / "logs" / name / f"{pod.removeprefix('pod/')}.log"
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(text)


def _not_ready(cluster: Cluster, namespace: str) -> list[str]:
    try:
        pods = json.loads(cluster.kubectl("get", "pods", f"--namespace={namespace}", "--output=json"))["items"]
    except HarnessError:
        return []
    return [pod["metadata"]["name"] for pod in pods if not pod_is_ready(pod.get("status", {}))]


def pod_is_ready(status: dict[str, object]) -> bool:
    """Tell from a pod's status whether its condition Ready is True."""
    conditions = status.get("conditions")
    if not isinstance(conditions, list):
        return False
    return any(condition["type"] == "Ready" and condition["status"] == "True" for condition in conditions)


def _ask(cluster: Cluster, *arguments: str) -> str:
    try:
        return cluster.kubectl(*arguments, "--request-timeout=20s")
    except HarnessError as error:
        return f"({error})\n"
