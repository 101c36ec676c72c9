"""The Job that runs one check of a candidate from the operator's own image.

It drives the candidate through the Service of its workload, so no user's traffic is touched, and
reports its verdict in the termination message.
"""

import json
from typing import Any

from luntra_operator.api.quantities import seconds
from luntra_operator.api.spec import ModelDeploymentSpec
from luntra_operator.api.vocabulary import LABEL_CHECK, LABEL_ROLE, PORT_HTTP, ROLE_CHECK

from .naming import check_name, labels, metadata

RETRIES = 1
"""A check that could not be made (not one that failed) is tried once more."""


def check_job(
    owner: dict[str, Any], spec: ModelDeploymentSpec, check: str, workload: str, stable: str | None, image: str
) -> dict[str, Any]:
    """The Job of `check` (evaluation or benchmark) for `workload`, compared with `stable` if there is one."""
    name, namespace = owner["metadata"]["name"], owner["metadata"]["namespace"]
    block = getattr(spec.checks, check)
    pod_labels = {LABEL_ROLE: ROLE_CHECK, LABEL_CHECK: check}
    config = {
        "kind": check,
        "model": spec.model.name or name,
        "candidate": _address(workload, namespace),
        "stable": _address(stable, namespace) if stable else None,
        "evaluation": _dump(spec.checks.evaluation),
        "benchmark": _dump(spec.checks.benchmark),
    }
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": metadata(owner, check_name(workload, check), **pod_labels),
        "spec": {
            "backoffLimit": RETRIES,
            "activeDeadlineSeconds": int((RETRIES + 1) * (seconds(block.timeout) + 60)),
            "template": {
                "metadata": {"labels": labels(name, **pod_labels)},
                "spec": {
                    "restartPolicy": "Never",
                    "automountServiceAccountToken": False,
                    "enableServiceLinks": False,
                    "securityContext": {
                        "runAsNonRoot": True,
                        "runAsUser": 65532,
                        "seccompProfile": {"type": "RuntimeDefault"},
                    },
                    "containers": [_container(check, config, image)],
                    "volumes": [{"name": "tmp", "emptyDir": {}}],
                },
            },
        },
    }


def _container(check: str, config: dict[str, Any], image: str) -> dict[str, Any]:
    return {
        "name": check,
        "image": image,
        "command": ["luntra-check"],
        "env": [{"name": "LUNTRA_CHECK", "value": json.dumps(config)}],
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        "volumeMounts": [{"name": "tmp", "mountPath": "/tmp"}],  # noqa: S108 - a path in the container
    }


def _address(workload: str, namespace: str) -> str:
    return f"http://{workload}.{namespace}.svc:{PORT_HTTP}"


def _dump(block: Any) -> dict[str, Any] | None:
    return block.model_dump(by_alias=True, exclude_none=True, mode="json") if block else None
