"""A swapper of models that tell which thread they die on, and that fail when they are used after their close."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest

from luntra_serving.swap.budget import Budget, Size
from luntra_serving.swap.events import Event, EventLog
from luntra_serving.swap.reclaimer import Reclaimer
from luntra_serving.swap.states import Stage
from luntra_serving.swap.swapper import Swapper
from luntra_serving.swap.version import Identity

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from luntra_serving.swap.loading import Loader, Steps


@dataclass
class Deaths:
    """Numbers of all models made, and where they ended: number and thread of each destructor."""

    born: list[int] = field(default_factory=list)
    seen: list[tuple[int, int]] = field(default_factory=list)


class Model:
    """Answers its number, and only while it is open."""

    def __init__(self, number: int, deaths: Deaths) -> None:
        self.number, self.closed = number, False
        self._deaths = deaths
        deaths.born.append(number)

    def infer(self) -> int:
        assert not self.closed, f"model {self.number} is used after its close"
        return self.number

    def close(self) -> None:
        assert not self.closed, f"model {self.number} is closed twice"
        self.closed = True

    def __del__(self) -> None:
        self._deaths.seen.append((self.number, threading.get_ident()))


def identity(number: int) -> Identity:
    return Identity(f"v{number}", f"sha256:{number:064d}")


@dataclass
class Bench:
    """A swapper and everything around it."""

    swapper: Swapper[Model]
    reclaimer: Reclaimer
    budget: Budget
    log: EventLog
    deaths: Deaths

    def loader(
        self, number: int, size: int = 1, before: Callable[[Steps], object] = lambda _steps: None
    ) -> Loader[Model]:
        """A loader of one stage, in which `before` happens; it knows its size before."""

        def load(steps: Steps) -> tuple[Model, Size]:
            steps.reserve(Size(host=size))
            with steps(Stage.LOAD):
                before(steps)
            return Model(number, self.deaths), Size(host=size)

        return load

    def serve(self, number: int, size: int = 1) -> None:
        """Load a version and promote it."""
        self.swapper.load(identity(number), self.loader(number, size)).result(10)
        self.swapper.promote(identity(number))

    def ask(self) -> int:
        """One request."""
        with self.swapper.acquire() as model:
            return model.infer()

    def events(self, number: int) -> list[str]:
        """What happened to a version, without the stages of its load."""
        return [str(event.kind) for event in self._events(number) if event.kind != "Stage"]

    def event(self, number: int, kind: str) -> Event:
        """The only event of a kind of a version."""
        [found] = [event for event in self._events(number) if event.kind == kind]
        return found

    def _events(self, number: int) -> list[Event]:
        return [event for event in self.log.since() if event.identity == identity(number)]


def eventually(holds: Callable[[], bool], seconds: float = 10) -> None:
    """Wait until something holds; fail if it does not."""
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, "did not come true"
        time.sleep(0.005)


@pytest.fixture
def make() -> Iterator[Callable[..., Bench]]:
    """Make benches: `keep` and `total` bytes as given, held versions are reported after `drain` seconds."""
    made: list[Bench] = []

    def bench(*, keep: bool = True, total: int = 1000, drain: float = 60.0) -> Bench:
        reclaimer, budget, log = Reclaimer(drain=drain), Budget(Size(host=total)), EventLog(100_000)
        swapper: Swapper[Model] = Swapper(
            "m", close=Model.close, reclaimer=reclaimer, budget=budget, events=log, keep=keep
        )
        made.append(Bench(swapper, reclaimer, budget, log, Deaths()))
        return made[-1]

    yield bench
    for one in made:
        one.swapper.unload()
        one.reclaimer.stop()


@pytest.fixture
def bench(make: Callable[..., Bench]) -> Bench:
    """A swapper that keeps the version before."""
    return make()
