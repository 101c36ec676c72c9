"""The Job that runs one try of a check of a candidate from the operator's own image.

It drives the candidate through the Service of its workload, so no user's traffic is touched, and
reports its verdict in the termination message: that needs no permission of the pod, and of the operator none to read the
logs of everybody's pods. Where the container dies without a report, the message has the end of its log.

A pod that fails ends the Job: whether it is tried again is the engine's decision. Only one that was taken away (evicted,
preempted, its node drained) is replaced by the Job itself, within its deadline.
"""

import json
import math
from typing import Any

from luntra_operator.api.spec import ModelDeploymentSpec
from luntra_operator.api.vocabulary import LABEL_CHECK, LABEL_ROLE, PORT_HTTP, ROLE_CHECK

from .naming import check_name, labels, metadata
from .serving import CONTAINER as SERVER
from .trust import trust


def check_job(
    owner: dict[str, Any],
    spec: ModelDeploymentSpec,
    check: str,
    workload: str,
    stable: str | None,
    image: str,
    attempt: int = 1,
) -> dict[str, Any]:
    """The Job of one try of `check` (evaluation or benchmark) for `workload`, compared with `stable` if there is one."""
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
    pod: dict[str, Any] = {
        "restartPolicy": "Never",
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": 2,  # a check that is not wanted any more must not go on asking stable
        "securityContext": {"runAsNonRoot": True, "runAsUser": 65532, "seccompProfile": {"type": "RuntimeDefault"}},
        "containers": [_container(check, config, image)],
        "volumes": [{"name": "tmp", "emptyDir": {}}],
    }
    _borrow(pod, (spec.serving and spec.serving.pod_template) or {})
    trust(pod, pod["containers"][0], spec.model.ca_config_map_ref)
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": metadata(owner, check_name(workload, check, attempt), **pod_labels),
        "spec": {
            "backoffLimit": 0,
            "podFailurePolicy": {
                "rules": [
                    {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]},
                ]
            },
            "activeDeadlineSeconds": math.ceil(block.deadline),
            "template": {"metadata": {"labels": labels(name, **pod_labels)}, "spec": pod},
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


def _borrow(pod: dict[str, Any], patch: dict[str, Any]) -> None:
    """Give the check what the user's podTemplate gives the model server to reach data and images with.

    So an evaluation set may lie on the volume that the bundles lie on, under the same path.
    """
    template = patch.get("spec") or {}
    servers = [one for one in template.get("containers") or [] if one.get("name") == SERVER]
    own = {volume["name"] for volume in pod["volumes"]}
    borrowed = [volume for volume in template.get("volumes") or [] if volume["name"] not in own]
    names = {volume["name"] for volume in borrowed}
    pod["volumes"] += borrowed
    pod["containers"][0]["volumeMounts"] += [
        mount for one in servers for mount in one.get("volumeMounts") or [] if mount["name"] in names
    ]
    if "imagePullSecrets" in template:
        pod["imagePullSecrets"] = template["imagePullSecrets"]


def _address(workload: str, namespace: str) -> str:
    return f"http://{workload}.{namespace}.svc:{PORT_HTTP}"


def _dump(block: Any) -> dict[str, Any] | None:
    return block.model_dump(by_alias=True, exclude_none=True, mode="json") if block else None
