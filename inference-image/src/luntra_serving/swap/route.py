"""The route: which version answers, as one immutable object that one attribute store publishes.

Guarantees: a request that reads `RouteSlot.current` once sees one route to its end, whatever is published meanwhile;
reading takes no lock and waits for nobody; epochs only grow. Memory safety is the reader's own reference to the route
it read. Not guaranteed: that two requests which start at the same instant see the same route.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import Generic, TypeVar

Model = TypeVar("Model")


@dataclass(frozen=True, slots=True)
class Served(Generic[Model]):
    """A version that is ready to answer, and what answers for it; `revision` is the deployer's name for it, if any."""

    version: str
    digest: str
    model: Model
    revision: str | None = None


@dataclass(frozen=True, slots=True)
class Route(Generic[Model]):
    """Who answers at one `epoch`; no `stable` version means that nothing is ready yet."""

    epoch: int
    stable: Served[Model] | None


class RouteSlot(Generic[Model]):
    """The one place where the current route is read and published."""

    __slots__ = ("_lock", "current")

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.current: Route[Model] = Route(epoch=0, stable=None)
        """The route of now. Read it once for each request, and keep what was read."""

    def publish(self, stable: Served[Model]) -> Route[Model]:
        """Make `stable` answer every request that starts from now on; return the new route."""
        with self._lock:
            route = Route(epoch=self.current.epoch + 1, stable=stable)
            self.current = route
        return route
