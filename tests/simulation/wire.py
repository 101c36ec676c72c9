"""The way between one operator process and the API server: it delays, loses and breaks requests, as the seed says.

It has the public surface of `luntra_operator.kube.client.Kube` that the controller uses. Each request arrives at the
server, and takes effect there, a while after it was sent; the answer takes a while more or never comes. When the process is
killed, a request on its way may still arrive.
"""

import asyncio
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from luntra_operator.kube.client import REQUEST_TIMEOUT
from luntra_operator.kube.errors import KubeError, RefusedError, UnavailableError
from luntra_operator.kube.kinds import DEPLOYMENT, EVENT, MODEL_DEPLOYMENT, Kind

from .api_server import ApiServer, Caller, Object, belongs_to

OPERATOR = "operator"


@dataclass
class Weather:
    """How likely each failure is, per request; the API server is out, and the quota used up, until a time.

    `fails`: nothing happens and there is no answer. `loses`, `hangs`: it happens, and the answer is lost, which the operator
    learns at once or by its time-out. `kills`: the process ends as its write arrives, or just before. `slow`: a way is long.
    """

    rng: random.Random
    fails: float = 0.0
    loses: float = 0.0
    hangs: float = 0.0
    kills: float = 0.0
    slow: float = 0.0
    out_until: float = 0.0
    quota_until: float = 0.0

    def clear_up(self) -> None:
        """Nothing goes wrong any more."""
        self.fails = self.loses = self.hangs = self.kills = self.slow = self.out_until = self.quota_until = 0.0

    def delay(self) -> float:
        """Seconds of one way, in ticks of 2 ms: what arrives in one tick costs the loop one turn."""
        drawn = self.rng.random()
        return 0.3 * drawn / self.slow if drawn < self.slow else 0.002 * (1 + int(6 * drawn))

    def happens(self, likelihood: float) -> bool:
        """Whether something of that likelihood happens now."""
        return likelihood > 0 and self.rng.random() < likelihood


class Wire:
    """The requests of one process. `kill` is called where the seed ends the process at a write."""

    def __init__(
        self, server: ApiServer, weather: Weather, kill: Callable[[], None], meddle: Callable[[Kind, str], None]
    ) -> None:
        """Connect to `server`; `meddle` is told of each write that is about to take effect, and may be quicker."""
        self._server, self._weather, self._kill, self._meddle = server, weather, kill, meddle
        self._loop = asyncio.get_running_loop()
        self._pending: set[asyncio.Future[Any]] = set()
        self._due: dict[float, list[tuple[Callable[..., None], asyncio.Future[Any], tuple[Any, ...]]]] = {}
        self._turns: dict[str, float] = {}
        self._dead = False
        self.requests = 0

    def cut(self) -> None:
        """The process is dead: it gets no answer any more."""
        self._dead = True
        for answer in self._pending:
            answer.cancel()

    # The port that the controller uses.

    def get(self, kind: Kind, namespace: str | None, name: str) -> asyncio.Future[Any]:
        """See `Kube.get`."""
        return self._read(self._found, kind, name)

    def versions(self, kind: Kind, namespace: str | None, selector: str = "") -> asyncio.Future[Any]:
        """See `Kube.versions`."""
        return self._read(self._metadata, kind, selector)

    def list(self, kind: Kind, namespace: str | None, selector: str | None = None) -> asyncio.Future[Any]:
        """See `Kube.list`."""
        return self._read(self._server.list, kind, selector)

    async def create(self, kind: Kind, body: Object) -> Object:
        """See `Kube.create`."""
        return await self._write(kind, body["metadata"]["name"], lambda by: self._server.create(by, kind, body))

    async def apply(self, kind: Kind, body: Object) -> Object:
        """See `Kube.apply`."""
        return await self._write(kind, body["metadata"]["name"], lambda by: self._server.apply(by, kind, body))

    async def patch(self, kind: Kind, namespace: str, name: str, operations: Sequence[Mapping[str, Any]]) -> Object:
        """See `Kube.patch`."""
        return await self._write(kind, name, lambda by: self._server.patch(by, kind, name, operations))

    async def merge(self, kind: Kind, namespace: str, name: str, change: Object) -> Object:
        """See `Kube.merge`."""
        return await self._write(kind, name, lambda by: self._server.merge(by, kind, name, change))

    async def replace_status(self, kind: Kind, body: Object) -> Object:
        """See `Kube.replace_status`."""
        return await self._write(kind, body["metadata"]["name"], lambda by: self._server.replace_status(by, kind, body))

    async def delete(self, kind: Kind, namespace: str, name: str) -> None:
        """See `Kube.delete`."""
        await self._write(kind, name, lambda by: self._server.delete(by, kind, name))

    # How it gets there.

    def _found(self, kind: Kind, name: str) -> Object | None:
        """An object; of a ModelDeployment a copy, as the operator keeps the resourceVersion of its last write in it."""
        found = self._server.find(kind, name)
        if kind is not MODEL_DEPLOYMENT or found is None:
            return found
        self._turns[name] = self._loop.time()
        return {**found, "metadata": dict(found["metadata"])}

    def _metadata(self, kind: Kind, selector: str) -> Sequence[Object]:
        metas = (body["metadata"] for body in self._server.list(kind))
        return [meta for meta in metas if not selector or selector in meta.get("labels", {})]

    def _read(self, read: Callable[[Any, Any], Any], kind: Kind, what: str | None) -> asyncio.Future[Any]:
        """A future and no coroutine: there are a dozen reads in each turn, and a task for each would double the loop's work."""
        weather = self._weather
        fails = weather.happens(weather.fails)
        return self._sent(weather.delay(), self._reads, fails, read, kind, what)

    def _reads(
        self, answer: asyncio.Future[Any], fails: bool, read: Callable[[Any, Any], Any], kind: Kind, what: str | None
    ) -> None:
        self._pending.discard(answer)
        if answer.done():
            return
        if fails or self._loop.time() < self._weather.out_until:
            answer.set_exception(UnavailableError("no answer from the API server"))
        else:
            answer.set_result(read(kind, what))

    async def _write(self, kind: Kind, name: str, write: Callable[[Caller], Any]) -> Any:
        weather = self._weather
        caller = Caller(OPERATOR, self._turns.get(belongs_to(name), self._loop.time()))
        fails, loses, hangs = (weather.happens(each) for each in (weather.fails, weather.loses, weather.hangs))
        kills, first = weather.happens(weather.kills), weather.rng.random() < 0.5

        def arrives(answer: asyncio.Future[Any]) -> None:
            if self._dead and first:
                return  # it was not on its way yet
            if kills and first:
                self._kill()
                return
            error: KubeError | None = None
            result = None
            try:
                if fails:
                    raise UnavailableError("no answer from the API server")
                self._admit(kind, name)
                result = write(caller)
            except KubeError as told:
                error = told
            if loses or hangs:
                error = UnavailableError("the answer of the API server was lost")
            if kills and not self._dead:
                self._kill()
            if not answer.done():
                wait = REQUEST_TIMEOUT if hangs else weather.delay()
                self._loop.call_later(wait, self._answered, answer, result, error)

        return await self._sent(weather.delay(), arrives)

    def _admit(self, kind: Kind, name: str) -> None:
        """What may happen to any write just before it takes effect."""
        now = self._loop.time()
        if now < self._weather.out_until:
            raise UnavailableError("no answer from the API server")
        if kind is DEPLOYMENT and now < self._weather.quota_until:
            raise RefusedError("deployments.apps is forbidden: exceeded quota: compute (403)")
        if kind is not EVENT:
            self._meddle(kind, name)

    def _sent(self, delay: float, arrives: Callable[..., None], *what: Any) -> asyncio.Future[Any]:
        answer: asyncio.Future[Any] = self._loop.create_future()
        if self._dead:
            answer.cancel()
            return answer
        self.requests += 1
        self._pending.add(answer)
        due = self._loop.time() + delay
        if due in self._due:
            self._due[due].append((arrives, answer, what))
        else:
            self._due[due] = [(arrives, answer, what)]
            self._loop.call_at(due, self._arrive, due)
        return answer

    def _arrive(self, due: float) -> None:
        for arrives, answer, what in self._due.pop(due):
            arrives(answer, *what)

    def _answered(self, answer: asyncio.Future[Any], result: Any, error: KubeError | None) -> None:
        self._pending.discard(answer)
        if answer.done():
            return
        if error is not None:
            answer.set_exception(error)
        else:
            answer.set_result(result)
