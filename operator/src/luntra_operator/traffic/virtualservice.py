"""VirtualService of Istio that Luntra owns (networking.istio.io/v1): every HTTP request of the model, through Istio's gateways.

Each workload has a Service of its own, so one http route with Services as destinations divides the traffic; subsets, and the
DestinationRule that would have to be there before them, are not needed. Destinations are short names, which Istio completes
with the VirtualService's namespace and its own idea of the cluster's domain. A destination of weight 0 gets no request, but a
gateway that knows only what routes name hears of it. Istio reports nothing in the status: whether a weight is in force only a
look through the data plane tells.

An http route in front of ours gets its requests first. So ours, where somebody has removed it, comes back at the front: it
matches the model's own paths only.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from luntra_operator.api.kinds import VIRTUAL_SERVICE
from luntra_operator.api.spec import ModelDeploymentSpec
from luntra_operator.api.traffic import IstioTraffic
from luntra_operator.api.vocabulary import PORT_HTTP, Reason

from .owned import OwnedObject
from .provider import Endpoint, FrameChange, Object, Obstacle, Question

_PARTS = ("gateways", "hosts")


class OwnedVirtualService(OwnedObject):
    """`spec.traffic.istio`. Its frame has gateways, hosts and the matches of our http route."""

    kind = VIRTUAL_SERVICE
    absence = Obstacle(Reason.ISTIO_MISSING, "install Istio (istio.io)")

    def wanted(self, endpoint: Endpoint) -> bool:
        """Whether the spec names Istio."""
        return endpoint.spec.istio is not None

    def question(self, spec: ModelDeploymentSpec) -> Question | None:
        """By its first host; a wildcard is asked by a name below it. Where the gateway is, no object tells."""
        return Question(spec.istio.hosts[0].replace("*", "luntra"), None) if spec.istio else None

    def content(self, endpoint: Endpoint) -> dict[str, Any]:
        """Today's frame."""
        if endpoint.spec.istio is None:
            raise LookupError("the spec does not name Istio")
        return frame(endpoint.spec.istio, endpoint.model)

    def spec(self, content: dict[str, Any], weights: Mapping[str, int]) -> Object:
        """One http route."""
        return {**{part: content[part] for part in _PARTS}, "http": [_http_route(content, weights)]}

    def changes(
        self,
        body: Object,
        ours: frozenset[str],
        content: dict[str, Any],
        weights: Mapping[str, int],
        change: FrameChange,
    ) -> tuple[list[Object], bool]:
        """Our http route's destinations and, where the frame changes, its matches and the gateways and hosts."""
        routes = body["spec"].get("http") or []
        index = _our_route(routes, ours | set(weights))
        if index is None:
            index = _emptied(routes, content["match"])
        if change == "Widen":
            content = _widened(body, routes[index] if index is not None else {}, content)
        operations: list[Object] = []
        if index is None:
            operations.append({"op": "add", "path": "/spec/http", "value": [_http_route(content, weights), *routes]})
        else:
            destinations = _destinations(routes[index].get("route") or [], ours, weights)
            operations.append({"op": "add", "path": f"/spec/http/{index}/route", "value": destinations})
            if change != "Keep":
                operations.append({"op": "add", "path": f"/spec/http/{index}/match", "value": content["match"]})
        if change != "Keep":
            operations += [{"op": "add", "path": f"/spec/{part}", "value": content[part]} for part in _PARTS]
        return operations, change == "Widen"

    def named(self, body: Object) -> Iterable[str]:
        """Hosts of all destinations of all http routes."""
        return (_host(one) for route in body["spec"].get("http") or [] for one in route.get("route") or [])

    def weights(self, body: Object, ours: frozenset[str]) -> dict[str, int]:
        """Weights of our http route; a destination without one gets nothing, unless it is the only one."""
        routes = body["spec"].get("http") or []
        index = _our_route(routes, ours)
        found = routes[index]["route"] if index is not None else []
        return {_host(one): one.get("weight", 100 if len(found) == 1 else 0) for one in found if _host(one) in ours}


def frame(istio: IstioTraffic, model: str) -> dict[str, Any]:
    """What the spec says of the VirtualService besides its destinations.

    By default the model's path and all below it match; a prefix of Istio's knows no segments and would take in a model whose
    name begins alike.
    """
    path = f"/v2/models/{model}"
    default: list[Object] = [{"uri": {"exact": path}}, {"uri": {"prefix": f"{path}/"}}]
    return {"gateways": istio.gateways, "hosts": istio.hosts, "match": istio.matches or default}


def _widened(body: Object, route: Object, content: dict[str, Any]) -> dict[str, Any]:
    """What is wanted, then what is there."""
    present = {part: body["spec"].get(part) or [] for part in _PARTS} | {"match": route.get("match") or []}
    return {part: [*wanted, *(one for one in present[part] if one not in wanted)] for part, wanted in content.items()}


def _our_route(routes: list[Object], ours: frozenset[str]) -> int | None:
    for index, route in enumerate(routes):
        if any(_host(one) in ours for one in route.get("route") or []):
            return index
    return None


def _emptied(routes: list[Object], match: list[Object]) -> int | None:
    """Our http route after somebody has removed its destinations; one that redirects is somebody's wish."""
    for index, route in enumerate(routes):
        if not route.get("route") and route.get("match") == match and not {"redirect", "directResponse"} & set(route):
            return index
    return None


def _http_route(content: dict[str, Any], weights: Mapping[str, int]) -> Object:
    return {"name": "luntra", "match": content["match"], "route": _destinations([], frozenset(), weights)}


def _destinations(present: list[Object], ours: frozenset[str], weights: Mapping[str, int]) -> list[Object]:
    kept = [
        {**one, "weight": weights[_host(one)]} if _host(one) in weights else one
        for one in present
        if _host(one) in weights or _host(one) not in ours
    ]
    names = {_host(one) for one in kept}
    return kept + [
        {"destination": {"host": name, "port": {"number": PORT_HTTP}}, "weight": weight}
        for name, weight in weights.items()
        if name not in names
    ]


def _host(destination: Object) -> str:
    host: str = destination["destination"]["host"]
    return host
