"""The operator's process: started, fed with news of the API server, killed without warning, started again.

What runs in it is the operator's own code: the work queue, the reconciler, the watch handlers and the net below them. All
of its memory dies with it.
"""

import asyncio
import random
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, cast

from luntra_operator.api.vocabulary import LABEL_DEPLOYMENT
from luntra_operator.controller.execute import Images
from luntra_operator.controller.queue import WorkQueue
from luntra_operator.controller.reconcile import Reconciler
from luntra_operator.controller.sampling import Sampling
from luntra_operator.kube import kinds
from luntra_operator.kube.errors import KubeError
from luntra_operator.kube.kinds import Kind
from luntra_operator.runtime.resync import resync
from luntra_operator.runtime.watches import Watches

from .api_server import WATCHED, ApiServer, Object, Write, moment
from .gateway import Gateway
from .metrics import Metrics
from .routes import ROUTES
from .wire import Weather, Wire

if TYPE_CHECKING:
    from luntra_operator.kube.client import Kube


def _images(release: int) -> Images:
    return Images(serving=f"luntra/inference:{release}", checks=f"luntra/operator:{release}")


class Process:
    """One operator after the other."""

    def __init__(
        self,
        server: ApiServer,
        gateway: Gateway,
        metrics: Metrics,
        weather: Weather,
        rng: random.Random,
        meddle: Callable[[Kind, str], None],
        tell: Callable[[str], None],
        failed: Callable[[str], None],
    ) -> None:
        """Make ready; `tell` hears of starts and ends, `meddle` of writes about to happen, `failed` of a broken program."""
        self._server, self._gateway, self._weather, self._rng = server, gateway, weather, rng
        self._metrics, self._release = metrics, 1
        self._meddle, self._tell, self._failed = meddle, tell, failed
        self._loop = asyncio.get_running_loop()
        self._watches: Watches | None = None
        self._wire: Wire | None = None
        self._sampling: Sampling | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self._news: dict[str, float] = {}
        self.turns = self._sent = 0

    @property
    def requests(self) -> int:
        """Requests of all processes so far."""
        return self._sent + (self._wire.requests if self._wire else 0)

    def start(self) -> None:
        """Start with an empty memory."""
        self._tell("starts")
        self._wire = Wire(self._server, self._weather, self.kill, self._meddle)
        kube = cast("Kube", self._wire)
        images = _images(self._release)
        sampling = Sampling(self._metrics, lambda key, priority: queue.add(key, priority=priority))
        reconcile = Reconciler(kube, self._gateway, images, sampling, clock=lambda: moment(self._loop.time()))

        async def counted(key: tuple[str, str]) -> float | None:
            self.turns += 1
            try:
                return await reconcile(key)
            except KubeError:
                raise
            except Exception as error:
                self._failed(f"the operator fails with {error!r}")
                raise

        queue = WorkQueue(counted, workers=2)
        self._sampling, self._watches = sampling, Watches(queue, ())
        net = resync(kube, queue, (), self._watches, reconcile)
        self._tasks = [self._loop.create_task(queue.run()), self._loop.create_task(net)]
        for kind in WATCHED:
            for body in self._server.all(kind):
                self._announce(kind, None, body)

    def kill(self) -> None:
        """End at once; a new process starts after a while."""
        if self._wire is None:
            return
        self._tell("is killed")
        self._end()
        self._loop.call_later(self._rng.choice((0.5, 2, 10, 30)) * (0.5 + self._rng.random()), self.start)

    def upgrade(self) -> None:
        """The next process is of a newer release, with other default images."""
        self._release += 1
        self.kill()

    def _end(self) -> None:
        if self._wire is not None:
            self._wire.cut()
            self._sent += self._wire.requests
        if self._sampling is not None:
            self._sampling.close()
        for task in self._tasks:
            task.cancel()
        self._wire = self._watches = None

    def heard(self, write: Write) -> None:
        """News for the watches, some time after the write, now and then twice."""
        if self._watches is not None and write.kind in WATCHED:
            what = "ADDED" if write.before is None else "MODIFIED" if write.after else "DELETED"
            self._announce(write.kind, what, write.body)
            if self._rng.random() < 0.02:
                self._announce(write.kind, what, write.body)

    def _announce(self, kind: Kind, what: str | None, body: Object) -> None:
        """Within a kind news keep their order, as in a watch; in an outage they wait for its end."""
        lag = self._rng.expovariate(1) if self._rng.random() < 0.05 else 0.002
        earliest = max(self._loop.time(), self._weather.out_until) + lag
        due = self._news[kind.plural] = max(earliest, self._news.get(kind.plural, 0.0))
        self._loop.call_at(due, self._deliver, self._watches, kind, {"type": what, "object": body})

    def _deliver(self, watches: Watches | None, kind: Kind, event: Object) -> None:
        if watches is None or watches is not self._watches:
            return
        labels = event["object"]["metadata"].get("labels", {})
        if kind is kinds.MODEL_DEPLOYMENT:
            _run(watches._object_event(event))
        elif kind in ROUTES:
            _run(watches._route_event(event))
        elif LABEL_DEPLOYMENT in labels:
            _run(watches._child_event(event))


def _run(handler: Coroutine[Any, Any, None]) -> None:
    """The handlers only add to the queue and wait for nothing."""
    try:
        handler.send(None)
    except StopIteration:
        return
    raise AssertionError("a watch handler waits for something")
