"""What a route says, taken apart: whose backends it names with which weights, and what is none of the operator's business."""

import json
import re
from collections.abc import Mapping
from typing import Any

from luntra_operator.api.vocabulary import ANNOTATION_ADOPTED, ANNOTATION_FRAME, ANNOTATION_INTENT
from luntra_operator.kube.kinds import GRPC_ROUTE, HTTP_ROUTE

from .api_server import Object, copied

ROUTES = (HTTP_ROUTE, GRPC_ROUTE)


def users_route(name: str) -> str:
    """The name of the route that the user of an object has written."""
    return f"{name}-shop"


def names(name: str) -> tuple[str, str, str]:
    """The names of all routes that an object may have weights in: ours for HTTP and gRPC, and the user's."""
    return name, f"{name}.grpc", users_route(name)


def loan(name: str, route: Object) -> Object | None:
    """What a user's route says of a loan to an object; None where there is none."""
    text = (route["metadata"].get("annotations") or {}).get(ANNOTATION_ADOPTED, "{}")
    found: Object | None = json.loads(text).get(name)
    return found


def intent(name: str, route: Object) -> str:
    """The intent of the last write; empty where nothing of ours is in the route."""
    marks = route["metadata"].get("annotations") or {}
    return marks.get(ANNOTATION_INTENT) or (loan(name, route) or {}).get("intent") or ""


def shares(name: str, told: Mapping[str, int], selected: str | None) -> dict[str, int]:
    """Percent by an object's own workload of what backends are given; the Service of its name stands for what it selects."""
    found = {ref: weight for ref, weight in told.items() if re.fullmatch(rf"{name}-w\d+", ref)}
    if told.get(name) and selected is not None:
        found[selected] = found.get(selected, 0) + told[name]
    total = sum(found.values())
    return {ref: round(100 * weight / total) for ref, weight in found.items()} if total else found


def backends(route: Object) -> dict[str, int]:
    """Weight by backend over all rules of a route."""
    refs = [ref for rule in route["spec"].get("rules") or [] for ref in rule.get("backendRefs") or []]
    return {ref["name"]: ref.get("weight", 1) for ref in refs}


def ours(name: str, route: Object) -> dict[str, int]:
    """Weight by backend of an object's own workloads."""
    return {ref: weight for ref, weight in backends(route).items() if re.fullmatch(rf"{name}-w\d+", ref)}


def others_share(name: str, route: Object) -> tuple[Any, ...]:
    """All of a route but our backends, our annotations and what the spec says of its frame; of a user's route all but weights."""
    meta, rules = route["metadata"], copied(route["spec"])["rules"]
    lent = meta["name"] == users_route(name)
    rest: list[Any] = [{**route["spec"], "rules": []}] if lent else []
    for rule in rules:
        kept = [ref for ref in rule.get("backendRefs") or [] if not re.fullmatch(rf"{name}-w\d+", ref["name"])]
        for ref in kept:
            if ref["name"] == name:
                ref.pop("weight", None)
        if lent or kept or set(rule) - {"matches", "backendRefs"}:
            rest.append({**rule, "backendRefs": kept})
    notes = {key: value for key, value in (meta.get("annotations") or {}).items() if key not in _OUR_NOTES}
    return rest, notes, meta.get("labels")


_OUR_NOTES = (ANNOTATION_INTENT, ANNOTATION_FRAME, ANNOTATION_ADOPTED)
