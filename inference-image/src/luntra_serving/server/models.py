"""The models of this process by name: each has a swapper and a document of its own; memory, threads and the reclaimer are shared.

Those that the process was started for are needed: it is ready when all of them answer. Others come and go through the
management port, and are nobody's reason to wait.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from luntra_serving.errors import RequestError
from luntra_serving.server.cores import usable_cores
from luntra_serving.server.desired import Desired
from luntra_serving.server.footprint import Footprints, resident_memory
from luntra_serving.server.loading import TargetLoader
from luntra_serving.server.memory import usable_memory
from luntra_serving.swap.budget import Budget, Size
from luntra_serving.swap.reclaimer import Reclaimer
from luntra_serving.swap.swapper import Swapper
from luntra_serving.telemetry.feedback import Feedback

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from luntra_serving.server.document import Document, Target
    from luntra_serving.server.model import ReadyModel
    from luntra_serving.server.settings import Settings
    from luntra_serving.swap.events import EventLog
    from luntra_serving.swap.loading import LoadFailedError
    from luntra_serving.telemetry.feedback import Counts


class NeededError(Exception):
    """The model cannot be removed: the process was started for it."""


@dataclass(frozen=True, slots=True)
class Served:
    """One model: what is wanted of it, and what there is."""

    desired: Desired
    swapper: Swapper[ReadyModel]
    needed: bool
    feedback: Feedback = field(default_factory=Feedback)

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
    """Changed from the event loop alone. `changed` is called, on any thread, when a load has ended and what follows is done."""

    def __init__(self, settings: Settings, events: EventLog, changed: Callable[[], object] = lambda: None) -> None:
        self._settings, self._events, self._changed = settings, events, changed
        self._cores = settings.threads or usable_cores()
        self._reclaimer, self._footprints = Reclaimer(), Footprints()
        self._budget = Budget(Size(host=usable_memory() - (resident_memory() or 0)))
        self._served: dict[str, Served] = {}

    def __contains__(self, name: str) -> bool:
        return name in self._served

    def __iter__(self) -> Iterator[Served]:
        return iter(tuple(self._served.values()))

    def add(self, document: Document, *, needed: bool) -> Served:
        """Take on the model of a document; nothing is loaded yet."""
        name = document.model
        swapper: Swapper[ReadyModel] = Swapper(
            name,
            close=lambda model: model.loaded.close(),
            reclaimer=self._reclaimer,
            budget=self._budget,
            events=self._events,
            keep=self._settings.keep_previous,
        )

        def loader(target: Target) -> TargetLoader:
            return TargetLoader(self._settings, name, target, self._cores, self._footprints)

        desired = Desired(document, swapper, loader, pod=self._settings.pod, changed=self._changed)
        served = self._served[name] = Served(desired, swapper, needed)
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

    @property
    def failure(self) -> LoadFailedError | None:
        """Why a model that is needed will not answer as it is wanted now."""
        failures = (served.desired.failure for served in self._served.values() if served.needed)
        return next((failure for failure in failures if failure is not None), None)

    def resident(self) -> dict[tuple[str, str], Size]:
        """The bytes in memory of each (model, version)."""
        return {
            (served.name, identity.version): size
            for served in self
            for identity, size in served.swapper.sizes().items()
        }

    def feedback(self) -> dict[tuple[str, str], Counts]:
        """What was said of the answers of each (model, revision)."""
        return {(served.name, revision): counts for served in self for revision, counts in served.feedback.items()}

    def sweep(self) -> None:
        """End the sessions that have fallen silent; not on the event loop."""
        for served in self:
            served.swapper.sweep()
