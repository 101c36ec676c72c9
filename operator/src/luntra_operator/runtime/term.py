"""What an acting operator is made of, put together anew for each term of leadership.

Nothing that was known in the term before is used: another may have acted since. A term begins as a process does, from what
is in the cluster.
"""

import asyncio
from datetime import UTC, datetime

import aiohttp

from luntra_operator.controller.dataplane import DataPlane
from luntra_operator.controller.execute import Images
from luntra_operator.controller.fleet import Fleet
from luntra_operator.controller.judges import Judges
from luntra_operator.controller.keys import StoredKeys
from luntra_operator.controller.queue import Key, Priority, WorkQueue
from luntra_operator.controller.reconcile import Reconciler
from luntra_operator.controller.sampling import Analysis, Sampling
from luntra_operator.kube.client import Kube
from luntra_operator.pods.client import Pods
from luntra_operator.sources.opened import Sources

from . import health
from .leading import Work
from .life import SignsOfLife
from .metrics import Metrics
from .resync import resync
from .settings import Settings
from .watches import WATCHED, Watches


class Term:
    """The parts of one term."""

    def __init__(
        self,
        kube: Kube,
        session: aiohttp.ClientSession,
        settings: Settings,
        sources: Sources,
        analysis: Analysis | None,
        metrics: Metrics,
    ) -> None:
        """Put the parts together; `session` asks the data plane and pods, `metrics` measures and reads the parts."""
        self._kube, self._namespaces = kube, settings.namespaces
        self._keys = StoredKeys(kube, settings.namespace)
        self._fleet: Fleet | None = None
        if settings.accelerators is not None:
            self._fleet = Fleet(kube, settings.accelerators, self._wake, settings.namespaces)
        self._sampling = Sampling(analysis or Judges(kube, self._pods(session), sources), self._say)
        self._reconciler = Reconciler(
            kube,
            DataPlane(kube, session),
            Images(serving=settings.serving_image, checks=settings.check_image),
            self._sampling,
            fleet=self._fleet,
            written=metrics.written,
            keys=lambda: self._keys.ring.public,
        )
        self._queue = WorkQueue(metrics.measured(self._reconciler), workers=settings.workers)
        self._life = SignsOfLife(WATCHED)
        self._watches = Watches(self._queue, settings.namespaces, self._life)
        metrics.read(self._queue, self._watches, self._life, self._fleet.ledger if self._fleet is not None else None)

    @property
    def work(self) -> Work:
        """All that is done at once, by name."""
        return {
            "queue": self._reconcile,
            "keys": lambda: self._keys.run(self._hand_out),
            "watches": lambda: self._watches.run(asyncio.Event()),
            "resync": self._net,
        }

    def problems(self) -> list[str]:
        """Why the process should be started anew; nothing when all is well."""
        return health.problems(self._queue, self._life)

    async def _reconcile(self) -> None:
        await self._keys.known.wait()  # a workload that was made without keys would never take a document
        try:
            await self._queue.run()
        finally:
            self._sampling.close()

    def _pods(self, session: aiohttp.ClientSession) -> Pods:
        return Pods(session, lambda: self._keys.ring, lambda: datetime.now(UTC))

    def _say(self, key: Key, priority: Priority) -> None:
        self._queue.add(key, priority=priority)

    def _wake(self, key: Key, after: float) -> None:
        self._queue.add(key, after)

    def _hand_out(self) -> None:
        for key in self._watches.keys:
            self._queue.add(key, priority=Priority.BACKGROUND)

    async def _net(self) -> None:
        if self._fleet is not None:
            await self._fleet.count()
        await resync(self._kube, self._queue, self._namespaces, self._watches, self._reconciler)
