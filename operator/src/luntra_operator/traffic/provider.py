"""What a traffic provider is: it names its live objects, reads them in the engine's words, and says how to change them.

A provider is pure. What it wants written it returns as data (`Create`, `Patch`, `Delete`); the controller reads and writes.
Several providers may have objects at once, under one decision: `routes` sees to that, no provider knows of another one.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from luntra_operator.api.kinds import Kind
from luntra_operator.api.spec import ModelDeploymentSpec
from luntra_operator.api.traffic import ParentReference
from luntra_operator.api.vocabulary import LABEL_WORKLOAD, Reason

Object = dict[str, Any]

FrameChange = Literal["Keep", "Widen", "Replace"]
"""What becomes of all that the spec says besides weights: it stays, gets today's beside it, or becomes today's alone."""


@dataclass(frozen=True, slots=True)
class Ref:
    """A live object in the ModelDeployment's namespace."""

    kind: Kind
    name: str


Found = Mapping[Ref, Object | None]
"""Objects as read: None where there is none; a ref is left out where the cluster does not know its kind."""


@dataclass(frozen=True, slots=True)
class Create:
    """Make an object that was not there; one that is there by now is a conflict."""

    kind: Kind
    body: Object


@dataclass(frozen=True, slots=True)
class Patch:
    """JSON Patch (RFC 6902); its first operation tests the resourceVersion that was read."""

    ref: Ref
    operations: Sequence[Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class Delete:
    """Delete an object of ours; it may be gone already."""

    ref: Ref


Write = Create | Patch | Delete


@dataclass(frozen=True, slots=True)
class Endpoint:
    """What a provider is told of the ModelDeployment whose traffic it splits.

    `metadata` is that of a new object of the ModelDeployment's own name: namespace, labels, owner reference. `services` are the
    live Services of its workloads, and the Service <name>. `preview` is the workload that a preview is to lead to when objects
    are written, None: no preview. `adopted` are the HTTPRoutes of the user's that have our weights in them.
    """

    metadata: Mapping[str, Any]
    spec: ModelDeploymentSpec
    services: Sequence[Object] = ()
    preview: str | None = None
    adopted: Sequence[str] = ()

    @property
    def name(self) -> str:
        """The ModelDeployment's name."""
        name: str = self.metadata["name"]
        return name

    @property
    def selected(self) -> str | None:
        """The workload that the Service <name> selects."""
        main = next((service for service in self.services if service["metadata"]["name"] == self.name), None)
        return main["spec"].get("selector", {}).get(LABEL_WORKLOAD) if main else None

    @property
    def model(self) -> str:
        """The model's name in URLs."""
        return self.spec.model.name or self.name

    def owns(self, body: Object) -> bool:
        """Whether a live object belongs to this very ModelDeployment, not to an earlier one of the name."""
        uids = {ref["uid"] for ref in self.metadata["ownerReferences"]}
        return any(ref.get("uid") in uids for ref in body["metadata"].get("ownerReferences", []))

    def workloads(self, names: Iterable[str]) -> frozenset[str]:
        """Those names that are names of its workloads, whether these still exist or not."""
        return workloads_of(self.name, names)


def workloads_of(owner: str, names: Iterable[str]) -> frozenset[str]:
    """Those names that are names of workloads of the ModelDeployment `owner`."""
    pattern = re.compile(rf"{re.escape(owner)}-w[1-9][0-9]*")
    return frozenset(name for name in names if pattern.fullmatch(name))


@dataclass(frozen=True, slots=True)
class RouteState:
    """What live objects say: percent by workload, the last intent and frame that they were written for, and whether in force.

    `widened`: what was there before the frame changed is still in it. `current`: the control plane has accepted the last write;
    always true where nobody would ever say so, then only a probe tells. `message` is why it is not current. `preview` is the
    workload that a preview leads to. `parked`: it gets no request any more and is there only until `Provider.remove` is asked again;
    `current` then says whether the control plane has read that, whatever it makes of it.

    Of an object that is somebody else's, `untouched` says that nothing of ours is in it and it sends everything to the Service
    <name>, `borrowed` that it has our weights and is to be given back at rest, which `Provider.remove` does.
    """

    weights: Mapping[str, int]
    intent: str | None
    frame: str | None
    widened: bool
    current: bool
    message: str
    preview: str | None = None
    untouched: bool = False
    borrowed: bool = False
    parked: bool = False


@dataclass(frozen=True, slots=True)
class Obstacle:
    """Why what the spec names cannot be had: the reason, and in the message what a person can do."""

    reason: Reason
    message: str


@dataclass(frozen=True, slots=True)
class Question:
    """How to ask the data plane: the Host header (None: any), and the Gateway whose address to find out (None: no way to).

    `route`: both are to be read in that live HTTPRoute, by `asked_through`.
    """

    host: str | None
    gateway: ParentReference | None
    route: Ref | None = None


class Provider(Protocol):
    """One way to split the traffic of an endpoint."""

    @property
    def kinds(self) -> tuple[Kind, ...]:
        """All kinds that it may ever write: they are watched, and the operator needs the permissions for them."""

    @property
    def absence(self) -> Obstacle:
        """What to say where the cluster lacks a kind: only how to get it."""

    @property
    def keeps_sessions(self) -> bool:
        """Whether the requests of a session can be made to stay with one version."""

    def objects(self, name: str, spec: ModelDeploymentSpec) -> tuple[Ref, ...]:
        """The objects to read for a ModelDeployment of that name, wanted or not: what the spec wants no more has to go in time."""

    def question(self, spec: ModelDeploymentSpec) -> Question | None:
        """How to ask what answers behind it; None where the spec does not name it, or nobody can be asked."""

    def wanted(self, endpoint: Endpoint) -> bool:
        """Whether the endpoint is to have these objects now."""

    def postponed(self, endpoint: Endpoint) -> Obstacle | None:
        """Why they are not wanted yet although the spec names them."""

    def frame(self, endpoint: Endpoint) -> str:
        """A short hash of all that today's spec says of the objects besides weights."""

    def conflict(self, endpoint: Endpoint, found: Found) -> str | None:
        """Which object keeps a wanted provider from working and what to do about it; nothing at all is changed then."""

    def obstacle(self, endpoint: Endpoint, found: Found) -> Obstacle | None:
        """Why a wanted provider's object, which is somebody else's, cannot be given weights; all else goes on."""

    def read(self, endpoint: Endpoint, found: Found) -> RouteState | None:
        """What the endpoint's objects say; None where there is none, or one that is not to be touched."""

    def write(
        self, endpoint: Endpoint, found: Found, weights: Mapping[str, int], intent: str, change: FrameChange
    ) -> tuple[Write, ...]:
        """What gives the objects these weights (percent, 100 in all) under this intent, and leaves all else alone.

        Missing objects are created with today's frame, parked ones get it again. Where the spec does not name the provider any
        more it is only asked to `Keep` what there is.
        """

    def remove(self, endpoint: Endpoint, found: Found) -> tuple[Write, ...]:
        """What takes the endpoint out of its objects: deletes those of ours, leaves others' as they were without us.

        Where a request could be lost by that it takes two writes, and the gateway has to follow the first one before the second:
        an object of ours is parked, then deleted.
        """
