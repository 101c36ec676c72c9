"""A container of the user's that measures: the Job that runs it once, and what its pod's end says. Pure.

The container learns from its environment whom to measure, and leaves one line of JSON in the file that LUNTRA_VERDICT names,
`{"verdict": "Pass", "message": "…", "value": 0.1}`, which is its termination message: reading that needs no right to read logs. If it
ends with an error and has left nothing there, Kubernetes puts the end of its log in place, so that a verdict printed
last counts as well. Whoever runs Jobs (names, tries, deletion) is not here.

The pod gets no service account token and no privilege; it may write to /tmp alone.
"""

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Final, Literal

from pydantic import Field, ValidationError

from luntra_operator.api.base import StatusModel
from luntra_operator.api.checks import START_SECONDS
from luntra_operator.api.sources import JobQuery, Variable
from luntra_operator.api.vocabulary import PORT_HTTP

from .target import Target

CONTAINER: Final = "metric"
VERDICT_FILE: Final = "/dev/termination-log"
KEPT_SECONDS: Final = 3600
"""Seconds that a Job stays after its end, for people to look at."""
LONGEST: Final = 1000

Object = dict[str, Any]


class Said(StatusModel):
    """What a container says in JSON; fields that we do not know are left alone."""

    verdict: Literal["Pass", "Fail", "NoData"]
    message: str = ""
    value: Annotated[float, Field(strict=True, allow_inf_nan=False)] | None = None


@dataclass(frozen=True, slots=True)
class Verdict:
    """How one run ended. `message` is the container's own, cut to 1000 characters: clean it before it goes into a status."""

    verdict: Literal["Pass", "Fail", "NoData", "Error"]
    reason: str = ""
    message: str = ""
    value: float | None = None


def job(query: JobQuery, target: Target, metadata: Mapping[str, Any]) -> Object:
    """The Job of one run. `metadata` is the Job's (name, namespace, labels, owner); its pods get the same labels."""
    container: Object = {
        "name": CONTAINER,
        "image": query.image,
        "env": [*({"name": k, "value": v} for k, v in environment(target).items()), *map(_variable, query.env or [])],
        "terminationMessagePath": VERDICT_FILE,
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        "volumeMounts": [{"name": "tmp", "mountPath": "/tmp"}],  # noqa: S108 - a path in the container
    }
    given = query.model_dump(by_alias=True, exclude_none=True, include={"command", "args", "resources"})
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": dict(metadata),
        "spec": {
            "backoffLimit": 0,
            "podFailurePolicy": {
                "rules": [{"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]}]
            },
            "activeDeadlineSeconds": math.ceil(query.time_limit + START_SECONDS),
            "ttlSecondsAfterFinished": KEPT_SECONDS,
            "template": {
                "metadata": {"labels": dict(metadata.get("labels", {}))},
                "spec": {
                    "restartPolicy": "Never",
                    "automountServiceAccountToken": False,
                    "enableServiceLinks": False,
                    "terminationGracePeriodSeconds": 2,
                    "securityContext": {
                        "runAsNonRoot": True,
                        "runAsUser": 65532,
                        "seccompProfile": {"type": "RuntimeDefault"},
                    },
                    "containers": [container | given],
                    "volumes": [{"name": "tmp", "emptyDir": {}}],
                },
            },
        },
    }


def environment(target: Target) -> dict[str, str]:
    """What the container is told; without a stable version its variables are empty."""
    return {
        "LUNTRA_NAMESPACE": target.namespace,
        "LUNTRA_NAME": target.name,
        "LUNTRA_REVISION": target.revision,
        "LUNTRA_STABLE_REVISION": target.stable_revision or "",
        "LUNTRA_WORKLOAD": target.workload,
        "LUNTRA_CANDIDATE_URL": _url(target.namespace, target.workload),
        "LUNTRA_STABLE_URL": _url(target.namespace, target.stable_workload),
        "LUNTRA_WINDOW": f"{target.window:g}",
        "LUNTRA_VERDICT": VERDICT_FILE,
    }


def _url(namespace: str, workload: str | None) -> str:
    return f"http://{workload}.{namespace}.svc:{PORT_HTTP}" if workload else ""


def _variable(variable: Variable) -> Object:
    ref = variable.secret_key_ref
    if ref is None:
        return {"name": variable.name, "value": variable.value}
    return {"name": variable.name, "valueFrom": {"secretKeyRef": {"name": ref.name, "key": ref.key}}}


def read(pod: Object) -> Verdict | None:
    """The verdict of a run's pod; None while its container has not ended.

    A container that ended with an error may have left a verdict all the same, and that counts; one that was killed has not.
    """
    for status in pod.get("status", {}).get("containerStatuses") or []:
        ended = status.get("state", {}).get("terminated")
        if status.get("name") != CONTAINER or not ended:
            continue
        found = said(ended.get("message") or "")
        if found is not None and ended.get("reason") != "OOMKilled":
            return found
        return Verdict("Error", *_end(ended))
    return None


def said(text: str) -> Verdict | None:
    """The verdict in the last line of a text that is one; None without any."""
    for line in _objects(text):
        try:
            found = Said.model_validate(line)
        except ValidationError:
            continue
        return Verdict(found.verdict, "Measured", found.message[:LONGEST], found.value)
    return None


def _objects(text: str) -> Iterator[Any]:
    """What the lines hold as JSON, from the last to the first; the text as a whole before them."""
    for part in (text, *reversed(text.splitlines())):
        if part.strip().startswith("{"):
            try:
                yield json.loads(part)
            except (ValueError, RecursionError):
                continue


def _end(ended: Object) -> tuple[str, str]:
    code, reason = ended.get("exitCode", 0), ended.get("reason") or "Error"
    if code == 0:
        how = f'write {{"verdict": "Pass"}}, Fail or NoData into the file that LUNTRA_VERDICT names ({VERDICT_FILE})'
        return "NoVerdict", f"the container ended and left no verdict: {how}"
    return (
        "Crashed" if reason == "Error" else reason
    ), f"the container ended with exit code {code} and left no verdict"
