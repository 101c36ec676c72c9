"""HTTPRoute that Luntra owns (gateway.networking.k8s.io/v1): every HTTP request of the model.

Where the spec declares a preview its frame has `preview`, too, and while there is a candidate to be seen it has one more rule.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from luntra_operator.api.kinds import HTTP_ROUTE
from luntra_operator.api.spec import GatewayTraffic, ModelDeploymentSpec
from luntra_operator.api.vocabulary import PORT_HTTP

from . import preview
from .gateway_api import OwnedRoute, our_rule
from .provider import Create, Endpoint, Found, FrameChange, Object, Patch, Question, RouteState, Write

_RULES = "/spec/rules"


class OwnedHttpRoute(OwnedRoute):
    """`spec.traffic.gateway`."""

    kind = HTTP_ROUTE
    port = PORT_HTTP

    def wanted(self, endpoint: Endpoint) -> bool:
        """Whether the spec names a gateway."""
        return endpoint.spec.gateway is not None

    def question(self, spec: ModelDeploymentSpec) -> Question | None:
        """By its first host, at its first Gateway; a wildcard is asked by a name below it."""
        if spec.gateway is None:
            return None
        hostnames = spec.gateway.hostnames or []
        return Question(hostnames[0].replace("*", "luntra") if hostnames else None, spec.gateway.parent_refs[0])

    def content(self, endpoint: Endpoint) -> dict[str, Any]:
        """Today's frame."""
        if endpoint.spec.gateway is None:
            raise LookupError("the spec names no gateway")
        return frame(endpoint.spec.gateway, endpoint.model)

    def state(self, body: Object, ours: frozenset[str]) -> RouteState:
        """What a live route says, with its preview."""
        return replace(super().state(body, ours), preview=preview.leads_to(body["spec"].get("rules") or []))

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
        place = our_rule(rules, named)
        if place is None:
            return rules
        declared = endpoint.spec.preview
        ordinary = preview.guarded(rules[place], declared is not None) if guard else rules[place]
        backend = self.backend(endpoint.preview, 1) if endpoint.preview else None
        header = declared.header if declared else None
        return preview.arranged([*rules[:place], ordinary, *rules[place + 1 :]], place, header, backend)


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


def frame(gateway: GatewayTraffic, model: str) -> dict[str, Any]:
    """What the spec says of the route besides its backends."""
    content = gateway.model_dump(by_alias=True, exclude_none=True, mode="json")
    default = [{"path": {"type": "PathPrefix", "value": f"/v2/models/{model}"}}]
    return {
        **({"preview": content["preview"]} if "preview" in content else {}),
        "parentRefs": content["parentRefs"],
        "hostnames": content.get("hostnames", []),
        "matches": content.get("matches", default),
    }
