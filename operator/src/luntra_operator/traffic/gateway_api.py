"""Routes of the Gateway API that Luntra owns: a rule of ours with weighted backends, and parents that report on them."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar

from luntra_operator.api.vocabulary import Reason

from . import parking, preview
from .owned import OwnedObject
from .provider import Create, Endpoint, Found, FrameChange, Object, Obstacle, Patch, RouteState, Write

_RULES = "/spec/rules"

_MOST = {"parentRefs": 32, "hostnames": 16, "matches": 8}
"""Entries that the Gateway API allows; of matches since its first release."""

_ASKED = ("Accepted", "ResolvedRefs")
"""Conditions that each parent is to report."""


class OwnedRoute(OwnedObject):
    """A route of our own name with one rule of ours; subclasses say of which kind, for which requests and to which port.

    Its frame has parentRefs, hostnames and matches, and `preview` where one is declared: while there is a candidate to be seen the
    route has one more rule then.
    """

    port: ClassVar[int]
    absence = Obstacle(Reason.GATEWAY_API_MISSING, "install the Gateway API CRDs (gateway-api.sigs.k8s.io)")

    def spec(self, content: dict[str, Any], weights: Mapping[str, int]) -> Object:
        """One rule."""
        rule = {"matches": content["matches"], "backendRefs": self._backends([], frozenset(), weights)}
        hostnames = {"hostnames": content["hostnames"]} if content["hostnames"] else {}
        return {"parentRefs": content["parentRefs"], **hostnames, "rules": [rule]}

    def changes(
        self,
        body: Object,
        ours: frozenset[str],
        content: dict[str, Any],
        weights: Mapping[str, int],
        change: FrameChange,
    ) -> tuple[list[Object], bool]:
        """Our rule's backends and, where the frame changes, its matches and the route's parents and hostnames."""
        rules = body["spec"].get("rules") or []
        index = _our_rule(rules, ours | set(weights))
        if index is None:
            index = _emptied(rules, content["matches"])
        widened = False
        if change == "Widen":
            content, widened = _widened(body, rules[index] if index is not None else {}, content)
        operations: list[Object] = []
        if index is None:
            rule = {"matches": content["matches"], "backendRefs": self._backends([], ours, weights)}
            operations.append({"op": "add", "path": "/spec/rules", "value": [*rules, rule]})
        else:
            backends = self._backends(rules[index].get("backendRefs") or [], ours, weights)
            operations.append({"op": "add", "path": f"/spec/rules/{index}/backendRefs", "value": backends})
            if change != "Keep":
                operations.append({"op": "add", "path": f"/spec/rules/{index}/matches", "value": content["matches"]})
        if change != "Keep":
            operations.append({"op": "add", "path": "/spec/parentRefs", "value": content["parentRefs"]})
            operations.append({"op": "add", "path": "/spec/hostnames", "value": content["hostnames"]})
        return operations, widened

    def named(self, body: Object) -> Iterable[str]:
        """Names of all backends of all rules."""
        return (ref["name"] for rule in body["spec"].get("rules") or [] for ref in rule.get("backendRefs") or [])

    def weights(self, body: Object, ours: frozenset[str]) -> dict[str, int]:
        """Weights of our rule; where none is given it is 1."""
        rules = body["spec"].get("rules") or []
        index = _our_rule(rules, ours)
        refs = (rules[index].get("backendRefs") or []) if index is not None else []
        return {ref["name"]: ref.get("weight", 1) for ref in refs if ref["name"] in ours}

    def in_force(self, body: Object) -> tuple[bool, str]:
        """Whether every parent has accepted this generation and resolved its backends; if not, why."""
        return in_force(body)

    def state(self, body: Object, ours: frozenset[str]) -> RouteState:
        """What a live route says, with its preview."""
        found = super().state(body, ours)
        current = unread(body) is None if found.parked else found.current
        return replace(found, current=current, preview=preview.leads_to(body["spec"].get("rules") or []))

    def parking(self, body: Object) -> list[Object]:
        """No host, or no match, that anybody asks for."""
        return parking.parked(body, self.kind.kind)

    def reviving(self, body: Object) -> list[Object]:
        """Matches as they were."""
        return parking.revived(body)

    def write(
        self, endpoint: Endpoint, found: Found, weights: Mapping[str, int], intent: str, change: FrameChange
    ) -> tuple[Write, ...]:
        """Create the route, or patch it; the preview comes and goes by the same write as the weights."""
        made = super().write(endpoint, found, weights, intent, change)
        return tuple(self._with_preview(endpoint, found, write, frozenset(weights), change) for write in made)

    def _with_preview(
        self, endpoint: Endpoint, found: Found, write: Write, named: frozenset[str], change: FrameChange
    ) -> Write:
        match write:
            case Create():
                rules = self._arranged(endpoint, write.body["spec"]["rules"], named, guard=True)
                return replace(write, body={**write.body, "spec": {**write.body["spec"], "rules": rules}})
            case Patch():
                body = found[write.ref] or {}
                rules = _patched(body["spec"].get("rules") or [], write.operations)
                added = any(operation["path"] == _RULES for operation in write.operations)
                wanted = self._arranged(endpoint, rules, named, guard=added or change != "Keep")
                if wanted == rules:
                    return write
                others = [operation for operation in write.operations if not operation["path"].startswith(_RULES)]
                return replace(write, operations=[*others, {"op": "add", "path": _RULES, "value": wanted}])
        return write

    def _arranged(self, endpoint: Endpoint, rules: list[Object], named: frozenset[str], *, guard: bool) -> list[Object]:
        """The rules with the preview that is wanted; a `guard` is put up or taken down only with the frame."""
        place = _our_rule(rules, named)
        if place is None:
            return rules
        declared = endpoint.spec.preview
        ordinary = preview.guarded(rules[place], declared is not None) if guard else rules[place]
        backend = self._backend(endpoint.preview, 1) if endpoint.preview else None
        header = declared.header if declared else None
        return preview.arranged([*rules[:place], ordinary, *rules[place + 1 :]], place, header, backend)

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


def _patched(rules: list[Object], operations: Sequence[Mapping[str, Any]]) -> list[Object]:
    """The rules after operations that set all of them, or one field of one."""
    result = list(rules)
    for operation in operations:
        match operation["path"].removeprefix(_RULES).split("/") if operation["path"].startswith(_RULES) else None:
            case [_, index, field]:
                result[int(index)] = {**result[int(index)], field: operation["value"]}
            case [_]:
                result = list(operation["value"])
    return result


def _widened(route: dict[str, Any], rule: dict[str, Any], content: dict[str, Any]) -> tuple[dict[str, Any], bool]:
    """A frame with what is there and what is wanted, and True; what is wanted alone where both are more than a route holds."""
    namespace = route["metadata"].get("namespace")

    def gateway(ref: dict[str, Any]) -> tuple[str | None, str]:
        return ref.get("namespace") or namespace, ref["name"]

    wanted = {
        gateway(ref) for ref in content["parentRefs"]
    }  # a route names a Gateway twice only by listeners, and moves in one go
    parents = [ref for ref in route["spec"].get("parentRefs") or [] if gateway(ref) not in wanted]
    hostnames = route["spec"].get("hostnames") or []
    every = not hostnames or not content["hostnames"]  # no hostnames means every host
    matches = rule.get("matches")
    anything = not content["matches"] or matches == []  # likewise
    both = {
        "parentRefs": [*content["parentRefs"], *parents],
        "hostnames": []
        if every
        else [*content["hostnames"], *(one for one in hostnames if one not in content["hostnames"])],
        "matches": []
        if anything
        else [*content["matches"], *(one for one in matches or [] if one not in content["matches"])],
    }
    if any(len(both[key]) > most for key, most in _MOST.items()):
        return content, False
    return both, True


def _our_rule(rules: list[dict[str, Any]], ours: frozenset[str]) -> int | None:
    for index, rule in enumerate(rules):
        if any(ref["name"] in ours for ref in rule.get("backendRefs") or []) and not preview.is_preview(rule):
            return index
    return None


def _emptied(rules: list[dict[str, Any]], matches: list[dict[str, Any]]) -> int | None:
    """Our rule after somebody has removed its backends; a second one behind it would never get a request."""
    for index, rule in enumerate(rules):
        if not rule.get("backendRefs") and rule.get("matches") == matches:
            return index
    return None


def in_force(body: Object) -> tuple[bool, str]:
    """Whether every parent has accepted this generation and resolved its backends; if not, why."""
    told = unread(body)
    if told is not None:
        return False, told
    for _, conditions in _reports(body):
        for kind in _ASKED:
            found = conditions[kind]
            if found["status"] != "True":
                return False, f"{kind}={found['status']} ({found['reason']}): {found.get('message', '')}"
    return True, ""


def unread(body: Object) -> str | None:
    """Which parent has not said yet what it makes of this generation; None where all have."""
    generation = body["metadata"].get("generation", 0)
    reports = _reports(body)
    if len(reports) < len(body["spec"].get("parentRefs") or []):
        return "no gateway controller has answered for every parentRef; do the Gateway and its controller exist?"
    for gateway, conditions in reports:
        if any(conditions.get(kind, {}).get("observedGeneration", -1) < generation for kind in _ASKED):
            return f"the controller of Gateway {gateway} has not read the last write yet"
    return None


def _reports(body: Object) -> list[tuple[str, Object]]:
    """The Gateway's name and its conditions by type, of each parent."""
    return [
        (parent["parentRef"]["name"], {condition["type"]: condition for condition in parent.get("conditions") or []})
        for parent in body.get("status", {}).get("parents") or []
    ]
