"""What to go by while an object's spec cannot be read: what was valid last, as far as the cluster still tells.

Nothing new is begun from such a spec (`Observed.invalid`), but a version that has traffic goes on being watched. Model and
serving are those of its revision, what divides the traffic stays as it was written, and `replicas`, `rollout` and `traffic.probe` count
where each is valid by itself. Of a rollout section that is not, nothing counts: only pods and the gateway speak then, no metric.
"""

from dataclasses import replace
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from luntra_operator.api.rollout import Rollout
from luntra_operator.api.spec import ModelDeploymentSpec
from luntra_operator.api.status import ModelDeploymentStatus
from luntra_operator.api.traffic import Probe, Traffic
from luntra_operator.rollout.observed import Observed
from luntra_operator.traffic.accepted import accepted

from .observe import Children, endpoint

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

    None where there is no version that could be watched, or where nobody can tell what divides the traffic of two. A route of the
    user's is lent only while it does; without a loan the Service <name> has all of it, and stays as it is.
    """
    version = status.candidate or status.stable
    revision = children.revisions.get(version.revision) if version else None
    if version is None or revision is None:
        return None
    raw: Object = owner["spec"]
    traffic = _traffic(owner, children)
    if traffic is None and raw.get("traffic") is not None and _divided(status):
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
    """The traffic section that live objects were written for; without any of them today's, if it is valid."""
    spec, raw = unread(owner), owner["spec"].get("traffic")
    found = accepted(endpoint(owner, spec, children), children.routes)
    if found is None:
        return spec.traffic
    probe = raw.get("probe") if isinstance(raw, dict) else None
    return found.model_copy(update={"probe": _valid(Probe, probe)})


def _divided(status: ModelDeploymentStatus) -> bool:
    """Whether another version than the stable one may have traffic."""
    given = status.candidate is not None and status.traffic is not None and status.traffic.desired > 0
    return given or status.previous is not None
