"""What is known about each version of one model, written together with the event that says so.

Used under the swapper's lock. Versions that have ended stay for a while, so that whoever asks late still learns how.
"""

from __future__ import annotations

from dataclasses import replace
from types import MappingProxyType
from typing import TYPE_CHECKING

from .events import EventLog, Kind
from .states import ENDED, State, VersionStatus

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .states import Stage
    from .version import Identity

_KEPT = 32


class Ledger:
    """Statuses by identity, oldest first."""

    def __init__(self, model: str, events: EventLog) -> None:
        self._model, self._events = model, events
        self._statuses: dict[Identity, VersionStatus] = {}

    def move(self, identity: Identity, state: State, kind: Kind, **detail: object) -> None:
        """Enter a state; `reason` and `message` in the detail go into the status too. Loading begins a new status."""
        known = self._statuses.pop(identity, None)
        if known is None or state is State.LOADING:
            known = VersionStatus(identity)
        reason, message = (str(detail[key]) if key in detail else None for key in ("reason", "message"))
        self._statuses[identity] = replace(known, state=state, stage=None, reason=reason, message=message)
        ended = [one for one, status in self._statuses.items() if status.state in ENDED]
        for one in ended[:-_KEPT]:
            del self._statuses[one]
        self.note(identity, kind, **detail)

    def enter(self, identity: Identity, stage: Stage) -> None:
        """A stage of the load has begun."""
        self._statuses[identity] = replace(self._statuses[identity], stage=stage)

    def finish(self, identity: Identity, stage: Stage, seconds: float) -> None:
        """A stage of the load has ended well."""
        status = self._statuses[identity]
        self._statuses[identity] = replace(
            status, stage=None, stages=MappingProxyType({**status.stages, stage: round(seconds, 6)})
        )
        self.note(identity, Kind.STAGE, stage=stage, seconds=round(seconds, 6))

    def explain(self, identity: Identity, reason: str, message: str) -> None:
        """Say why a load takes longer."""
        self._statuses[identity] = replace(self._statuses[identity], reason=reason, message=message)

    def note(self, identity: Identity, kind: Kind, **detail: object) -> None:
        """Something happened that changes no state."""
        self._events.emit(self._model, identity, kind, **detail)

    def read(self, in_flight: Mapping[Identity, int]) -> Mapping[Identity, VersionStatus]:
        """A snapshot."""
        return MappingProxyType(
            {one: replace(status, in_flight=in_flight.get(one, 0)) for one, status in self._statuses.items()}
        )
