"""One object of ours that carries the weights: it is created whole and then patched.

After its creation only our backends' weights, our annotations and, when `spec.traffic` changes, its frame are written, each with
a `test` of the resourceVersion: lists in such objects are atomic, and what others added must survive. Subclasses know the form of
their kind; the annotations, ownership and what the engine is told are the same for all.
"""

import hashlib
import json
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from typing import Any, ClassVar

from luntra_operator.api.kinds import Kind
from luntra_operator.api.spec import ModelDeploymentSpec
from luntra_operator.api.vocabulary import ANNOTATION_FRAME, ANNOTATION_INTENT, FRAME_PARKED

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


class OwnedObject(ABC):
    """A provider whose one object is ours."""

    kind: ClassVar[Kind]
    absence: ClassVar[Obstacle]
    keeps_sessions = False

    @property
    def kinds(self) -> tuple[Kind, ...]:
        """The one kind."""
        return (self.kind,)

    @abstractmethod
    def wanted(self, endpoint: Endpoint) -> bool:
        """Whether the object is to be there."""

    def postponed(self, endpoint: Endpoint) -> Obstacle | None:  # noqa: ARG002 - nothing holds it up
        """Never."""
        return None

    @abstractmethod
    def question(self, spec: ModelDeploymentSpec) -> Question | None:
        """How to ask what answers behind it."""

    @abstractmethod
    def content(self, endpoint: Endpoint) -> dict[str, Any]:
        """Today's frame of a wanted object."""

    @abstractmethod
    def spec(self, content: dict[str, Any], weights: Mapping[str, int]) -> Object:
        """The spec of a new object."""

    @abstractmethod
    def changes(
        self,
        body: Object,
        ours: frozenset[str],
        content: dict[str, Any],
        weights: Mapping[str, int],
        change: FrameChange,
    ) -> tuple[list[Object], bool]:
        """JSON Patch operations on the spec, and whether what was there before stays beside `content`.

        `ours` are the workloads whose backends we may remove; other backends stay where they are. `change` says what becomes of the
        frame: it stays, gets `content` beside what is there, or becomes `content`.
        """

    @abstractmethod
    def named(self, body: Object) -> Iterable[str]:
        """Names of all backends, ours or not."""

    @abstractmethod
    def weights(self, body: Object, ours: frozenset[str]) -> dict[str, int]:
        """Percent by workload of those backends that are `ours`."""

    def in_force(self, body: Object) -> tuple[bool, str]:  # noqa: ARG002 - for kinds that nobody reports on
        """Whether the control plane has accepted the last write; if not, why."""
        return True, ""

    def parking(self, body: Object) -> list[Object]:  # noqa: ARG002 - kinds that park override it and read the body
        """JSON Patch operations on the spec after which the object gets no request, while it still names its backends."""
        return []

    def reviving(self, body: Object) -> list[Object]:  # noqa: ARG002 - kinds that park override it and read the body
        """Operations that undo what `parking` has done besides the frame."""
        return []

    def ref(self, name: str) -> Ref:
        """The object of a ModelDeployment of that name; as a rule it has the same name."""
        return Ref(self.kind, name)

    def objects(self, name: str, spec: ModelDeploymentSpec) -> tuple[Ref, ...]:  # noqa: ARG002 - others need the spec
        """The object."""
        return (self.ref(name),)

    def frame(self, endpoint: Endpoint) -> str:
        """The hash of today's frame."""
        return frame_hash(self.content(endpoint))

    def conflict(self, endpoint: Endpoint, found: Found) -> str | None:
        """An object of the name that belongs to somebody else."""
        ref = self.ref(endpoint.name)
        body = found.get(ref)
        if body is None or endpoint.owns(body):
            return None
        return f"the {ref.kind.kind} {ref.name} is not owned by this object; delete or rename it"

    def obstacle(self, endpoint: Endpoint, found: Found) -> Obstacle | None:  # noqa: ARG002 - an object of ours can always be written
        """None."""
        return None

    def read(self, endpoint: Endpoint, found: Found) -> RouteState | None:
        """What our object says."""
        body = self._ours(endpoint, found)
        return self.state(body, endpoint.workloads(self.named(body))) if body else None

    def write(
        self, endpoint: Endpoint, found: Found, weights: Mapping[str, int], intent: str, change: FrameChange
    ) -> tuple[Write, ...]:
        """Create the object, or patch it."""
        body, wanted, ref = self._ours(endpoint, found), self.wanted(endpoint), self.ref(endpoint.name)
        if body is None:
            metadata = {**endpoint.metadata, "name": ref.name}
            return (Create(self.kind, self.build(metadata, self.content(endpoint), weights, intent)),)
        ours = endpoint.workloads(self.named(body))
        if not wanted and not self.weights(body, ours):
            return ()  # somebody has emptied what is about to go anyway
        content = self.content(endpoint) if wanted else {}
        operations = self.patch(body, ours, content, weights, intent, "Replace" if is_parked(body) else change)
        return (Patch(ref, operations),)

    def remove(self, endpoint: Endpoint, found: Found) -> tuple[Write, ...]:
        """Park our object, then delete it."""
        body, ref = self._ours(endpoint, found), self.ref(endpoint.name)
        if body is None:
            return ()
        operations = [] if is_parked(body) else self.parking(body)
        marks = {**(body["metadata"].get("annotations") or {}), ANNOTATION_FRAME: FRAME_PARKED}
        return (Patch(ref, _tested(body, operations, marks)),) if operations else (Delete(ref),)

    def _ours(self, endpoint: Endpoint, found: Found) -> Object | None:
        body = found.get(self.ref(endpoint.name))
        return body if body is not None and endpoint.owns(body) else None

    def build(self, metadata: Object, content: dict[str, Any], weights: Mapping[str, int], intent: str) -> Object:
        """A new object."""
        marks = {ANNOTATION_INTENT: intent, ANNOTATION_FRAME: frame_hash(content)}
        return {
            "apiVersion": self.kind.api_version,
            "kind": self.kind.kind,
            "metadata": {**metadata, "annotations": marks},
            "spec": self.spec(content, weights),
        }

    def patch(
        self,
        body: Object,
        ours: frozenset[str],
        content: dict[str, Any],
        weights: Mapping[str, int],
        intent: str,
        change: FrameChange = "Keep",
    ) -> list[Object]:
        """JSON Patch (RFC 6902) that gives the object these weights and this intent, and leaves all else alone."""
        operations, widened = self.changes(body, ours, content, weights, change)
        annotations = dict(body["metadata"].get("annotations") or {})
        mark = frame_hash(content) + (_WIDENED if widened else "")
        if change == "Keep":
            mark = annotations.get(ANNOTATION_FRAME, mark)
        annotations |= {ANNOTATION_INTENT: intent, ANNOTATION_FRAME: mark}
        revival = self.reviving(body) if is_parked(body) else []
        return _tested(body, [*revival, *operations], annotations)

    def state(self, body: Object, ours: frozenset[str]) -> RouteState:
        """What a live object says of our workloads."""
        annotations = body["metadata"].get("annotations") or {}
        frame = annotations.get(ANNOTATION_FRAME, "")
        current, message = self.in_force(body)
        return RouteState(
            weights=self.weights(body, ours),
            intent=annotations.get(ANNOTATION_INTENT),
            frame=frame.removesuffix(_WIDENED) or None,
            widened=frame.endswith(_WIDENED),
            current=current,
            message=message,
            parked=is_parked(body),
        )


def is_parked(body: Object) -> bool:
    """Whether an object of ours was parked and not revived since."""
    return (body["metadata"].get("annotations") or {}).get(ANNOTATION_FRAME) == FRAME_PARKED


def _tested(body: Object, operations: Iterable[Object], annotations: Mapping[str, str]) -> list[Object]:
    """The operations and these annotations, for the object as it was read."""
    return [
        {"op": "test", "path": "/metadata/resourceVersion", "value": body["metadata"]["resourceVersion"]},
        *operations,
        {"op": "add", "path": "/metadata/annotations", "value": annotations},
    ]


def frame_hash(content: dict[str, Any]) -> str:
    """A short hash of a frame, to see whether the spec has changed since it was written."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:10]
