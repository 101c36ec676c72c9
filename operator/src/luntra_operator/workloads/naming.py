"""Names, labels and owner references of everything that belongs to a ModelDeployment."""

import re
from typing import Any

from luntra_operator.api.checks import MOST_RETRIES
from luntra_operator.api.vocabulary import API_VERSION, KIND, LABEL_DEPLOYMENT, LABEL_WORKLOAD

_ORDINAL = re.compile(r"-w([1-9][0-9]*)$")


def revision_name(name: str, revision: str) -> str:
    """Name of the ControllerRevision."""
    return f"{name}-{revision}"


def check_name(workload: str, check: str, attempt: int = 1) -> str:
    """Name of the Job of one try of a check; the first has no number."""
    return f"{workload}-{check}" if attempt == 1 else f"{workload}-{check}-{attempt}"


def check_names(workload: str) -> dict[str, int]:
    """Names that check Jobs of a workload can have, and which try each is."""
    most = 1 + MOST_RETRIES + 1  # the one on top has a second look at a stable version that fails (`rollout.checking`)
    checks, attempts = ("evaluation", "benchmark"), range(1, most + 1)
    return {check_name(workload, check, attempt): attempt for check in checks for attempt in attempts}


def ordinal(workload: str) -> int:
    """The number in a workload's name; 0 for a name that is not one of ours."""
    match = _ORDINAL.search(workload)
    return int(match[1]) if match else 0


def labels(name: str, workload: str | None = None, **extra: str) -> dict[str, str]:
    """Labels of an object: recommended ones, ours, and `extra`."""
    own = {
        "app.kubernetes.io/name": name,
        "app.kubernetes.io/managed-by": "luntra",
        LABEL_DEPLOYMENT: name,
    }
    return own | ({LABEL_WORKLOAD: workload} if workload else {}) | extra


def metadata(owner: dict[str, Any], name: str, workload: str | None = None, **extra: str) -> dict[str, Any]:
    """Metadata of a child of `owner`: garbage collection deletes it with the owner."""
    return {
        "name": name,
        "namespace": owner["metadata"]["namespace"],
        "labels": labels(owner["metadata"]["name"], workload, **extra),
        "ownerReferences": [owner_reference(owner)],
    }


def owner_reference(owner: dict[str, Any]) -> dict[str, Any]:
    """Controller reference to a ModelDeployment."""
    return {
        "apiVersion": API_VERSION,
        "kind": KIND,
        "name": owner["metadata"]["name"],
        "uid": owner["metadata"]["uid"],
        "controller": True,
        "blockOwnerDeletion": True,
    }


def owned_by(owner: dict[str, Any], child: dict[str, Any]) -> bool:
    """Whether `owner` is the child's controller."""
    uid = owner["metadata"]["uid"]
    return any(ref.get("uid") == uid for ref in child["metadata"].get("ownerReferences", []))
