"""An API server in memory, with as much behaviour as the reconciler can notice: versions, conflicts, generations, failures."""

import copy
from collections.abc import Mapping, Sequence
from typing import Any

from luntra_operator.kube import kinds
from luntra_operator.kube.errors import ConflictError, KubeError, NotFoundError

Object = dict[str, Any]


class FakeKube:
    """Stores objects by kind, namespace and name; `writes` lists what was asked; `failures` are raised by verb and kind."""

    def __init__(self, *objects: tuple[kinds.Kind, Object]) -> None:
        self._version = 0
        self._store: dict[tuple[kinds.Kind, str, str], Object] = {}
        self.writes: list[tuple[str, str, str]] = []
        self.failures: dict[tuple[str, kinds.Kind], KubeError] = {}
        for kind, body in objects:
            self.put(kind, body)

    def put(self, kind: kinds.Kind, body: Object) -> Object:
        """Store an object as if somebody else had written it."""
        self._version += 1
        meta = {
            "generation": 1,
            "uid": f"uid-{body['metadata']['name']}",
            **body["metadata"],
            "resourceVersion": str(self._version),
        }
        stored = {**copy.deepcopy(body), "metadata": meta}
        self._store[kind, meta["namespace"], meta["name"]] = stored
        return copy.deepcopy(stored)

    def peek(self, kind: kinds.Kind, name: str, namespace: str = "team-a") -> Object:
        """A stored object, for assertions."""
        return self._store[kind, namespace, name]

    def names(self, kind: kinds.Kind) -> list[str]:
        """Names of all stored objects of a kind."""
        return sorted(name for found, _, name in self._store if found == kind)

    def _note(self, verb: str, kind: kinds.Kind, name: str) -> None:
        if (verb, kind) in self.failures:
            raise self.failures[verb, kind]
        if verb not in ("get", "list"):
            self.writes.append((verb, kind.kind, name))

    async def get(self, kind: kinds.Kind, namespace: str, name: str) -> Object | None:
        self._note("get", kind, name)
        return copy.deepcopy(self._store.get((kind, namespace, name)))

    async def versions(self, kind: kinds.Kind, namespace: str | None, selector: str = "") -> list[Object]:
        self._note("list", kind, "")
        found = [
            body["metadata"]
            for (one, where, _), body in self._store.items()
            if (one, where) == (kind, namespace or where)
        ]
        return [copy.deepcopy(meta) for meta in found if not selector or selector in meta.get("labels", {})]

    async def list(self, kind: kinds.Kind, namespace: str | None, selector: str | None = None) -> list[Object]:
        self._note("list", kind, "")
        label, equals, value = (selector or "").partition("=")

        def selected(labels: Object) -> bool:
            return not label or (labels.get(label) == value if equals else label in labels)

        return [
            copy.deepcopy(body)
            for (found, where, _), body in self._store.items()
            if found == kind and namespace in (None, where) and selected(body["metadata"].get("labels", {}))
        ]

    async def create(self, kind: kinds.Kind, body: Object) -> Object:
        meta = body["metadata"]
        self._note("create", kind, meta["name"])
        if (kind, meta["namespace"], meta["name"]) in self._store:
            raise ConflictError(f"{kind.kind} {meta['name']} exists (409)")
        return self.put(kind, body)

    async def apply(self, kind: kinds.Kind, body: Object) -> Object:
        self._note("apply", kind, body["metadata"]["name"])
        return self.put(kind, body)

    async def patch(
        self, kind: kinds.Kind, namespace: str, name: str, operations: Sequence[Mapping[str, Any]]
    ) -> Object:
        self._note("patch", kind, name)
        body = self._store[kind, namespace, name]
        for operation in operations:
            *parents, last = operation["path"].split("/")[1:]
            target: Any = body
            for part in parents:
                target = target[int(part)] if isinstance(target, list) else target[part]
            if operation["op"] == "test" and target[last] != operation["value"]:
                raise ConflictError(f"{operation['path']} is {target[last]} (422)")
            if operation["op"] == "remove":
                del target[last]
            else:
                target[last] = operation["value"]
        return self.put(kind, body)

    async def merge(self, kind: kinds.Kind, namespace: str, name: str, change: Object) -> Object:
        self._note("merge", kind, name)
        body = self._store[kind, namespace, name]
        for section, values in change.items():
            body[section] |= values
        return self.put(kind, body)

    async def replace_status(self, kind: kinds.Kind, body: Object) -> Object:
        meta = body["metadata"]
        self._note("replace_status", kind, meta["name"])
        stored = self._store.get((kind, meta["namespace"], meta["name"]))
        if stored is None:
            raise NotFoundError("gone (404)")
        if stored["metadata"]["resourceVersion"] != meta["resourceVersion"]:
            raise ConflictError("the object has been modified (409)")
        return self.put(kind, {**stored, "status": body["status"]})

    async def delete(self, kind: kinds.Kind, namespace: str, name: str) -> None:
        self._note("delete", kind, name)
        self._store.pop((kind, namespace, name), None)
