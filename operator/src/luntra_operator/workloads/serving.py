"""Deployment, Service and ConfigMap of one workload.

The pod template names no model: a pod learns what to serve from the mounted document. So promoting a
version changes nothing in its pods, and later the model can change without a new pod.
"""

import json
from typing import Any

from luntra_operator.api.quantities import seconds
from luntra_operator.api.sources import SecretKey
from luntra_operator.api.spec import ModelDeploymentSpec, ServerRuntime, Serving
from luntra_operator.api.vocabulary import (
    LABEL_REVISION,
    LABEL_ROLE,
    LABEL_WORKLOAD,
    PORT_GRPC,
    PORT_HTTP,
    PORT_MANAGEMENT,
    ROLE_SERVING,
)

from .merge import TemplateError, checked_template
from .naming import labels, metadata
from .revision import Revision
from .trust import trust

CONTAINER = "server"
KEYS = "keys.json"
"""Entry of a workload's ConfigMap: the public keys of the operator, as a JWK set."""
DRAIN_SECONDS = 30
"""Longest that a stopping pod may take for requests in flight after it refuses new ones."""


def document(model: str, revision: Revision) -> dict[str, Any]:
    """The desired document of a workload's pods (generation 1: a BlueGreen workload never gets another)."""
    return {
        "generation": 1,
        "model": model,
        "stable": {
            "version": revision.model.version,
            "revision": revision.hash,
            "uri": revision.model.uri,
            "digest": revision.model.digest,
        },
    }


def config_map(owner: dict[str, Any], workload: str, revision: Revision, keys: str | None = None) -> dict[str, Any]:
    """The ConfigMap that carries the workload's document, and the JWK set of who may send another one."""
    model = revision.model.name or owner["metadata"]["name"]
    document_text = json.dumps(document(model, revision), indent=2)
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": metadata(owner, workload, workload, **{LABEL_REVISION: revision.hash}),
        "data": {"document.json": document_text} | ({KEYS: keys} if keys else {}),
    }


def service(owner: dict[str, Any], workload: str) -> dict[str, Any]:
    """The Service of one workload: what routes and checks name."""
    return _service(metadata(owner, workload, workload), workload)


def stable_service(owner: dict[str, Any], workload: str) -> dict[str, Any]:
    """The Service <name> for callers in the cluster; it selects the stable workload and is flipped at promotion."""
    return _service(metadata(owner, owner["metadata"]["name"]), workload)


def _service(meta: dict[str, Any], workload: str) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": meta,
        "spec": {
            "selector": {LABEL_WORKLOAD: workload},
            "ports": [
                {"name": "http", "port": PORT_HTTP, "targetPort": "http", "protocol": "TCP", "appProtocol": "http"},
                {
                    "name": "grpc",
                    "port": PORT_GRPC,
                    "targetPort": "grpc",
                    "protocol": "TCP",
                    "appProtocol": "kubernetes.io/h2c",
                },
            ],
        },
    }


def disruption_budget(owner: dict[str, Any], workload: str) -> dict[str, Any]:
    """At most one pod of the workload is evicted at a time; one that is not ready never holds a drain up."""
    return {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": metadata(owner, workload, workload),
        "spec": {
            "maxUnavailable": 1,
            "selector": {"matchLabels": {LABEL_WORKLOAD: workload}},
            "unhealthyPodEvictionPolicy": "AlwaysAllow",
        },
    }


def deployment(
    owner: dict[str, Any], workload: str, revision: Revision, replicas: int, *, keys: bool = False
) -> dict[str, Any]:
    """The Deployment of one workload; with `keys` its ConfigMap has some, and its pods take documents from who has the others.

    Raises:
        TemplateError: `serving.podTemplate` asks for something that is refused.
    """
    name = owner["metadata"]["name"]
    template = _template(name, workload, revision, revision.serving.runtime or ServerRuntime())
    if keys:
        _trust_keys(template["spec"]["containers"][0])
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": metadata(owner, workload, workload, **{LABEL_REVISION: revision.hash}),
        "spec": {
            "replicas": replicas,
            "revisionHistoryLimit": 0,
            "progressDeadlineSeconds": 600,
            "selector": {"matchLabels": {LABEL_WORKLOAD: workload}},
            "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1}},
            "template": checked_template(template, revision.serving.pod_template),
        },
    }


def refusal(spec: ModelDeploymentSpec) -> str | None:
    """Why no workload of today's spec can be rendered, None where one can."""
    serving = spec.serving or Serving()
    revision = Revision(hash="", model=spec.model, serving=serving, image="")
    try:
        checked_template(_template("", "", revision, serving.runtime or ServerRuntime()), serving.pod_template)
    except TemplateError as error:
        return f"spec.{error}"
    return None


def _template(name: str, workload: str, revision: Revision, runtime: ServerRuntime) -> dict[str, Any]:
    delay = runtime.termination_delay or "5s"
    template: dict[str, Any] = {
        "metadata": {"labels": labels(name, workload, **{LABEL_ROLE: ROLE_SERVING})},
        "spec": {
            "automountServiceAccountToken": False,
            "enableServiceLinks": False,
            "terminationGracePeriodSeconds": int(seconds(delay)) + DRAIN_SECONDS + 5,
            "securityContext": {
                "runAsNonRoot": True,
                "runAsUser": 65532,
                "fsGroup": 65532,
                "seccompProfile": {"type": "RuntimeDefault"},
            },
            "containers": [_container(revision, runtime, delay)],
            "volumes": [
                {"name": "document", "configMap": {"name": workload}},
                {"name": "cache", "emptyDir": {}},
                {"name": "tmp", "emptyDir": {}},
            ],
        },
    }
    trust(template["spec"], template["spec"]["containers"][0], revision.model.ca_config_map_ref)
    if revision.serving.feedback is not None:
        _take_feedback(template["spec"], revision.serving.feedback.token_secret_ref)
    return template


def _container(revision: Revision, runtime: ServerRuntime, delay: str) -> dict[str, Any]:
    options = {
        "--document": "/etc/luntra/document.json",
        "--host": "0.0.0.0",  # noqa: S104 - a pod's own network namespace
        "--http-port": str(PORT_HTTP),
        "--grpc-port": str(PORT_GRPC),
        "--management-host": "0.0.0.0",  # noqa: S104 - read-only state and metrics; no route leads here
        "--management-port": str(PORT_MANAGEMENT),
        "--cache-dir": "/var/cache/luntra",
        "--termination-delay": delay,
        "--deadline": runtime.deadline or "30s",
        "--max-queue": str(runtime.max_queue or 256),
        "--max-batch": str(runtime.max_batch or 1),
        "--batch-delay": runtime.batch_delay or "0s",
    }
    container: dict[str, Any] = {
        "name": CONTAINER,
        "image": revision.image,
        "args": [f"{key}={value}" for key, value in options.items()],
        "ports": [
            {"name": "http", "containerPort": PORT_HTTP},
            {"name": "grpc", "containerPort": PORT_GRPC},
            {"name": "management", "containerPort": PORT_MANAGEMENT},
        ],
        # A load may be slow; until it is done only the startup probe runs, and the rollout's deadline bounds it.
        "startupProbe": _probe("/v2/health/live", period=1, failures=60),
        "readinessProbe": _probe("/v2/health/ready", period=1, failures=1),
        "livenessProbe": _probe("/v2/health/live", period=10, failures=6),
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        "volumeMounts": [
            {"name": "document", "mountPath": "/etc/luntra", "readOnly": True},
            {"name": "cache", "mountPath": "/var/cache/luntra"},
            {"name": "tmp", "mountPath": "/tmp"},  # noqa: S108 - a path in the container
        ],
    }
    if revision.serving.resources:
        container["resources"] = revision.serving.resources.model_dump(exclude_none=True)
    return container


def _trust_keys(container: dict[str, Any]) -> None:
    """The keys are mounted with the document; the server reads them anew for each request."""
    container["args"].append(f"--keys=/etc/luntra/{KEYS}")
    uid = {"name": "LUNTRA_POD_UID", "valueFrom": {"fieldRef": {"fieldPath": "metadata.uid"}}}
    container["env"] = [*container.get("env", []), uid]


def _take_feedback(pod: dict[str, Any], token: SecretKey) -> None:
    """The token is mounted, and read anew for each request: one that is changed needs no new pods."""
    items = [{"key": token.key, "path": "token"}]
    pod["volumes"].append({"name": "feedback", "secret": {"secretName": token.name, "items": items}})
    container = pod["containers"][0]
    container["args"].append("--feedback-token-file=/etc/luntra-feedback/token")
    container["volumeMounts"].append({"name": "feedback", "mountPath": "/etc/luntra-feedback", "readOnly": True})


def _probe(path: str, period: int, failures: int) -> dict[str, Any]:
    return {
        "httpGet": {"path": path, "port": "http"},
        "periodSeconds": period,
        "timeoutSeconds": 5,
        "failureThreshold": failures,
    }
