"""Signs of life of the watches: what their requests come to, by kind.

kopf tells nobody of its reconnects, so the HTTP session that it is given does. An idle watch shows life too: the server ends
it after five minutes, and it begins anew. Between two requests nothing is known, and nothing needs to be: kopf gives a
stream up that has brought neither an event nor a bookmark for 70 s.
"""

import logging
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from types import SimpleNamespace

import aiohttp

from luntra_operator.kube.kinds import Kind, place

log = logging.getLogger(__name__)

SERVER_TIMEOUT = 300
"""Seconds after which the server is asked to end a watch."""

SILENT = SERVER_TIMEOUT + 120.0
"""Seconds without a request that succeeded after which a watch counts as dead."""

FAILING = 90.0
"""Seconds after which a watch whose requests all fail counts as dead; an outage of a minute is survived."""

Place = tuple[str, str | None]
"""Plural of a kind, and the namespace (None: all)."""


@dataclass(slots=True)
class _Watch:
    succeeded: float
    failing_since: float | None = None
    error: str = ""


class SignsOfLife:
    """Remembers for each watch when a request of it last succeeded; `failing` and `silent` are in seconds."""

    def __init__(
        self,
        kinds: Iterable[Kind],
        *,
        failing: float = FAILING,
        silent: float = SILENT,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Listen for watches of these kinds; `clock` gives seconds that never jump."""
        self._kinds = {kind.plural: kind.kind for kind in kinds}
        self._failing, self._silent, self._clock = failing, silent, clock
        self._watches: dict[Place, _Watch] = {}
        self.requests: Counter[tuple[str, str]] = Counter()
        """Requests so far by kind and outcome (ok, failed)."""

    def expect(self, kinds: Iterable[Kind]) -> None:
        """From now on a watch of each of these kinds, in all namespaces, has to show life."""
        for kind in kinds:
            self._watches.setdefault((kind.plural, None), _Watch(self._clock()))

    def heard(self, path: str, status: int | None, error: str = "") -> None:
        """A request for `path` ended with this HTTP status, None and an error where there was no answer."""
        namespace, plural, _ = place(path)
        if plural not in self._kinds:
            return
        well = status is not None and status < 400
        self.requests[self._kinds[plural], "ok" if well else "failed"] += 1
        now, where = self._clock(), (plural, namespace)
        if status == 404:  # the kind or the namespace is gone, and nobody watches it any more
            self._watches.pop(where, None)
            return
        watch = self._watches.setdefault(where, _Watch(now))
        if well:
            if watch.failing_since is not None:
                log.info("%s is back after %.0f s", self._name(where), now - watch.failing_since)
            self._watches[where] = _Watch(now)
            return
        watch.error = error or f"status {status}"
        if watch.failing_since is None:
            watch.failing_since = now
            log.warning("%s fails and is tried again and again: %s", self._name(where), watch.error)

    def problems(self) -> list[str]:
        """What is wrong with the watches, one sentence for each that is dead."""
        now, found = self._clock(), []
        for where, watch in self._watches.items():
            what = self._name(where)
            since = now - watch.failing_since if watch.failing_since is not None else 0.0
            if since > self._failing:
                found.append(f"{what} has failed for {since:.0f} s: {watch.error}")
            elif now - watch.succeeded > self._silent:
                found.append(f"{what} has shown no sign of life for {now - watch.succeeded:.0f} s")
        return found

    def _name(self, where: Place) -> str:
        plural, namespace = where
        return f"the watch of {self._kinds[plural]}" + (f" in {namespace}" if namespace else "")

    @property
    def ages(self) -> Mapping[str, float]:
        """Seconds since a request last succeeded, by kind; the oldest where there are several namespaces."""
        now, ages = self._clock(), dict[str, float]()
        for (plural, _), watch in self._watches.items():
            kind = self._kinds[plural]
            ages[kind] = max(ages.get(kind, 0.0), now - watch.succeeded)
        return ages

    def trace(self) -> aiohttp.TraceConfig:
        """What makes an HTTP session tell of its requests."""
        config = aiohttp.TraceConfig()
        config.on_request_end.append(self._ended)
        config.on_request_exception.append(self._broke)
        return config

    async def _ended(self, _: aiohttp.ClientSession, __: SimpleNamespace, told: aiohttp.TraceRequestEndParams) -> None:
        self.heard(told.url.path, told.response.status)

    async def _broke(
        self, _: aiohttp.ClientSession, __: SimpleNamespace, told: aiohttp.TraceRequestExceptionParams
    ) -> None:
        self.heard(told.url.path, None, str(told.exception) or type(told.exception).__name__)
