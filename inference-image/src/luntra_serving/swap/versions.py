"""The states that a version goes through, and a board on which they are kept for people and programs to read."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field, replace
from enum import StrEnum
from types import MappingProxyType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping


class State(StrEnum):
    """Where a version is on its way to answering requests."""

    LOADING = "Loading"
    READY = "Ready"
    FAILED = "Failed"


@dataclass(frozen=True, slots=True)
class VersionStatus:
    """What is known about one version; `stages` holds the seconds that each finished stage of the load took."""

    version: str
    digest: str
    uri: str
    revision: str | None = None
    state: State = State.LOADING
    reason: str | None = None
    message: str | None = None
    stages: Mapping[str, float] = field(default_factory=lambda: MappingProxyType({}))


class VersionBoard:
    """The latest status of each version. Writers replace whole statuses; a reader sees one or the next, never a mix."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._statuses: Mapping[str, VersionStatus] = MappingProxyType({})

    def put(self, status: VersionStatus) -> None:
        """Record `status` as the latest of its version."""
        with self._lock:
            self._statuses = MappingProxyType({**self._statuses, status.version: status})

    def move(self, version: str, state: State, *, reason: str | None = None, message: str | None = None) -> None:
        """Record that `version`, put before, is now in `state`, and why. Raises KeyError for an unknown version."""
        with self._lock:
            status = replace(self._statuses[version], state=state, reason=reason, message=message)
            self._statuses = MappingProxyType({**self._statuses, version: status})

    def stage(self, version: str, name: str, seconds: float) -> None:
        """Record that the stage `name` of loading `version` took `seconds`."""
        with self._lock:
            status = self._statuses[version]
            stages = MappingProxyType({**status.stages, name: seconds})
            self._statuses = MappingProxyType({**self._statuses, version: replace(status, stages=stages)})

    def read(self) -> Mapping[str, VersionStatus]:
        """Return an immutable snapshot, version -> status."""
        return self._statuses
