"""What a plan asks the controller to do. Each action is idempotent and names things, never whole objects."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from luntra_operator.api.status import ModelDeploymentStatus
from luntra_operator.api.vocabulary import Reason


@dataclass(frozen=True, slots=True)
class KeepRevision:
    """Store the spec's model and serving, with the image resolved, as an immutable ControllerRevision."""

    revision: str


@dataclass(frozen=True, slots=True)
class ForgetRevision:
    """Delete the ControllerRevision of a revision that nothing refers to any more."""

    revision: str


@dataclass(frozen=True, slots=True)
class CreateWorkload:
    """Create what is missing of a workload's ConfigMap, Service and Deployment, rendered from its revision."""

    workload: str
    revision: str
    replicas: int


@dataclass(frozen=True, slots=True)
class ScaleWorkload:
    """Set the Deployment's replicas and nothing else of it."""

    workload: str
    replicas: int


@dataclass(frozen=True, slots=True)
class ProtectWorkload:
    """Have a workload's pods evicted one at a time, or as anybody likes where there is but one."""

    workload: str
    protected: bool


@dataclass(frozen=True, slots=True)
class DeleteWorkload:
    """Delete a workload and its check Jobs."""

    workload: str


@dataclass(frozen=True, slots=True)
class SelectWorkload:
    """Let the Service <name> select this workload."""

    workload: str


FrameChange = Literal["Keep", "Widen", "Replace"]
"""What becomes of a route's frame (parents, hostnames, matches): it stays, gets today's beside it, or becomes today's alone."""


@dataclass(frozen=True, slots=True)
class WriteRoute:
    """Let the route have these weights (percent by workload, in this order) under this intent.

    `preview` is the workload that a preview leads to; None: there is no preview.
    """

    weights: Mapping[str, int]
    intent: str
    frame: FrameChange = "Keep"
    preview: str | None = None


@dataclass(frozen=True, slots=True)
class ParkRoute:
    """Take the traffic out of the route: the spec names nothing any more that divides it."""


@dataclass(frozen=True, slots=True)
class DeleteRoute:
    """Delete the routes of ours that are parked."""


@dataclass(frozen=True, slots=True)
class GiveRouteBack:
    """Take what is ours out of routes that are the user's; routes of ours stay as they are."""


@dataclass(frozen=True, slots=True)
class HoldObject:
    """Let the object's deletion wait until what is lent has been given back."""


@dataclass(frozen=True, slots=True)
class ReleaseObject:
    """Let the object be deleted at once again."""


@dataclass(frozen=True, slots=True)
class RunCheck:
    """Start the Job of one try of a check of `workload` against `stable` (None: there is nothing to compare with)."""

    check: str
    workload: str
    stable: str | None
    attempt: int = 1


Action = (
    KeepRevision
    | ForgetRevision
    | CreateWorkload
    | ScaleWorkload
    | ProtectWorkload
    | DeleteWorkload
    | SelectWorkload
    | WriteRoute
    | ParkRoute
    | DeleteRoute
    | GiveRouteBack
    | HoldObject
    | ReleaseObject
    | RunCheck
)


@dataclass(frozen=True, slots=True)
class Event:
    """A Kubernetes Event on a transition."""

    reason: Reason
    message: str
    type: Literal["Normal", "Warning"] = "Normal"


@dataclass(frozen=True, slots=True)
class Plan:
    """The next status, to be written first; then what to do, in order; then when to look again.

    `urgent`: traffic must leave a bad version; the route is written even where the status cannot be.
    """

    status: ModelDeploymentStatus
    actions: tuple[Action, ...] = ()
    events: tuple[Event, ...] = ()
    requeue_after: float | None = None
    urgent: bool = False
