"""The revision of a spec: what makes two versions the same.

A revision is the SHA-256 over canonical JSON (sorted keys, no white space) of the user's own
`model` and `serving`, with quantities and durations in one spelling. The operator's settings and
anything else in the spec have no part in it, so upgrading the operator or editing the rollout plan
starts no rollout.
"""

import hashlib
import json
from typing import Any

from .quantities import canonical_duration, canonical_quantity
from .spec import ModelDeploymentSpec

_DURATIONS = ("deadline", "batchDelay", "terminationDelay")


def revision_content(spec: ModelDeploymentSpec) -> dict[str, Any]:
    """`{model, serving}` in canonical form, as hashed and as kept in the ControllerRevision."""
    content = spec.model_dump(by_alias=True, exclude_none=True, mode="json", include={"model", "serving"})
    serving = content.get("serving")
    if not serving:
        content.pop("serving", None)
        return content
    resources = serving.get("resources", {})
    for name, quantities in resources.items():
        resources[name] = {key: canonical_quantity(value) for key, value in quantities.items()}
    runtime = serving.get("runtime", {})
    for name in _DURATIONS:
        if name in runtime:
            runtime[name] = canonical_duration(runtime[name])
    return content


def revision_hash(spec: ModelDeploymentSpec) -> str:
    """The first 10 hex digits of the content's SHA-256; the name that revisions go by."""
    canonical = json.dumps(revision_content(spec), sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(canonical.encode()).hexdigest()[:10]
