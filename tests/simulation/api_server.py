"""An API server in memory: optimistic concurrency, generations, patches, owners, and news of every write.

Everybody in the simulation writes here, and each write is told to all `listeners` at once. Stored objects are values:
a write puts a new one in place of the old and changes none, so that a trace may keep them.

Reads are never stale. The operator's gets and lists are quorum reads, which a real API server answers from
etcd or from a cache that it has first seen to be as new. What may be late, doubled or lost is the watches' news; that is
`process.py`. Requests that fail, or whose answers are lost, are `wire.py`.
"""

import marshal
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from luntra_operator.kube import kinds
from luntra_operator.kube.errors import ConflictError, NotFoundError
from luntra_operator.kube.kinds import Kind

Object = dict[str, Any]
NAMESPACE = "team-a"
START = 1000.0
"""What the virtual clock shows at first."""


def moment(now: float) -> datetime:
    """The date that a time of the virtual clock stands for."""
    return datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=now - START)


def copied(body: Object) -> Object:
    """A deep copy; an object of the API is JSON, which marshal copies ten times as fast as `copy` does."""
    copy: Object = marshal.loads(marshal.dumps(body))  # noqa: S302 - nobody else's bytes: they were made in this line
    return copy


def belongs_to(name: str) -> str:
    """The ModelDeployment that an object is named after; their own names have no dash in the simulation."""
    return re.split(r"[-.]", name, maxsplit=1)[0]


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks, and since when at least it knows what it bases its request on."""

    name: str
    since: float = 0.0


@dataclass(frozen=True, slots=True)
class Write:
    """One change of one object; `before` is None for a new one, `after` for one that is gone."""

    at: float
    caller: Caller
    verb: str
    kind: Kind
    name: str
    before: Object | None
    after: Object | None

    @property
    def body(self) -> Object:
        """The object, as it is or as it was last."""
        return self.after or self.before or {}


class ApiServer:
    """Objects of one namespace by kind and name."""

    def __init__(self, clock: Callable[[], float]) -> None:
        """Start empty; `clock` is the virtual one."""
        self._clock = clock
        self._objects: dict[str, dict[str, Object]] = {}
        self._version = 0
        self.listeners: list[Callable[[Write], None]] = []

    def find(self, kind: Kind, name: str) -> Object | None:
        """A stored object, to be looked at only."""
        return self._objects.get(kind.plural, {}).get(name)

    def all(self, kind: Kind) -> list[Object]:
        """All stored objects of a kind, to be looked at only."""
        return list(self._objects.get(kind.plural, {}).values())

    # What clients ask for.

    def list(self, kind: Kind, selector: str | None = None) -> list[Object]:
        """The objects with that label (`name=value`), as they are stored: copies would be a sixth of the simulation's time."""
        label, _, value = (selector or "").partition("=")
        found = self._objects.get(kind.plural, {}).values()
        return [body for body in found if not label or body["metadata"].get("labels", {}).get(label) == value]

    def create(self, caller: Caller, kind: Kind, body: Object) -> Object:
        """Store a new object.

        Raises:
            ConflictError: there is one of that name.
        """
        name = body["metadata"]["name"]
        if self.find(kind, name) is not None:
            raise ConflictError(f'{kind.plural} "{name}" already exists (409)')
        self._version += 1
        born = {"uid": f"{name}.{self._version}", "creationTimestamp": moment(self._clock()).isoformat()}
        fresh = {**body, "metadata": {"namespace": NAMESPACE, **body["metadata"], **born}}
        return self._commit(caller, "create", kind, None, fresh)

    def apply(self, caller: Caller, kind: Kind, body: Object) -> Object:
        """Server-side apply by one field manager, to whom all but the status belongs."""
        before = self.find(kind, body["metadata"]["name"])
        if before is None:
            return self.create(caller, kind, body)
        after = {**before, **body, "metadata": {**before["metadata"], **body["metadata"]}}
        return self._commit(caller, "apply", kind, before, after)

    def patch(self, caller: Caller, kind: Kind, name: str, operations: Sequence[Mapping[str, Any]]) -> Object:
        """JSON Patch, all or nothing.

        Raises:
            ConflictError: a `test` does not hold, or a path does not exist.
            NotFoundError: nor does the object.
        """
        before = self._existing(kind, name)
        after = copied(before)
        for operation in operations:
            _operate(after, operation)
        return self._commit(caller, "patch", kind, before, after)

    def merge(self, caller: Caller, kind: Kind, name: str, change: Object) -> Object:
        """JSON Merge Patch.

        Raises:
            NotFoundError: the object does not exist.
        """
        before = self._existing(kind, name)
        return self._commit(caller, "merge", kind, before, _merged(copied(before), change))

    def replace_status(self, caller: Caller, kind: Kind, body: Object) -> Object:
        """Replace the status subresource and nothing else.

        Raises:
            ConflictError: the object has changed since it was read.
            NotFoundError: it is gone.
        """
        before = self._existing(kind, body["metadata"]["name"])
        if any(before["metadata"][key] != body["metadata"][key] for key in ("resourceVersion", "uid")):
            raise ConflictError(f"{body['metadata']['name']}: the object has been modified (409)")
        return self._commit(caller, "status", kind, before, {**before, "status": body["status"]})

    def delete(self, caller: Caller, kind: Kind, name: str) -> None:
        """Remove an object, if it exists, or mark it where finalizers hold it; what it owns is the garbage collector's business."""
        before = self.find(kind, name)
        if before is not None and before["metadata"].get("finalizers"):
            marked = {"deletionTimestamp": "2026-01-01T00:00:00Z", **before["metadata"]}
            self._commit(caller, "delete", kind, before, {**before, "metadata": marked})
        elif before is not None:
            del self._objects[kind.plural][name]
            self._tell(Write(self._clock(), caller, "delete", kind, name, before, None))

    # What the rest of the cluster does.

    def report(self, caller: Caller, kind: Kind, name: str, status: Object) -> None:
        """Set the status of an object that exists."""
        before = self._existing(kind, name)
        self._commit(caller, "status", kind, before, {**before, "status": status})

    def edit(self, caller: Caller, kind: Kind, name: str, change: Callable[[Object], None]) -> None:
        """Let `change` change an object, if it exists."""
        before = self.find(kind, name)
        if before is not None:
            after = copied(before)
            change(after)
            self._commit(caller, "edit", kind, before, after)

    def _existing(self, kind: Kind, name: str) -> Object:
        found = self.find(kind, name)
        if found is None:
            raise NotFoundError(f'{kind.plural} "{name}" not found (404)')
        return found

    def _commit(self, caller: Caller, verb: str, kind: Kind, before: Object | None, after: Object) -> Object:
        if after == before:
            return after  # a write that changes nothing makes no version and no news
        self._version += 1
        generation = before["metadata"]["generation"] if before else 0
        meta = after["metadata"]
        if before is None or after.get("spec") != before.get("spec"):
            generation += 1
        stored = {**after, "metadata": {**meta, "generation": generation, "resourceVersion": str(self._version)}}
        self._objects.setdefault(kind.plural, {})[meta["name"]] = stored
        self._tell(Write(self._clock(), caller, verb, kind, meta["name"], before, stored))
        released = before is not None and before["metadata"].get("finalizers") and not meta.get("finalizers")
        if released and "deletionTimestamp" in meta:
            self.delete(caller, kind, meta["name"])
        return stored

    def _tell(self, write: Write) -> None:
        for listener in self.listeners:
            listener(write)


WATCHED = (
    kinds.MODEL_DEPLOYMENT,
    kinds.DEPLOYMENT,
    kinds.POD,
    kinds.JOB,
    kinds.SERVICE,
    kinds.CONFIG_MAP,
    kinds.ENDPOINT_SLICE,
    kinds.HTTP_ROUTE,
    kinds.GRPC_ROUTE,
)
"""Kinds of which the operator hears news."""


def _operate(body: Object, operation: Mapping[str, Any]) -> None:
    """One operation of RFC 6902, as far as the operator uses them."""
    *parents, last = operation["path"].split("/")[1:]
    target: Any = body
    try:
        for part in parents:
            target = target[int(part)] if isinstance(target, list) else target[part]
        if operation["op"] == "test":
            if target[last] != operation["value"]:
                raise ConflictError(f"test of {operation['path']} failed: it is {target[last]} (422)")
        elif operation["op"] in ("add", "replace") and isinstance(target, dict):
            target[last] = operation["value"]
        elif operation["op"] == "remove" and isinstance(target, dict):
            del target[last]
        else:
            raise ValueError(f"the simulated API server knows no {operation['op']} in a {type(target).__name__}")
    except (KeyError, IndexError) as missing:
        raise ConflictError(f"{operation['path']} does not exist (422)") from missing


def _merged(target: Object, change: Object) -> Object:
    for key, value in change.items():
        if value is None:
            target.pop(key, None)
        elif isinstance(value, dict) and isinstance(target.get(key), dict):
            _merged(target[key], value)
        else:
            target[key] = value
    return target
