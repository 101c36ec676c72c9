"""The states that a version goes through, the stages of its load, and what is known about one."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .version import Identity


class State(StrEnum):
    """Where a version is between being asked for and being gone.

    Loading → Ready ⇄ Retired → Reclaimed, or Loading → Failed | Superseded. Which of the Ready ones answer is the route's
    affair.
    """

    LOADING = "Loading"
    READY = "Ready"
    RETIRED = "Retired"
    RECLAIMED = "Reclaimed"
    FAILED = "Failed"
    SUPERSEDED = "Superseded"


class Stage(StrEnum):
    """What a load does, in this order; a loader may leave out what it does not need."""

    FETCH = "fetch"
    VERIFY = "verify"
    MAKE_ROOM = "make-room"
    LOAD = "load"
    WARM_UP = "warm-up"
    SELF_TEST = "self-test"


@dataclass(frozen=True, slots=True)
class VersionStatus:
    """What is known about one version; `stages` holds the seconds that each finished stage of its load took."""

    identity: Identity
    state: State = State.LOADING
    stage: Stage | None = None
    reason: str | None = None
    message: str | None = None
    stages: Mapping[Stage, float] = field(default_factory=lambda: MappingProxyType({}))
    in_flight: int = 0


IN_MEMORY = frozenset({State.READY, State.RETIRED})
"""States in which a version can hold requests."""

ENDED = frozenset({State.RECLAIMED, State.FAILED, State.SUPERSEDED})
"""States from which only a new load leads away."""
