"""HTTPRoute that Luntra owns (gateway.networking.k8s.io/v1): every HTTP request of the model."""

from typing import Any

from luntra_operator.api.kinds import HTTP_ROUTE
from luntra_operator.api.spec import ModelDeploymentSpec
from luntra_operator.api.traffic import GatewayTraffic, ParentReference
from luntra_operator.api.vocabulary import PORT_HTTP

from .gateway_api import OwnedRoute
from .provider import Endpoint, Question


class OwnedHttpRoute(OwnedRoute):
    """`spec.traffic.gateway`."""

    kind = HTTP_ROUTE
    port = PORT_HTTP

    def wanted(self, endpoint: Endpoint) -> bool:
        """Whether the spec names a gateway, and no route of the user's."""
        return _parents(endpoint.spec) != []

    def question(self, spec: ModelDeploymentSpec) -> Question | None:
        """By its first host, at its first Gateway; a wildcard is asked by a name below it."""
        parents = _parents(spec)
        if spec.gateway is None or not parents:
            return None
        hostnames = spec.gateway.hostnames or []
        return Question(hostnames[0].replace("*", "luntra") if hostnames else None, parents[0])

    def content(self, endpoint: Endpoint) -> dict[str, Any]:
        """Today's frame."""
        if endpoint.spec.gateway is None:
            raise LookupError("the spec names no gateway")
        return frame(endpoint.spec.gateway, endpoint.model)


def _parents(spec: ModelDeploymentSpec) -> list[ParentReference]:
    return (spec.gateway.parent_refs or []) if spec.gateway else []


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
