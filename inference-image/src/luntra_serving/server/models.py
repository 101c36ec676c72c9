"""The models of this process by name: each has a swapper and a document of its own; memory, threads and the reclaimer are shared.

Those that the process was started for are needed: it is ready when all of them answer. Others come and go through the
management port, and are nobody's reason to wait.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from luntra_serving.errors import RequestError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from luntra_serving.server.desired import Desired
    from luntra_serving.server.document import Document
    from luntra_serving.server.model import ReadyModel
    from luntra_serving.swap.swapper import Swapper


class NeededError(Exception):
    """The model cannot be removed: the process was started for it."""


@dataclass(frozen=True, slots=True)
class Served:
    """One model: what is wanted of it, and what there is."""

    desired: Desired
    swapper: Swapper[ReadyModel]
    needed: bool

    @property
    def name(self) -> str:
        """What clients call it."""
        return self.swapper.model

    @property
    def expected_version(self) -> str:
        """The version that its document wants to answer."""
        return self.desired.document.stable.version

    @property
    def answers(self) -> bool:
        """Whether its stable version is in memory."""
        return self.swapper.route.stable is not None


class Models:
    """Changed from the event loop alone. `make` returns the desired state and the swapper of a document's model."""

    def __init__(self, make: Callable[[Document], tuple[Desired, Swapper[ReadyModel]]]) -> None:
        self._make = make
        self._served: dict[str, Served] = {}

    def __contains__(self, name: str) -> bool:
        return name in self._served

    def __iter__(self) -> Iterator[Served]:
        return iter(tuple(self._served.values()))

    def add(self, document: Document, *, needed: bool) -> Served:
        """Take on the model of a document; nothing is loaded yet."""
        desired, swapper = self._make(document)
        served = self._served[document.model] = Served(desired, swapper, needed)
        return served

    def remove(self, name: str) -> None:
        """Let a model go with all its versions; what is in flight ends first. Raises RequestError (404), NeededError."""
        served = self.find(name)
        if served.needed:
            raise NeededError(f"model {name!r} is what this server was started for; end the server instead")
        del self._served[name]
        served.desired.stop()

    def find(self, name: str) -> Served:
        """Return a model. Raises RequestError (404)."""
        served = self._served.get(name)
        if served is None:
            names = ", ".join(map(repr, self._served))
            raise RequestError(404, f"model {name!r} is not served here; this server has {names}")
        return served

    @property
    def ready(self) -> bool:
        """Whether every model that is needed answers."""
        return all(served.answers for served in self._served.values() if served.needed)
