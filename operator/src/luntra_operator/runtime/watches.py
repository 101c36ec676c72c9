"""Watches: every relevant event only adds a key to the work queue.

kopf does what is tedious about watching (list and watch, reconnects, CRDs that appear later). Its timers, daemons,
indices and create/update handlers are not used: they put finalizers and annotations on every object
and react to edges, while the engine looks at levels.
"""

import asyncio
from typing import Any

import kopf

from luntra_operator.api.vocabulary import GROUP, LABEL_DEPLOYMENT, PLURAL, VERSION
from luntra_operator.controller.queue import WorkQueue
from luntra_operator.kube import kinds
from luntra_operator.traffic import routes

_CHILDREN = (kinds.DEPLOYMENT, kinds.POD, kinds.JOB, kinds.SERVICE, kinds.CONFIG_MAP, kinds.ENDPOINT_SLICE)


class Watches:
    """The registry of watch handlers for one queue."""

    def __init__(self, queue: WorkQueue, namespaces: tuple[str, ...]) -> None:
        """Feed `queue` from the given namespaces; none given means all."""
        self._queue, self._namespaces = queue, namespaces
        self._seen: dict[str, tuple[object, ...]] = {}
        self._registry = kopf.OperatorRegistry()
        self._settings = kopf.OperatorSettings()
        self._settings.posting.enabled = False  # Events are written by the controller, once per transition
        self._settings.watching.server_timeout = 300
        self._settings.watching.connect_timeout = 10
        self._settings.watching.reconnect_backoff = 1
        self._register()

    def _register(self) -> None:
        registry = self._registry
        kopf.on.login(registry=registry)(_login)
        kopf.on.event(GROUP, VERSION, PLURAL, registry=registry)(self._object_event)
        for kind in _CHILDREN:
            kopf.on.event(
                kind.group, kind.version, kind.plural, labels={LABEL_DEPLOYMENT: kopf.PRESENT}, registry=registry
            )(self._child_event)
        for kind in routes.KINDS:
            kopf.on.event(kind.group, kind.version, kind.plural, registry=registry)(self._route_event)

    async def run(self, ready: asyncio.Event) -> None:
        """Watch until cancelled; `ready` is set once the watches have started."""
        await kopf.operator(
            registry=self._registry,
            settings=self._settings,
            standalone=True,
            clusterwide=not self._namespaces,
            namespaces=self._namespaces,
            ready_flag=ready,
        )

    async def _object_event(self, event: Any, **_: Any) -> None:
        meta = event["object"]["metadata"]
        key = (meta["namespace"], meta["name"])
        # Our own status writes change neither of these; acting on them would be talking to ourselves.
        state = (meta.get("generation"), meta.get("deletionTimestamp"), str(meta.get("annotations")))
        if event["type"] == "DELETED":
            self._seen.pop(meta["uid"], None)
        elif event["type"] is not None and self._seen.get(meta["uid"]) == state:
            return
        else:
            self._seen[meta["uid"]] = state
        self._queue.add(key)

    async def _child_event(self, event: Any, **_: Any) -> None:
        meta = event["object"]["metadata"]
        self._queue.add((meta["namespace"], meta["labels"][LABEL_DEPLOYMENT]))

    async def _route_event(self, event: Any, **_: Any) -> None:
        meta = event["object"]["metadata"]
        owners = [ref["name"] for ref in meta.get("ownerReferences", []) if ref.get("apiVersion", "").startswith(GROUP)]
        for name in owners:
            self._queue.add((meta["namespace"], name))


def _login(**arguments: Any) -> kopf.ConnectionInfo | None:
    return kopf.login_with_service_account(**arguments) or kopf.login_with_kubeconfig(**arguments)
