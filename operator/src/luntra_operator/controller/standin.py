"""What to go by while an object's spec cannot be read: what was valid last, as far as the cluster still tells.

Nothing new is begun from such a spec (`Observed.invalid`), but a version that has traffic goes on being watched. Model and
serving are those of its revision, the route stays as it was written, and `replicas` and `rollout` count where each
is valid by itself. Of a rollout section that is not, nothing counts: only pods and the gateway speak then, no metric.
"""

from dataclasses import replace
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from luntra_operator.api.kinds import HTTP_ROUTE
from luntra_operator.api.rollout import Rollout
from luntra_operator.api.spec import ModelDeploymentSpec
from luntra_operator.api.status import ModelDeploymentStatus
from luntra_operator.api.traffic import GatewayTraffic, ParentReference, Traffic
from luntra_operator.rollout.observed import Observed
from luntra_operator.traffic.owned import is_parked
from luntra_operator.traffic.provider import Ref
from luntra_operator.workloads.naming import owned_by

from .observe import Children

Object = dict[str, Any]
Section = TypeVar("Section", bound=BaseModel)

_MOST_REPLICAS = 1000


def unread(owner: Object) -> ModelDeploymentSpec:
    """As much of a spec that cannot be read as it takes to know where its traffic is divided."""
    known: Object = {"traffic": _valid(Traffic, owner["spec"].get("traffic"))}
    return ModelDeploymentSpec.model_construct(**known)


def stand_in(
    owner: Object, status: ModelDeploymentStatus, children: Children
) -> tuple[ModelDeploymentSpec, str] | None:
    """A spec to watch by, and its revision.

    None where there is no version that could be watched, or where nobody can tell what divides its traffic.
    """
    version = status.candidate or status.stable
    revision = children.revisions.get(version.revision) if version else None
    if version is None or revision is None:
        return None
    raw: Object = owner["spec"]
    traffic = _traffic(owner, children) or _valid(Traffic, raw.get("traffic"))
    if traffic is None and raw.get("traffic") is not None:
        return None
    live = [
        one["spec"].get("replicas", 1) for one in children.deployments if one["metadata"]["name"] == version.workload
    ]
    wanted = raw.get("replicas", 1)
    valid = type(wanted) is int and 0 <= wanted <= _MOST_REPLICAS
    spec = (
        ModelDeploymentSpec.model_construct(  # the sections are valid, and what they ask of one another matters no more
            model=revision.model,
            serving=revision.serving,
            replicas=wanted if valid else next(iter(live), 1),
            traffic=traffic,
            rollout=_valid(Rollout, raw.get("rollout")),
        )
    )
    return spec, version.revision


def with_fault(seen: Observed, fault: str) -> Observed:
    """What is seen, with what is wrong with the spec; the route's parents, hosts and matches are as they should be."""
    route = replace(seen.route, frame="", widened=False) if seen.route else None
    return replace(seen, invalid=fault, route=route, frame="")


def _valid(section: type[Section], raw: object) -> Section | None:
    try:
        return section.model_validate(raw)
    except ValidationError:
        return None


def _traffic(owner: Object, children: Children) -> Traffic | None:
    """The traffic section that the live HTTPRoute was written for; None without one of ours that serves."""
    route = children.routes.get(Ref(HTTP_ROUTE, owner["metadata"]["name"]))
    if route is None or not owned_by(owner, route) or is_parked(route):
        return None
    known = {field.alias or name for name, field in ParentReference.model_fields.items()}
    parents = [{key: ref[key] for key in known & ref.keys()} for ref in route["spec"].get("parentRefs") or []]
    rules = route["spec"].get("rules") or [{}]
    gateway = {"parentRefs": parents, "hostnames": route["spec"].get("hostnames"), "matches": rules[0].get("matches")}
    found = _valid(GatewayTraffic, gateway)
    return Traffic(gateway=found) if found else None
