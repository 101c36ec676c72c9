"""What a person can ask of a rollout: approve, abort, retry, pause, resume, rollback.

Pure: from an object as it is to the object as it is to be, and a sentence about it. What the operator makes of it, it decides.
Intents name revision and attempt, so one that comes late speaks of nothing else than what the person has seen.
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

from luntra_operator.api.revision import revision_hash
from luntra_operator.api.validation import InvalidSpecError, parse_spec
from luntra_operator.api.vocabulary import (
    ANNOTATION_ABORT,
    ANNOTATION_APPROVE,
    ANNOTATION_RETRY,
    LABEL_REVISION,
    Phase,
    Reason,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

Document = dict[str, Any]

_APPLIERS = ("argocd.argoproj.io/", "fluxcd.io/")
"""What the keys of labels and annotations have that the common GitOps tools leave on an object."""


class NotPossibleError(Exception):
    """There is nothing to do that to; the text says what there is."""


def approve(document: Document) -> tuple[Document, str]:
    """Let the version that waits for approval go on. Raises NotPossibleError."""
    status = document.get("status", {})
    if status.get("phase") != Phase.AWAITING_APPROVAL:
        raise NotPossibleError(f"{_name(document)} does not wait for approval; it is {_state(status)}")
    return _asking(document, ANNOTATION_APPROVE, status["candidate"], "goes on")


def abort(document: Document) -> tuple[Document, str]:
    """Take the version under rollout back, or the one in its soak, and refuse it. Raises NotPossibleError."""
    status = document.get("status", {})
    version = status.get("stable") if status.get("phase") == Phase.SOAKING else status.get("candidate")
    if version is None:
        raise NotPossibleError(f"no rollout of {_name(document)} is under way; it is {_state(status)}")
    if "stable" not in status:
        message = "is the first one, and there is nothing to go back to: change spec.model, or delete the object"
        raise NotPossibleError(f"{version['version']} of {_name(document)} {message}")
    return _asking(document, ANNOTATION_ABORT, version, "is taken back")


def retry(document: Document) -> tuple[Document, str]:
    """Try the refused version once more, or repair a contended route again. Raises NotPossibleError."""
    status = document.get("status", {})
    if any(one["reason"] == Reason.ROUTE_CONTENDED for one in status.get("conditions", [])) and "candidate" in status:
        return _asking(document, ANNOTATION_RETRY, status["candidate"], "goes on", status["repairs"][-1])
    if status.get("phase") != Phase.ROLLED_BACK or "rejectedRevision" not in status:
        raise NotPossibleError(f"no version of {_name(document)} is refused; it is {_state(status)}")
    version = {"revision": status["rejectedRevision"], "version": document["spec"]["model"]["version"]}
    return _asking(document, ANNOTATION_RETRY, version, "is tried again")


def pause(document: Document) -> tuple[Document, str]:
    """Have the operator change nothing at all: no step, no repair, no rollback. Raises NotPossibleError."""
    if _paused(document):
        raise NotPossibleError(f"{_name(document)} is paused already")
    changed = copy.deepcopy(document)
    changed["spec"].setdefault("rollout", {})["paused"] = True
    told = "is paused: nothing is changed, repaired or rolled back, not even a failing version, until luntra resume"
    return changed, f"{_name(document)} {told}"


def resume(document: Document) -> tuple[Document, str]:
    """Let the operator go on. Raises NotPossibleError."""
    if not _paused(document):
        raise NotPossibleError(f"{_name(document)} is not paused")
    changed = copy.deepcopy(document)
    del changed["spec"]["rollout"]["paused"]
    return changed, f"{_name(document)} goes on"


def rollback(document: Document, revisions: list[Document], to: str | None) -> tuple[Document, str]:
    """Set the spec back to an earlier version, given its ControllerRevisions. Raises NotPossibleError.

    Without `to` that is the stable one while another is tried or was refused, else the one before. The operator returns to a version
    with warm pods at once; every other one is rolled out as a new one is.
    """
    stored = {one["metadata"]["labels"][LABEL_REVISION]: one["data"] for one in revisions}
    revision = _target(document, stored, to)
    data = stored.get(revision)
    if data is None:
        raise NotPossibleError(
            f"what {revision} of {_name(document)} was is not stored any more; set spec.model yourself"
        )
    model, serving = data["model"], data.get("serving")
    if revision == _asked_for(document):
        raise NotPossibleError(f"the spec of {_name(document)} names {model['version']} ({revision}) already")
    changed = copy.deepcopy(document)
    changed["spec"]["model"] = model
    changed["spec"].pop("serving", None)
    if serving:
        changed["spec"]["serving"] = serving
    told = f"{_name(document)} is set back from {document['spec']['model'].get('version')} to {model['version']}"
    where = f"{_name(document)} -n {document['metadata']['namespace']}"
    return changed, f"{told}; watch it: luntra status {where} --watch{_applier(document, model['version'])}"


VERBS: Mapping[str, Callable[[Document], tuple[Document, str]]] = {
    "approve": approve,
    "abort": abort,
    "retry": retry,
    "pause": pause,
    "resume": resume,
}
"""Those that need nothing but the object."""


def _target(document: Document, stored: Mapping[str, Any], to: str | None) -> str:
    status = document.get("status", {})
    history = status.get("history", [])
    promoted = [entry["revision"] for entry in history if entry["outcome"] == "Promoted"]
    stable = status.get("stable", {}).get("revision")
    if to is None:
        if stable and ("candidate" in status or status.get("phase") == Phase.ROLLED_BACK):
            return str(stable)
        earlier = [revision for revision in promoted if revision != stable]
        if not earlier:
            raise NotPossibleError(f"there is no earlier version of {_name(document)} in its history")
        return str(earlier[0])
    fitting = [name for name, data in stored.items() if to in (name, data["model"]["version"], data["model"]["digest"])]
    known = [name for name in (*promoted, *([stable] if stable else [])) if name in fitting]
    if known:
        return str(known[0])
    served = ", ".join(dict.fromkeys(entry["version"] for entry in history if entry["outcome"] == "Promoted"))
    why = "was never promoted" if fitting else "is not in the history"
    raise NotPossibleError(f"{to} {why} of {_name(document)}; there are: {served or 'none'}")


def _asked_for(document: Document) -> str | None:
    try:
        return revision_hash(
            parse_spec({key: document["spec"][key] for key in ("model", "serving") if key in document["spec"]})
        )
    except InvalidSpecError:
        return None


def _asking(
    document: Document, annotation: str, version: Document, then: str, token: str | None = None
) -> tuple[Document, str]:
    changed = copy.deepcopy(document)
    value = f"{version['revision']}/{token or document['status'].get('attempt', 0)}"
    changed["metadata"].setdefault("annotations", {})[annotation] = value
    return changed, f"{_name(document)}: {version['version']} {then}"


def _paused(document: Document) -> bool:
    return bool(document["spec"].get("rollout", {}).get("paused"))


def _state(status: Document) -> str:
    version = status.get("candidate") or status.get("stable")
    return f"{status.get('phase', Phase.PENDING)}{' with ' + version['version'] if version else ''}"


def _applier(document: Document, version: str) -> str:
    keys = (*document["metadata"].get("labels", {}), *document["metadata"].get("annotations", {}))
    if not any(mark in key for key in keys for mark in _APPLIERS):
        return ""
    return f"\nGit manages this object: name {version} there too, or it will be set forward again"


def _name(document: Document) -> str:
    return str(document["metadata"]["name"])
