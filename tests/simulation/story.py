"""One seed, one story: what happens to whom and when, and what came of it."""

import asyncio
import logging
import random
from dataclasses import dataclass
from typing import TYPE_CHECKING

from luntra_operator.kube import kinds
from luntra_operator.kube.kinds import Kind
from tests.operator.controller.fake_time import in_fake_time

from .api_server import START, ApiServer, belongs_to
from .calm import Calm
from .cluster import Cluster
from .constancy import Constancy
from .ending import wrong_at_the_end
from .evidence import Evidence
from .gateway import Gateway
from .invariants import Invariants
from .metrics import Metrics
from .process import Process
from .routes import ROUTES
from .trace import Trace
from .troubles import Troubles
from .users import User
from .wire import Weather

if TYPE_CHECKING:
    from collections.abc import Callable

QUIET = 300.0
"""Virtual seconds after the last fault in which all must come to its end."""

CALM = 10
"""Every so manyth story is a calm one."""

TURNS = 4000
"""More turns than any story needs; an operator that takes so many is in a loop."""


@dataclass(frozen=True)
class Outcome:
    """How a story ended: with nothing violated, if all is well."""

    seed: int
    violated: str | None
    turns: int
    requests: int
    virtual: float
    trace: Trace


class Story:
    """A cluster, its gateway, its users and one operator, all led by one seed."""

    def __init__(self, seed: int) -> None:
        """Set the scene; must run on a virtual clock."""
        calm = seed % CALM == 0
        self._seed = seed
        self._loop = asyncio.get_running_loop()
        self._rng = self._stream("story")
        random.seed(seed)  # the queue's jitter
        later = self._loop.call_later
        self._trace = Trace(self._loop.time)
        self.server = ApiServer(self._loop.time)
        self._weather = self._drawn_weather()
        self._cluster = Cluster(self.server, self._stream("cluster"), later)
        self._gateway = Gateway(self.server, self._stream("gateway"), later)
        self._metrics = Metrics()
        self._process = Process(
            self.server,
            self._gateway,
            self._metrics,
            self._weather,
            self._stream("process"),
            self._meddle,
            lambda what: self._trace.tell("operator", what),
            self._violation,
        )
        self._loop.set_exception_handler(lambda _, context: self._violation(f"{context}"))
        self._meddling = self._rng.choice((0.0, 0.0, 0.05, 0.2, 0.5))
        self._meddling_with_routes = self._rng.choice((0.0, 0.1, 0.3, 0.6))
        self._troubles = Troubles(
            self._stream("troubles"),
            later,
            self._loop.time,
            lambda what: self._trace.tell("world", what),
            self.server,
            self._cluster,
            self._gateway,
            self._metrics,
            self._weather,
        )
        self._violated: str | None = None
        self._over = asyncio.Event()
        invariants = Invariants(self.server, self._cluster, self._gateway, self._violation)
        self.server.listeners += [
            self._trace.heard,
            invariants.heard,
            Evidence(self.server, self._metrics, self._violation).heard,
            Constancy(self.server, self._gateway, self._violation).heard,
            self._cluster.heard,
            self._gateway.heard,
            self._process.heard,
        ]
        names = ("alpha", "beta") if self._rng.random() < 0.2 else ("alpha",)
        self._users = [self._user(name) for name in names]
        self._calm = self._calmed() if calm else None

    def _calmed(self) -> Calm:
        """Nothing bad will happen."""
        self._weather.clear_up()
        self._meddling = self._meddling_with_routes = 0.0
        self._users = self._users[:1]
        calm = Calm(self.server, self._users[0], self._loop.call_later, self._rng.randint(1, 3))
        self.server.listeners.append(calm.heard)
        if self._rng.random() < 0.3:
            self._users[0].autoscaled()
        return calm

    def _stream(self, name: str) -> random.Random:
        return random.Random(f"{self._seed}/{name}")

    def _drawn_weather(self) -> Weather:
        """Each kind of fault is there in some seeds, rarely or often."""
        draw = self._rng.choice
        return Weather(
            self._stream("weather"),
            fails=draw((0, 0, 0.002, 0.01)),
            loses=draw((0, 0, 0.02, 0.1)),
            hangs=draw((0, 0, 0, 0.01)),
            kills=draw((0, 0, 0.02, 0.1)),
            slow=draw((0, 0, 0.02, 0.2)),
        )

    def _user(self, name: str) -> User:
        draw = self._rng.choice
        if self._rng.random() < 0.4:
            self._metrics.watched[name] = draw(("Hold", "Pass", "Fail"))
        return User(
            name,
            self.server,
            self._stream(name),
            self._loop.call_later,
            plan=draw(("two", "two", "three", "one", "none")),
            checks=draw(("", "", "e", "eb")),
            approval=draw(("Never", "Never", "Never", "BeforeTraffic", "BeforePromotion")),
            patience=draw(("40s", "24h")),
            replicas=draw((1, 2, 2, 3)),
            split=self._rng.random() < 0.85,
            way=self._stream("way").choice(("owned",) * 6 + ("adopted", "adopted", "grpc")),
        )

    async def told(self) -> Outcome:
        """Let it happen."""
        self._process.start()
        at = self._rng.uniform(1, 10)
        for _ in range(0 if self._calm else self._rng.randint(1, 7)):
            self._loop.call_later(at, self._something)
            at += self._rng.expovariate(1 / 5)
        await self._time_passes(at)
        if not self._violated:
            self._heal()
            await self._time_passes(QUIET)
        if not self._violated:
            self._judge()
        now = self._loop.time() - START
        return Outcome(self._seed, self._violated, self._process.turns, self._process.requests, now, self._trace)

    async def _time_passes(self, duration: float) -> None:
        timer = self._loop.call_later(duration, self._over.set)
        await self._over.wait()
        timer.cancel()
        self._over.clear()
        if self._process.turns > TURNS:
            self._violation(f"the operator took {self._process.turns} turns")

    def _judge(self) -> None:
        for user in self._users:
            told = (self.server, self._cluster, self._gateway, user.name)
            for wrong in wrong_at_the_end(*told, restored=user.restored):
                self._violation(wrong)
        for wrong in self._calm.wrong() if self._calm else ():
            self._violation(wrong)

    def _violation(self, what: str) -> None:
        self._trace.tell("JUDGE", what)
        self._violated = self._violated or what
        self._over.set()

    # What may happen.

    def _something(self) -> None:
        user, trouble = self._rng.choice(self._users), self._troubles
        happenings: tuple[tuple[int, Callable[[], None]], ...] = (
            (24, user.new_version),
            (4, user.edited_plan),
            (5, user.scaled),
            (4, user.paused),
            (4, user.approval_mode),
            (3, user.moved_traffic),
            (3, user.moved_host),
            (3, user.autoscaled),
            (5, user.two_changes),
            (3, user.status_lost),
            (7, user.asked),
            (6, user.approves),
            (4, user.recreated),
            (3, user.touched),
            (6, user.foreign_weights),
            (5, user.foreign_content),
            (3, user.route_deleted),
            (16, lambda: trouble.pods(user)),
            (9, lambda: trouble.stable_dies(user)),
            (7, trouble.version),
            (5, trouble.metric),
            (6, trouble.gateway),
            (5, trouble.outage),
            (5, self._process.kill),
            (2, self._process.upgrade),
        )
        if user.adopts:
            happenings += ((5, user.moved_way), (5, user.reapplied))
        weights = [weight for weight, _ in happenings]
        self._rng.choices([happening for _, happening in happenings], weights)[0]()

    def _meddle(self, kind: Kind, name: str) -> None:
        """Somebody is quicker than a write of the operator that is about to arrive."""
        if not self._weather.happens(self._meddling_with_routes if kind in ROUTES else self._meddling):
            return
        for user in self._users:
            if belongs_to(name) == user.name and kind in ROUTES:
                self._rng.choice(
                    (user.foreign_content, user.foreign_content, user.foreign_weights, user.route_deleted)
                )()
            elif name == user.name and kind is kinds.MODEL_DEPLOYMENT:
                self._rng.choice((user.touched, user.new_version))()

    def _heal(self) -> None:
        """All is well from now on; nothing that was decided is taken back."""
        self._trace.tell("world", "all is well from now on")
        self._weather.clear_up()
        self._meddling = self._meddling_with_routes = 0.0
        self._cluster.health.clear()
        self._cluster.verdicts.clear()
        self._metrics.moods.clear()
        self._gateway.stuck_until = 0.0
        for user in self._users:
            user.least = 1  # for what they have in mind already
            user.declare(replicas=max(user.least, user.declared["replicas"]), paused=False)


def tell(seed: int) -> Outcome:
    """The story of a seed; the same seed tells the same story."""
    disabled = logging.root.manager.disable
    logging.disable(logging.CRITICAL)  # what the operator logs of ten thousand failures is of no use

    async def story() -> Outcome:
        return await Story(seed).told()

    try:
        return in_fake_time(story())
    finally:
        logging.disable(disabled)
