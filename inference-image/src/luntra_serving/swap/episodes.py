"""Sessions that stay with the version on which they began, until they end or fall silent.

An episode refers to its version's model, and that alone keeps the version in memory after it was promoted away or rolled back:
the reclaimer takes a model only when nobody else refers to it. Everything here is one dictionary operation at a time, which no
other thread can interrupt, so there is no lock. Episodes belong to one process: whoever uses them sends a session's requests to
the same pod.

Not guaranteed: an episode for every session. Beyond `most` of them new sessions go by the route alone.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Generic

from .version import Handle, Model, Version

if TYPE_CHECKING:
    from collections.abc import Callable

MOST = 100_000
"""Episodes that one model may have at a time."""


class Episode(Generic[Model]):
    """One session on one version; `used` is when its latest request came, in the clock's seconds."""

    __slots__ = ("model", "used", "version")

    def __init__(self, version: Version[Model], model: Model, used: float) -> None:
        self.version, self.model, self.used = version, model, used


class Episodes(Generic[Model]):
    """The episodes of one model. Safe to use from any thread."""

    def __init__(self, most: int = MOST, clock: Callable[[], float] = time.monotonic) -> None:
        self._most, self._clock = most, clock
        self._open: dict[str, Episode[Model]] = {}

    def __len__(self) -> int:
        return len(self._open)

    def resume(self, session: str) -> Handle[Model] | None:
        """Hold the version of a session's episode; None if it has none."""
        episode = self._open.get(session)
        if episode is None:
            return None
        episode.used = self._clock()
        return episode.version.hold_on(episode.model)

    def begin(self, session: str, handle: Handle[Model]) -> Handle[Model]:
        """Let a session stay with the version of `handle`, and return it.

        If another request of the session has begun an episode meanwhile, its version is returned and `handle` released.
        """
        if len(self._open) >= self._most:
            return handle
        mine = Episode(handle.version, handle.model, self._clock())
        episode = self._open.setdefault(session, mine)
        if episode.version is handle.version:
            return handle
        handle.release()
        return episode.version.hold_on(episode.model)

    def end(self, session: str) -> bool:
        """End a session's episode; its next request begins another one. False if it has none."""
        return self._open.pop(session, None) is not None

    def expire(self, ttl: float) -> int:
        """End the episodes without a request for `ttl` seconds; return how many."""
        limit = self._clock() - ttl
        silent = [session for session, episode in self._open.copy().items() if episode.used < limit]
        return sum(self.end(session) for session in silent)

    def count(self, version: Version[Model]) -> int:
        """How many episodes are on a version."""
        return sum(episode.version is version for episode in self._open.copy().values())

    def clear(self) -> None:
        """End all."""
        self._open.clear()
