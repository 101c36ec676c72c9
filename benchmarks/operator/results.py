"""What a run found, as it lies in operator.json: the border between measuring and telling. No I/O. Times are in seconds."""

from __future__ import annotations

from dataclasses import dataclass, field
from math import ceil
from statistics import median
from typing import Literal

from pydantic import TypeAdapter

from benchmarks.serving.results import Machine  # noqa: TC001 - pydantic reads it at run time

What = Literal["echo", "noticed", "first weight", "bad", "told", "death", "edit", "edit under load"]


@dataclass(frozen=True)
class Reaction:
    """How long it took from something that happened to what the contender did about it, at the API server.

    Attributes:
        contender: who reacted.
        what: to what, and by what: see the report.
        interval: seconds between two looks at the metric, as declared; 0 where none is.
        samples: the times.
        never: how often nothing came of it within `within` seconds.
    """

    contender: str
    what: What
    interval: int
    samples: tuple[float, ...]
    never: int = 0
    within: float = 0.0

    @property
    def median(self) -> float:
        """The middle one."""
        return median(self.samples)

    @property
    def p99(self) -> float:
        """By the nearest rank: with fewer than 100 samples, the longest."""
        return sorted(self.samples)[ceil(0.99 * len(self.samples)) - 1]


@dataclass(frozen=True)
class Adoption:
    """What became of weights that somebody else had written: the candidate's percent, and that of the next own write."""

    contender: str
    edited: int
    next_weights: tuple[int, ...]


@dataclass(frozen=True)
class Cost:
    """Requests of whole rollouts, from the change of the spec to the end, one figure per rollout; `kinds` of all together."""

    contender: str
    requests: tuple[int, ...]
    seconds: tuple[float, ...]
    kinds: dict[str, int]


@dataclass(frozen=True)
class Idle:
    """Requests while nothing happens: `own` about single objects, `lists` of all of a kind, `shared` the rest (watches, lease).

    `looks` of `own` read an object as such, which both do once whenever they look at it.
    """

    contender: str
    interval: int
    objects: int
    seconds: float
    looks: int
    own: int
    lists: int
    shared: int
    kinds: dict[str, int]

    @property
    def hourly(self) -> float:
        """Requests per object and hour: those about it, and its share of the lists."""
        return (self.own + self.lists) * 3600 / self.seconds / self.objects


@dataclass(frozen=True)
class Load:
    """A process that has just been started on `objects`, of which `rolling` are changed at once.

    Attributes:
        start_seconds: until it had looked at every object once.
        start_requests: requests until then.
        resident_bytes: median over the window.
        peak_bytes: the most in the window.
        cores: processor time by time, mean over the window.
        peak_cores: the most in five seconds.
        rate: requests in a second.
        visit_seconds: mean time between two looks at the same object; 0 if there was none.
    """

    contender: str
    objects: int
    rolling: int
    seconds: float
    start_seconds: float
    start_requests: int
    resident_bytes: int
    peak_bytes: int
    cores: float
    peak_cores: float
    rate: float
    visit_seconds: float


@dataclass(frozen=True)
class Named:
    """A contender as the report names it."""

    name: str
    title: str


@dataclass(frozen=True)
class Results:
    """One run; what was not measured is empty."""

    machine: Machine
    contenders: tuple[Named, ...]
    quick: bool
    broken_off: str = ""
    """Why it has not measured all that it was to measure."""
    seconds: float = 0.0
    reactions: tuple[Reaction, ...] = field(default=())
    adoptions: tuple[Adoption, ...] = field(default=())
    costs: tuple[Cost, ...] = field(default=())
    idle: tuple[Idle, ...] = field(default=())
    loads: tuple[Load, ...] = field(default=())

    def reaction(self, contender: str, what: What, interval: int | None = None) -> Reaction | None:
        """The one that was measured, if it was; an interval of None takes all intervals together."""
        found = [one for one in self.reactions if one.contender == contender and one.what == what]
        found = [one for one in found if interval in (None, one.interval)]
        if not found:
            return None
        samples = tuple(sample for one in found for sample in one.samples)
        never = sum(one.never for one in found)
        return Reaction(contender, what, interval or 0, samples, never, max(one.within for one in found))


_ADAPTER = TypeAdapter(Results)


def read(content: bytes) -> Results:
    """Results from JSON. Raises ValueError (pydantic's) if they are not such."""
    return _ADAPTER.validate_json(content)


def write(results: Results) -> bytes:
    """Results as JSON, indented."""
    return _ADAPTER.dump_json(results, indent=1) + b"\n"
