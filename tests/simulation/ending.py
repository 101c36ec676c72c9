"""How every story must end: once the faults have stopped and time has passed, all is as the status says, and the status is final."""

from collections.abc import Iterator

from luntra_operator.api.revision import revision_hash
from luntra_operator.api.validation import parse_spec
from luntra_operator.kube import kinds

from .api_server import ApiServer, Object, belongs_to
from .cluster import Cluster
from .gateway import Gateway
from .routes import ROUTES, backends, loan, shares, users_route
from .users import written

FINAL = ("Stable", "RolledBack", "AwaitingApproval")


def wrong_at_the_end(
    server: ApiServer, cluster: Cluster, gateway: Gateway, name: str, *, restored: bool
) -> Iterator[str]:
    """Sentences about what is not as it should be with one ModelDeployment and with what belongs to it.

    One that was `restored` without its status may wait for a person who tells it which version is stable.
    """
    owner = server.find(kinds.MODEL_DEPLOYMENT, name)
    if owner is None:
        yield f"{name} does not exist"
        return
    status = owner.get("status", {})
    if restored and _ready(status) == "False NeedsDecision":
        return
    if _ready(status) == "False RouteContended":  # it waits for a person, with all as it was before
        yield from _users_route(server, owner, {})
        return
    if status.get("phase") not in FINAL:
        yield f"{name} does not come to an end: {status.get('phase')}, {_ready(status)}"
        return
    yield from _strangers(server, name)
    yield from _children(server, owner)
    revision, stable = revision_hash(parse_spec(owner["spec"])), status.get("stable")
    if status["phase"] == "RolledBack" and status.get("rejectedRevision") != revision:
        yield f"{name} is RolledBack, but another revision than the spec's was refused"
    if stable is None:
        return
    if status["phase"] == "Stable" and (stable["revision"], _ready(status)) != (revision, "True Stable"):
        yield f"{name} is Stable with revision {stable['revision']}, not {revision}, and Ready is {_ready(status)}"
    yield from _traffic(server, gateway, owner, stable["workload"])
    for version in filter(None, (stable, status.get("candidate"))):
        piece = server.find(kinds.ENDPOINT_SLICE, f"{version['workload']}-slice") or {"endpoints": []}
        served = [cluster.serves.get(endpoint["targetRef"]["uid"]) for endpoint in piece["endpoints"]]
        if served != [version["version"]] * owner["spec"]["replicas"]:
            yield f"the endpoints of {version['workload']} serve {served}, not {version['version']}"


def _children(server: ApiServer, owner: Object) -> Iterator[str]:
    """Exactly the workloads that the status speaks of.

    But a first version that was superseded before it was stable goes on serving until another one does.
    """
    name, status = owner["metadata"]["name"], owner["status"]
    wanted = {status[role]["workload"] for role in ("stable", "candidate") if status.get(role)}
    route = server.find(kinds.HTTP_ROUTE, name)
    service = server.find(kinds.SERVICE, name)
    serving = set(backends(route)) if route else set(service["spec"]["selector"].values()) if service else set()
    spare = set() if status.get("stable") else serving
    for kind in (kinds.DEPLOYMENT, kinds.CONFIG_MAP):
        found = set(_names(server, kind, owner)) - spare
        if found != wanted - spare:
            yield f"{name} has {kind.plural} {sorted(found)}, not {sorted(wanted)}"


def _traffic(server: ApiServer, gateway: Gateway, owner: Object, stable: str) -> Iterator[str]:
    name, status = owner["metadata"]["name"], owner["status"]
    service = server.find(kinds.SERVICE, name)
    if service is None or stable not in service["spec"]["selector"].values():
        yield f"the Service {name} does not select {stable}"
    declared = owner["spec"].get("traffic", {}).get("gateway")
    owned, adopted = (
        declared is not None and "routeRef" not in declared,
        declared is not None and "routeRef" in declared,
    )
    step = status.get("step") or {"weight": 0}
    wanted = {stable: 100 - step["weight"]}
    if step["weight"]:
        wanted[status["candidate"]["workload"]] = step["weight"]
    for kind, route_name, there in (
        (kinds.HTTP_ROUTE, name, owned),
        (kinds.GRPC_ROUTE, f"{name}.grpc", owned and "grpc" in (declared or {})),
        (kinds.HTTP_ROUTE, users_route(name), adopted),
    ):
        route = server.find(kind, route_name)
        if route_name != users_route(name) and (route is not None) != there:
            yield f"the route {route_name} {'exists' if route else 'does not exist'}"
        if route is None or not there:
            continue
        found, leads = shares(name, backends(route), stable), gateway.leads.get(name)
        if {ref: weight for ref, weight in found.items() if weight} != wanted:
            yield f"the route {route_name} says {found}, not {wanted}"
        forced = shares(name, gateway.in_force.get(route_name, {}), leads)
        if {ref: weight for ref, weight in forced.items() if weight} != wanted:
            yield f"the gateway sends {forced}, not {wanted}, by {route_name}"
    # Where the spec names no route any more, the user's carries the rollout to its end, which may wait for approval.
    yield from _users_route(server, owner, None if owned else status.get("candidate"))


def _users_route(server: ApiServer, owner: Object, candidate: Object | None) -> Iterator[str]:
    """At rest there is nothing of ours in a route of the user's, nor does the object's deletion wait for it."""
    name = owner["metadata"]["name"]
    route = server.find(kinds.HTTP_ROUTE, users_route(name))
    if candidate:
        return
    if route is not None:
        refs = [ref for ref in route["spec"]["rules"][1]["backendRefs"] if not ref["name"].startswith("foreign-")]
        if refs != written(name)["spec"]["rules"][1]["backendRefs"] or loan(name, route) is not None:
            yield f"the user's route of {name} is left with {refs}"
    if owner["metadata"].get("finalizers"):
        yield f"{name} still has the finalizer"


def _strangers(server: ApiServer, name: str) -> Iterator[str]:
    """Nothing is left of an object that was deleted and made anew."""
    alive = {body["metadata"]["uid"] for body in server.all(kinds.MODEL_DEPLOYMENT)}
    for kind in (kinds.DEPLOYMENT, kinds.SERVICE, kinds.CONFIG_MAP, *ROUTES, kinds.CONTROLLER_REVISION):
        for body in server.all(kind):
            owners = {ref["uid"] for ref in body["metadata"].get("ownerReferences", ())}
            if not alive & owners and body["metadata"]["name"] != users_route(belongs_to(body["metadata"]["name"])):
                yield f"{kind.kind} {body['metadata']['name']} is left behind"
    found = {one for body in server.all(kinds.SERVICE) if belongs_to(one := body["metadata"]["name"]) == name}
    workloads = {body["metadata"]["name"] for body in server.all(kinds.DEPLOYMENT)}
    if extra := found - workloads - {body["metadata"]["name"] for body in server.all(kinds.MODEL_DEPLOYMENT)}:
        yield f"Services {sorted(extra)} are left over"


def _names(server: ApiServer, kind: kinds.Kind, owner: Object) -> list[str]:
    uid = owner["metadata"]["uid"]
    owned = [body for body in server.all(kind) if uid in {ref["uid"] for ref in body["metadata"]["ownerReferences"]}]
    return sorted(body["metadata"]["name"] for body in owned)


def _ready(status: Object) -> str:
    return next(
        (f"{one['status']} {one['reason']}" for one in status.get("conditions", []) if one["type"] == "Ready"),
        "unknown",
    )
