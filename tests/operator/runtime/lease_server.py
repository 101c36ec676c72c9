"""An API server that has one Lease, and those who compete for it."""

import copy
from typing import TYPE_CHECKING, Any, cast

from luntra_operator.kube import kinds
from luntra_operator.kube.errors import ConflictError, NotFoundError
from luntra_operator.runtime.lease import NAME, Lease

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from luntra_operator.kube.client import Kube

Object = dict[str, Any]


class LeaseServer:
    """Stores one Lease with a resourceVersion; `disturb` runs before every request."""

    def __init__(self) -> None:
        self.lease: Object | None = None
        self.version = 0
        self.disturb: Callable[[], Awaitable[None]] | None = None
        self.requests: list[str] = []

    async def _request(self, verb: str) -> None:
        self.requests.append(verb)
        if self.disturb:
            await self.disturb()

    async def get(self, kind: kinds.Kind, namespace: str, name: str) -> Object | None:
        await self._request("get")
        assert (kind, namespace, name) == (kinds.LEASE, "luntra-system", NAME)
        return copy.deepcopy(self.lease)

    async def create(self, kind: kinds.Kind, body: Object) -> Object:
        await self._request("create")
        if self.lease is not None:
            raise ConflictError("exists")
        return self._store(body)

    async def replace(self, kind: kinds.Kind, body: Object) -> Object:
        await self._request("replace")
        if self.lease is None:
            raise NotFoundError("gone")
        if body["metadata"]["resourceVersion"] != self.lease["metadata"]["resourceVersion"]:
            raise ConflictError("modified")
        return self._store(body)

    def _store(self, body: Object) -> Object:
        self.version += 1
        self.lease = {**copy.deepcopy(body), "metadata": {**body["metadata"], "resourceVersion": str(self.version)}}
        return copy.deepcopy(self.lease)

    def take(self, identity: str) -> None:
        """Somebody else holds it from now on, whatever the rules say."""
        self._store({**(self.lease or {}), "spec": {**self.spec, "holderIdentity": identity}})

    @property
    def spec(self) -> Object:
        assert self.lease
        spec: Object = self.lease["spec"]
        return spec


def candidate(server: LeaseServer, identity: str) -> Lease:
    return Lease(cast("Kube", server), "luntra-system", identity)
