"""Routes of the Gateway API that Luntra owns: build one once, then patch what is ours.

A route is created whole. After that only our backends' weights, our annotations and, when
`spec.traffic` changes, its frame (parents, hostnames, matches) are patched, each with a `test` of the
resourceVersion: lists in a route are atomic, and what others added must survive.
"""

import hashlib
import json
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from typing import Any, ClassVar

from luntra_operator.api.kinds import Kind
from luntra_operator.api.spec import ModelDeploymentSpec
from luntra_operator.api.vocabulary import ANNOTATION_FRAME, ANNOTATION_INTENT, Reason

from .provider import (
    Create,
    Delete,
    Endpoint,
    Found,
    FrameChange,
    Object,
    Obstacle,
    Patch,
    Question,
    Ref,
    RouteState,
    Write,
)

_WIDENED = "~"
_MOST = {"parentRefs": 32, "hostnames": 16, "matches": 8}
"""Entries that the Gateway API allows; of matches since its first release."""


class OwnedRoute(ABC):
    """A route of our own name with one rule of ours; subclasses say of which kind, for which requests and to which port."""

    kind: ClassVar[Kind]
    port: ClassVar[int]
    keeps_sessions = False
    absence = Obstacle(Reason.GATEWAY_API_MISSING, "install the Gateway API CRDs (gateway-api.sigs.k8s.io)")

    @property
    def kinds(self) -> tuple[Kind, ...]:
        """The one kind of route."""
        return (self.kind,)

    @abstractmethod
    def wanted(self, endpoint: Endpoint) -> bool:
        """Whether the route is to be there."""

    def postponed(self, endpoint: Endpoint) -> Obstacle | None:  # noqa: ARG002 - nothing holds it up
        """Never."""
        return None

    @abstractmethod
    def question(self, spec: ModelDeploymentSpec) -> Question | None:
        """How to ask what answers behind it."""

    @abstractmethod
    def content(self, endpoint: Endpoint) -> dict[str, Any]:
        """Today's frame of a wanted route: parentRefs, hostnames, matches."""

    def objects(self, name: str, spec: ModelDeploymentSpec) -> tuple[Ref, ...]:  # noqa: ARG002 - others need the spec
        """The route."""
        return (Ref(self.kind, name),)

    def frame(self, endpoint: Endpoint) -> str:
        """The hash of today's frame."""
        return frame_hash(self.content(endpoint))

    def conflict(self, endpoint: Endpoint, found: Found) -> str | None:
        """A route of the name that belongs to somebody else."""
        route = found.get(Ref(self.kind, endpoint.name))
        if route is None or endpoint.owns(route):
            return None
        return f"the {self.kind.kind} {endpoint.name} is not owned by this object; delete or rename it"

    def read(self, endpoint: Endpoint, found: Found) -> RouteState | None:
        """What our route says."""
        route = self._ours(endpoint, found)
        return read(route, endpoint.workloads(_named(route))) if route else None

    def write(
        self, endpoint: Endpoint, found: Found, weights: Mapping[str, int], intent: str, change: FrameChange
    ) -> tuple[Write, ...]:
        """Create the route, or patch it."""
        route, wanted = self._ours(endpoint, found), self.wanted(endpoint)
        if route is None:
            return (Create(self.kind, self.build(dict(endpoint.metadata), self.content(endpoint), weights, intent)),)
        ours = endpoint.workloads(_named(route))
        if not wanted and _our_rule(route["spec"].get("rules") or [], ours) is None:
            return ()  # somebody has emptied what is about to go anyway
        content = self.content(endpoint) if wanted else {}
        operations = self.patch(route, ours, content, weights, intent, change)
        return (Patch(Ref(self.kind, endpoint.name), operations),)

    def remove(self, endpoint: Endpoint, found: Found) -> tuple[Write, ...]:
        """Delete our route."""
        return (Delete(Ref(self.kind, endpoint.name)),) if self._ours(endpoint, found) else ()

    def _ours(self, endpoint: Endpoint, found: Found) -> Object | None:
        route = found.get(Ref(self.kind, endpoint.name))
        return route if route is not None and endpoint.owns(route) else None

    def build(self, metadata: Object, content: dict[str, Any], weights: Mapping[str, int], intent: str) -> Object:
        """A new route with one rule."""
        marks = {ANNOTATION_INTENT: intent, ANNOTATION_FRAME: frame_hash(content)}
        return {
            "apiVersion": self.kind.api_version,
            "kind": self.kind.kind,
            "metadata": {**metadata, "annotations": marks},
            "spec": {
                "parentRefs": content["parentRefs"],
                **({"hostnames": content["hostnames"]} if content["hostnames"] else {}),
                "rules": [
                    {
                        "matches": content["matches"],
                        "backendRefs": [self._backend(name, weight) for name, weight in weights.items()],
                    }
                ],
            },
        }

    def patch(
        self,
        route: Object,
        ours: frozenset[str],
        content: dict[str, Any],
        weights: Mapping[str, int],
        intent: str,
        change: FrameChange = "Keep",
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
            rule = {"matches": content["matches"], "backendRefs": [self._backend(n, w) for n, w in weights.items()]}
            operations.append({"op": "add", "path": "/spec/rules", "value": [*rules, rule]})
        else:
            backends = self._backends(rules[index].get("backendRefs") or [], ours, weights)
            operations.append({"op": "add", "path": f"/spec/rules/{index}/backendRefs", "value": backends})
            if change != "Keep":
                operations.append({"op": "add", "path": f"/spec/rules/{index}/matches", "value": content["matches"]})
        if change != "Keep":
            operations.append({"op": "add", "path": "/spec/parentRefs", "value": content["parentRefs"]})
            operations.append({"op": "add", "path": "/spec/hostnames", "value": content["hostnames"]})
        annotations |= {ANNOTATION_INTENT: intent, ANNOTATION_FRAME: mark}
        return [*operations, {"op": "add", "path": "/metadata/annotations", "value": annotations}]

    def _backends(self, refs: list[Object], ours: frozenset[str], weights: Mapping[str, int]) -> list[Object]:
        kept = [
            {**ref, "weight": weights[ref["name"]]} if ref["name"] in weights else ref
            for ref in refs
            if ref["name"] in weights or ref["name"] not in ours
        ]
        present = {ref["name"] for ref in kept}
        return kept + [self._backend(name, weight) for name, weight in weights.items() if name not in present]

    def _backend(self, name: str, weight: int) -> Object:
        return {"group": "", "kind": "Service", "name": name, "port": self.port, "weight": weight}


def frame_hash(content: dict[str, Any]) -> str:
    """A short hash of a frame, to see whether the spec has changed since it was written."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:10]


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


def _named(route: Object) -> Iterable[str]:
    return (ref["name"] for rule in route["spec"].get("rules") or [] for ref in rule.get("backendRefs") or [])
