"""Watches: every relevant event only adds a key to the work queue.

kopf does what is tedious about watching (list and watch, reconnects, CRDs that appear later). Its timers, daemons,
indices and create/update handlers are not used: they put finalizers and annotations on every object
and react to edges, while the engine looks at levels.
"""

import asyncio
import logging
import random
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import kopf

from luntra_operator.api.vocabulary import GROUP, LABEL_DEPLOYMENT, PLURAL, VERSION
from luntra_operator.controller.queue import Key, Priority, WorkQueue
from luntra_operator.controller.readers import read_pod
from luntra_operator.kube import kinds
from luntra_operator.traffic import routes

from .lent_routes import LentRoutes
from .life import SERVER_TIMEOUT, SignsOfLife
from .standing import RESTING, Standing, standing

log = logging.getLogger(__name__)

_CHILDREN = (kinds.DEPLOYMENT, kinds.POD, kinds.JOB, kinds.SERVICE, kinds.CONFIG_MAP, kinds.ENDPOINT_SLICE)
_ALWAYS_THERE = (kinds.MODEL_DEPLOYMENT, *_CHILDREN)
WATCHED = (*_ALWAYS_THERE, *routes.KINDS)

RESTART = 5.0
"""Seconds until the watches begin anew after the library has given up; and the longest wait between two of its attempts."""


@dataclass(frozen=True, slots=True)
class _Known:
    """What was last seen of a ModelDeployment: `state` is all of it that others change."""

    key: Key
    state: tuple[object, ...]
    standing: Standing


@dataclass(frozen=True, kw_only=True)
class _Session(kopf.AiohttpSession):
    """A session of ours. kopf tells credentials that were refused from new ones by comparing; a session says nothing of that."""

    aiohttp_session: aiohttp.ClientSession = field(compare=False)
    credentials: kopf.ConnectionInfo


class _Backoffs:
    """Seconds between attempts, without an end: a watch that gave up would be one that nobody misses."""

    def __iter__(self) -> Iterator[float]:
        bound = 1.0
        while True:
            yield random.uniform(bound / 2, bound)  # noqa: S311 - jitter, no secret
            bound = min(RESTART, 2 * bound)


ECHO = 0.2
"""Seconds for what other controllers make of a change to come together: a Deployment, its pods and its endpoints are one piece of news."""


class Watches:
    """The registry of watch handlers for one queue."""

    def __init__(self, queue: WorkQueue, namespaces: tuple[str, ...], life: SignsOfLife | None = None) -> None:
        """Feed `queue` from the given namespaces; none given means all. `life` hears of every request."""
        self._queue, self._namespaces = queue, namespaces
        self._lent = LentRoutes()
        self._life = life or SignsOfLife(WATCHED)
        self._seen: dict[str, _Known] = {}
        self._registry = kopf.OperatorRegistry()
        self._settings = kopf.OperatorSettings()
        self._settings.posting.enabled = False  # Events are written by the controller, once per transition
        self._settings.persistence.diffbase_storage = _Undiffed()
        self._settings.watching.server_timeout = SERVER_TIMEOUT
        self._settings.watching.connect_timeout = 10
        self._settings.watching.reconnect_backoff = 1
        self._settings.networking.request_timeout = 60  # of lists
        self._settings.networking.error_backoffs = _Backoffs()
        # Else the library kills the process 10 minutes after it was cancelled or gave up, though both are survived here.
        self._settings.process.ultimate_exiting_timeout = None
        self._register()

    def _register(self) -> None:
        registry = self._registry
        kopf.on.login(registry=registry)(self._login)
        kopf.on.event(GROUP, VERSION, PLURAL, registry=registry)(self._object_event)
        for kind in _CHILDREN:
            self._settings.watching.label_selectors[kind.group, kind.version, kind.plural] = LABEL_DEPLOYMENT
            kopf.on.event(
                kind.group, kind.version, kind.plural, labels={LABEL_DEPLOYMENT: kopf.PRESENT}, registry=registry
            )(self._child_event)
        for kind in routes.KINDS:
            kopf.on.event(kind.group, kind.version, kind.plural, registry=registry)(self._route_event)

    async def run(self, ready: asyncio.Event) -> None:
        """Watch until cancelled or told to stop by a signal; `ready` is set once the watches have started."""
        if not self._namespaces:
            self._life.expect(_ALWAYS_THERE)
        while True:
            try:
                await kopf.operator(
                    registry=self._registry,
                    settings=self._settings,
                    standalone=True,
                    clusterwide=not self._namespaces,
                    namespaces=self._namespaces,
                    ready_flag=ready,
                )
            except (
                Exception
            ):  # whatever a watch cannot bear (credentials refused, a kind deleted): lists make up for it
                log.exception("the watches ended and begin anew in %g s", RESTART)
                await asyncio.sleep(RESTART)
            else:
                return

    def keep_only(self, uids: Collection[str]) -> None:
        """Forget objects whose deletion was missed."""
        self._seen = {uid: known for uid, known in self._seen.items() if uid in uids}
        self._lent.keep_only(self.keys)

    @property
    def keys(self) -> set[Key]:
        """All ModelDeployments that are seen."""
        return {known.key for known in self._seen.values()}

    @property
    def phases(self) -> Counter[str]:
        """Number of ModelDeployments by phase."""
        return Counter(known.standing.phase for known in self._seen.values())

    @property
    def standings(self) -> Mapping[Key, Standing]:
        """How each ModelDeployment stands."""
        return {known.key: known.standing for known in self._seen.values()}

    async def _object_event(self, event: Any, **_: Any) -> None:
        meta = event["object"]["metadata"]
        told = standing(event["object"])
        # Our own status writes change none of these; acting on them would be talking to ourselves.
        state = (meta.get("generation"), meta.get("deletionTimestamp"), str(meta.get("annotations")))
        key, known = (meta["namespace"], meta["name"]), self._seen.get(meta["uid"])
        if event["type"] == "DELETED":
            self._lent.forget(event["object"])
            self._seen.pop(meta["uid"], None)
        else:
            self._lent.learn(event["object"])
            self._seen[meta["uid"]] = _Known(key, state, told)
            if event["type"] is not None and known is not None and known.state == state:
                return
        listed = Priority.BACKGROUND if told.phase in RESTING else Priority.NORMAL
        self._queue.add(key, priority=listed if event["type"] is None else Priority.ASKED)

    async def _child_event(self, event: Any, **_: Any) -> None:
        found, meta = event["object"], event["object"]["metadata"]
        is_pod = found.get("kind") == kinds.POD.kind
        news = Priority.URGENT if is_pod and read_pod(found).ended else Priority.NORMAL
        priority = Priority.BACKGROUND if event["type"] is None else news
        pause = 0.0 if is_pod else ECHO
        self._queue.add((meta["namespace"], meta["labels"][LABEL_DEPLOYMENT]), pause, priority=priority)

    async def _route_event(self, event: Any, **_: Any) -> None:
        meta = event["object"]["metadata"]
        owners = [ref["name"] for ref in meta.get("ownerReferences", []) if ref.get("apiVersion", "").startswith(GROUP)]
        priority = Priority.BACKGROUND if event["type"] is None else Priority.URGENT
        owned = [(meta["namespace"], name) for name in owners]
        for key in (*owned, *self._lent.keys(meta["namespace"], meta["name"])):
            self._queue.add(key, priority=priority)

    async def _login(self, **arguments: Any) -> kopf.AiohttpSession | None:
        found = await asyncio.to_thread(_credentials, **arguments)
        if found is None:
            return None
        session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, ssl=found.as_ssl_context()),
            headers=found.as_http_headers(),
            proxy=found.proxy_url,
            trust_env=found.trust_env,
            trace_configs=[self._life.trace()],
        )
        return _Session(
            server=found.server,
            default_namespace=found.default_namespace,
            aiohttp_session=session,
            credentials=found,
        )


class _Undiffed(kopf.DiffBaseStorage):
    """Spares a deep copy of every object at every event: differences are of use to handlers that we do not have."""

    def build(self, *, body: Any, extra_fields: Any = None) -> Any:  # noqa: ARG002 - kopf's signature
        return {}

    def fetch(self, *, body: Any) -> Any:  # noqa: ARG002 - kopf's signature
        return None

    def store(self, *, body: Any, patch: Any, essence: Any) -> None:
        """Nothing is kept: an annotation on other people's objects is the last thing that we want."""


def _credentials(**arguments: Any) -> kopf.ConnectionInfo | None:
    return kopf.login_with_service_account(**arguments) or kopf.login_with_kubeconfig(**arguments)
