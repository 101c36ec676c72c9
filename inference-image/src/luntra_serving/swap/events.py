"""What happened to versions, in order: a bounded log that people, metrics and tests read."""

from __future__ import annotations

import threading
import time
from collections import deque
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from .version import Identity


class Kind(StrEnum):
    """Transitions of a version, and what is remarkable in between."""

    LOADING = "Loading"
    STAGE = "Stage"
    READY = "Ready"
    FAILED = "Failed"
    SUPERSEDED = "Superseded"
    PROMOTED = "Promoted"
    WEIGHTED = "Weighted"
    ROLLED_BACK = "RolledBack"
    RETIRED = "Retired"
    RESURRECTED = "Resurrected"
    STUCK = "Stuck"
    RECLAIMED = "Reclaimed"


@dataclass(frozen=True, slots=True)
class Event:
    """One entry; `at` is in seconds since 1970, `number` grows by one with each event of the process."""

    number: int
    at: float
    model: str
    identity: Identity
    kind: Kind
    detail: Mapping[str, object] = field(default_factory=dict)


class EventLog:
    """The last `length` events. `listener` is called with each one, in order; it must be quick and must not raise."""

    def __init__(self, length: int = 1000, listener: Callable[[Event], None] = lambda _event: None) -> None:
        self._events: deque[Event] = deque(maxlen=length)
        self._listener = listener
        self._lock = threading.Lock()
        self._number = 0

    def emit(self, model: str, identity: Identity, kind: Kind, **detail: object) -> None:
        """Add an event that happens now."""
        with self._lock:
            self._number += 1
            event = Event(self._number, time.time(), model, identity, kind, detail)
            self._events.append(event)
            self._listener(event)

    def since(self, number: int = 0) -> tuple[Event, ...]:
        """Events after `number` that are still kept, oldest first."""
        with self._lock:
            return tuple(event for event in self._events if event.number > number)
