"""What the requests of each version came to: counted on the event loop alone, so plain integers do.

Nothing here goes down but the requests in flight, so whoever reads twice may subtract. Prometheus metrics and the
management port's statistics are two views of the same numbers.

Both protocols count in HTTP's codes (gRPC's own are translated). Only 429 says that a version has shed a request, and only 499 that
its client left before its turn came; where the deadline passed besides, it is a 504, for then no client would have had an
answer. What had begun when its client left counts as what it came to.
"""

from __future__ import annotations

import time
from bisect import bisect_left
from itertools import accumulate
from math import inf
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

if TYPE_CHECKING:
    from luntra_serving.swap.version import Identity

BOUNDS = (
    0.0001, 0.0002, 0.0005, 0.001, 0.002, 0.003, 0.005, 0.0075, 0.01, 0.015, 0.02, 0.03, 0.05, 0.075, 0.1, 0.2, 0.5,
    1.0, 2.5, 5.0, 10.0,
)  # fmt: skip
"""Upper bounds of the latency buckets in seconds; the last bucket has none."""

_KEPT = 32
"""Versions of a model whose numbers are kept; a process that swaps every minute must not grow."""


class Execution:
    """One run of a model for the requests that joined, and the seconds of its parts; these requests share it.

    It is made where the model runs and counted, once, when the first of its requests ends with a result.
    """

    __slots__ = ("counted", "infer", "input", "output", "requests")

    def __init__(self, requests: int, *, input: float, infer: float, output: float = 0.0) -> None:  # noqa: A002 - the protocol's word
        self.requests, self.input, self.infer, self.output = requests, input, infer, output
        self.counted = False


class Spent(NamedTuple):
    """Where the time of one request went."""

    queue: float
    """Seconds before it ran."""
    execution: Execution


class Parts:
    """Sums of the parts of executions: reading the inputs, the model itself, and writing the outputs, in seconds."""

    __slots__ = ("count", "infer", "input", "output")

    def __init__(self) -> None:
        self.count = 0
        self.input = self.infer = self.output = 0.0

    def add(self, execution: Execution) -> None:
        """Count an execution."""
        self.count += 1
        self.input += execution.input
        self.infer += execution.infer
        self.output += execution.output


class VersionStats:
    """Requests of one version: since when, how many, how they ended (HTTP status), how long they took, and those that got a result.

    Of the latter, also how long they waited (`queue_seconds`), the `parts` of their executions, each as often as requests
    shared it, and those `batches` themselves, by the number of requests that ran together.
    """

    __slots__ = (
        "batches", "begun", "buckets", "codes", "ended", "good_seconds", "noticed", "parts", "queue_seconds", "seconds",
        "since",
    )  # fmt: skip

    def __init__(self, since: float | None = None) -> None:
        """`since`: when its first request came, in seconds since 1970."""
        self.since = since
        self.begun = self.ended = 0
        self.noticed = 0
        """Those that had begun when the last new version came."""
        self.seconds = self.good_seconds = self.queue_seconds = 0.0
        self.parts = Parts()
        self.batches: dict[int, Parts] = {}
        self.codes: dict[int, int] = {}
        self.buckets = [0] * (len(BOUNDS) + 1)

    def begin(self) -> None:
        """A request has arrived."""
        self.begun += 1

    def end(self, code: int, seconds: float, spent: Spent | None = None) -> None:
        """It was answered with this status after this time; `spent` is known of what ran."""
        self.ended += 1
        self.seconds += seconds
        if code == 200:
            self.good_seconds += seconds
            if spent is not None:
                self._spend(spent)
        self.codes[code] = self.codes.get(code, 0) + 1
        self.buckets[bisect_left(BOUNDS, seconds)] += 1

    def _spend(self, spent: Spent) -> None:
        execution = spent.execution
        self.queue_seconds += spent.queue
        self.parts.add(execution)
        if not execution.counted:
            execution.counted = True
            self.batches.setdefault(execution.requests, Parts()).add(execution)

    @property
    def executions(self) -> int:
        """Runs of the model that gave a result."""
        return sum(parts.count for parts in self.batches.values())

    def cumulative(self) -> list[tuple[float, int]]:
        """Upper bound of each bucket and the requests that took no longer, as a histogram of Prometheus has them."""
        return list(zip((*BOUNDS, inf), accumulate(self.buckets), strict=True))

    def to_json(self) -> dict[str, Any]:
        """What the management port says; the last bound is null, for JSON has no infinity."""
        return {
            "since": self.since,
            "requests": self.ended,
            "inFlight": self.begun - self.ended,
            "codes": {str(code): count for code, count in sorted(self.codes.items())},
            "queueSeconds": self.queue_seconds,
            "executions": self.executions,
            "latency": {
                "count": self.ended,
                "sumSeconds": self.seconds,
                "buckets": list(zip((*BOUNDS, None), accumulate(self.buckets), strict=True)),
            },
        }


_Versions: TypeAlias = "dict[tuple[str, str, str | None], tuple[Identity, VersionStats]]"
"""A model's versions by what tells them apart."""


class Stats:
    """Statistics by model and identity: two revisions may share a version's name."""

    def __init__(self) -> None:
        self._models: dict[str, _Versions] = {}

    def begin(self, model: str, identity: Identity) -> VersionStats:
        """A request of a version has arrived; return where its end is to be told."""
        versions = self._models.get(model, {})
        # An identity's own hash and comparison are Python's, and cost more than all of the counting.
        key = (identity.version, identity.digest, identity.revision)
        found = versions.get(key)
        if found is None:
            found = (identity, VersionStats(time.time()))
            self._models[model] = {
                **_with_room(versions),
                key: found,
            }  # one store: copies are counted on another thread
        found[1].begin()
        return found[1]

    def of(self, model: str) -> dict[Identity, VersionStats]:
        """The numbers of each version of a model that had a request."""
        return dict(self._models.get(model, {}).values())

    def items(self) -> list[tuple[str, Identity, VersionStats]]:
        """Model, identity and numbers of all versions."""
        return [(model, *counted) for model, versions in list(self._models.items()) for counted in versions.values()]

    def forget(self, model: str) -> None:
        """Drop the numbers of a model that is gone."""
        self._models.pop(model, None)


def _with_room(versions: _Versions) -> _Versions:
    """Return them with room for a new one: without the one that is idle and was asked before the others, if there are too many."""
    kept = dict(
        sorted(versions.items(), key=lambda item: item[1][1].begun != item[1][1].noticed)
    )  # the silent ones first
    for _, stats in kept.values():
        stats.noticed = stats.begun
    if len(kept) >= _KEPT:
        idle = (key for key, (_, stats) in kept.items() if stats.begun == stats.ended)
        kept.pop(next(idle, ("", "", None)), None)
    return kept
