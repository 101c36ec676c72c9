"""HTTPRoute in Owned mode (gateway.networking.k8s.io/v1): build it once, then patch what is ours.

The route is created whole. After that only our backends' weights, our annotations and, when
`spec.traffic` changes, its frame (parents, hostnames, matches) are patched, each with a `test` of the
resourceVersion: lists in a route are atomic, and what others added must survive.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from luntra_operator.api.spec import GatewayTraffic
from luntra_operator.api.vocabulary import ANNOTATION_FRAME, ANNOTATION_INTENT, PORT_HTTP

_WIDENED = "~"
_MOST = {"parentRefs": 32, "hostnames": 16, "matches": 8}
"""Entries that the Gateway API allows; of matches since its first release."""


@dataclass(frozen=True, slots=True)
class RouteState:
    """A route as read: percent by workload of our backends, what it was last written for, and whether it is in force."""

    weights: Mapping[str, int]
    intent: str | None
    frame: str | None
    widened: bool
    current: bool
    message: str


def frame(gateway: GatewayTraffic, model: str) -> dict[str, Any]:
    """What the spec says of the route besides its backends."""
    content = gateway.model_dump(by_alias=True, exclude_none=True, mode="json")
    default = [{"path": {"type": "PathPrefix", "value": f"/v2/models/{model}"}}]
    return {
        "parentRefs": content["parentRefs"],
        "hostnames": content.get("hostnames", []),
        "matches": content.get("matches", default),
    }


def frame_hash(content: dict[str, Any]) -> str:
    """A short hash of a frame, to see whether the spec has changed since it was written."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:10]


def build(metadata: dict[str, Any], content: dict[str, Any], weights: Mapping[str, int], intent: str) -> dict[str, Any]:
    """A new HTTPRoute with one rule."""
    marks = {ANNOTATION_INTENT: intent, ANNOTATION_FRAME: frame_hash(content)}
    return {
        "apiVersion": "gateway.networking.k8s.io/v1",
        "kind": "HTTPRoute",
        "metadata": {**metadata, "annotations": marks},
        "spec": {
            "parentRefs": content["parentRefs"],
            **({"hostnames": content["hostnames"]} if content["hostnames"] else {}),
            "rules": [
                {
                    "matches": content["matches"],
                    "backendRefs": [_backend(name, weight) for name, weight in weights.items()],
                }
            ],
        },
    }


def patch(
    route: dict[str, Any],
    ours: frozenset[str],
    content: dict[str, Any],
    weights: Mapping[str, int],
    intent: str,
    change: Literal["Keep", "Widen", "Replace"] = "Keep",
) -> list[dict[str, Any]]:
    """JSON Patch (RFC 6902) that gives the route these weights and this intent, and leaves all else alone.

    `ours` are the workloads whose backends we may remove; other backends stay where they are. `change` says what becomes of the
    frame: it stays, gets `content` beside what is there, or becomes `content`.
    """
    rules = route["spec"].get("rules") or []
    index = _our_rule(rules, ours | set(weights))
    if index is None:
        index = _emptied(rules, content["matches"])
    annotations = dict(route["metadata"].get("annotations") or {})
    operations: list[dict[str, Any]] = [
        {"op": "test", "path": "/metadata/resourceVersion", "value": route["metadata"]["resourceVersion"]}
    ]
    mark = annotations.get(ANNOTATION_FRAME, frame_hash(content))
    if change == "Widen":
        content, mark = _widened(route, rules[index] if index is not None else {}, content)
    elif change == "Replace":
        mark = frame_hash(content)
    if index is None:
        rule = {"matches": content["matches"], "backendRefs": [_backend(n, w) for n, w in weights.items()]}
        operations.append({"op": "add", "path": "/spec/rules", "value": [*rules, rule]})
    else:
        backends = _backends(rules[index].get("backendRefs") or [], ours, weights)
        operations.append({"op": "add", "path": f"/spec/rules/{index}/backendRefs", "value": backends})
        if change != "Keep":
            operations.append({"op": "add", "path": f"/spec/rules/{index}/matches", "value": content["matches"]})
    if change != "Keep":
        operations.append({"op": "add", "path": "/spec/parentRefs", "value": content["parentRefs"]})
        operations.append({"op": "add", "path": "/spec/hostnames", "value": content["hostnames"]})
    annotations |= {ANNOTATION_INTENT: intent, ANNOTATION_FRAME: mark}
    return [*operations, {"op": "add", "path": "/metadata/annotations", "value": annotations}]


def _widened(route: dict[str, Any], rule: dict[str, Any], content: dict[str, Any]) -> tuple[dict[str, Any], str]:
    """A frame with what is there and what is wanted, and its mark; what is wanted alone where both are more than a route holds."""
    namespace = route["metadata"].get("namespace")

    def gateway(ref: dict[str, Any]) -> tuple[str | None, str]:
        return ref.get("namespace") or namespace, ref["name"]

    wanted = {
        gateway(ref) for ref in content["parentRefs"]
    }  # a route names a Gateway twice only by listeners, and moves in one go
    parents = [ref for ref in route["spec"].get("parentRefs") or [] if gateway(ref) not in wanted]
    hostnames = route["spec"].get("hostnames") or []
    every = not hostnames or not content["hostnames"]  # no hostnames means every host
    both = {
        "parentRefs": [*content["parentRefs"], *parents],
        "hostnames": []
        if every
        else [*content["hostnames"], *(one for one in hostnames if one not in content["hostnames"])],
        "matches": [*content["matches"], *(one for one in rule.get("matches") or [] if one not in content["matches"])],
    }
    if any(len(both[key]) > most for key, most in _MOST.items()):
        return content, frame_hash(content)
    return both, frame_hash(content) + _WIDENED


def read(route: dict[str, Any], ours: frozenset[str]) -> RouteState:
    """What a live route says of our workloads."""
    rules = route["spec"].get("rules") or []
    index = _our_rule(rules, ours)
    refs = (rules[index].get("backendRefs") or []) if index is not None else []
    annotations = route["metadata"].get("annotations") or {}
    current, message = _in_force(route)
    return RouteState(
        weights={ref["name"]: ref.get("weight", 1) for ref in refs if ref["name"] in ours},
        intent=annotations.get(ANNOTATION_INTENT),
        frame=annotations.get(ANNOTATION_FRAME, "").removesuffix(_WIDENED) or None,
        widened=annotations.get(ANNOTATION_FRAME, "").endswith(_WIDENED),
        current=current,
        message=message,
    )


def _in_force(route: dict[str, Any]) -> tuple[bool, str]:
    """Whether every parent has accepted this generation and resolved its backends; if not, why."""
    generation = route["metadata"].get("generation", 0)
    parents = route.get("status", {}).get("parents") or []
    if len(parents) < len(route["spec"].get("parentRefs") or []):
        return False, "no gateway controller has answered for every parentRef; do the Gateway and its controller exist?"
    for parent in parents:
        conditions = {condition["type"]: condition for condition in parent.get("conditions") or []}
        for kind in ("Accepted", "ResolvedRefs"):
            found = conditions.get(kind)
            if found is None or found.get("observedGeneration", 0) < generation:
                return False, f"the controller of Gateway {parent['parentRef']['name']} has not read the last write yet"
            if found["status"] != "True":
                return False, f"{kind}={found['status']} ({found['reason']}): {found.get('message', '')}"
    return True, ""


def _our_rule(rules: list[dict[str, Any]], ours: frozenset[str]) -> int | None:
    for index, rule in enumerate(rules):
        if any(ref["name"] in ours for ref in rule.get("backendRefs") or []):
            return index
    return None


def _emptied(rules: list[dict[str, Any]], matches: list[dict[str, Any]]) -> int | None:
    """Our rule after somebody has removed its backends; a second one behind it would never get a request."""
    for index, rule in enumerate(rules):
        if not rule.get("backendRefs") and rule.get("matches") == matches:
            return index
    return None


def _backends(refs: list[dict[str, Any]], ours: frozenset[str], weights: Mapping[str, int]) -> list[dict[str, Any]]:
    kept = [
        {**ref, "weight": weights[ref["name"]]} if ref["name"] in weights else ref
        for ref in refs
        if ref["name"] in weights or ref["name"] not in ours
    ]
    present = {ref["name"] for ref in kept}
    return kept + [_backend(name, weight) for name, weight in weights.items() if name not in present]


def _backend(name: str, weight: int) -> dict[str, Any]:
    return {"group": "", "kind": "Service", "name": name, "port": PORT_HTTP, "weight": weight}
