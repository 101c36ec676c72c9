"""What a route says, taken apart: whose backends it names with which weights, and what is none of the operator's business."""

import re
from typing import Any

from luntra_operator.api.vocabulary import ANNOTATION_FRAME, ANNOTATION_INTENT

from .api_server import Object, copied


def backends(route: Object) -> dict[str, int]:
    """Weight by backend over all rules of a route."""
    refs = [ref for rule in route["spec"].get("rules") or [] for ref in rule.get("backendRefs") or []]
    return {ref["name"]: ref.get("weight", 1) for ref in refs}


def ours(name: str, route: Object) -> dict[str, int]:
    """Weight by backend of an object's own workloads."""
    return {ref: weight for ref, weight in backends(route).items() if re.fullmatch(rf"{name}-w\d+", ref)}


def others_share(name: str, route: Object) -> tuple[Any, ...]:
    """All of a route but our backends, our annotations and what the spec says of its frame."""
    meta, rules = route["metadata"], copied(route["spec"])["rules"]
    rest = []
    for rule in rules:
        kept = [ref for ref in rule.get("backendRefs") or [] if not re.fullmatch(rf"{name}-w\d+", ref["name"])]
        if kept or set(rule) - {"matches", "backendRefs"}:
            rest.append({**rule, "backendRefs": kept})
    notes = {key: value for key, value in (meta.get("annotations") or {}).items() if key not in _OUR_NOTES}
    return rest, notes, meta.get("labels")


_OUR_NOTES = (ANNOTATION_INTENT, ANNOTATION_FRAME)
