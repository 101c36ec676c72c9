"""What a run found, as it lies in analysis.json. No I/O. Times are in seconds."""

from __future__ import annotations

from dataclasses import dataclass, field

from pydantic import TypeAdapter

from benchmarks.serving.results import Machine  # noqa: TC001 - pydantic reads it at run time


@dataclass(frozen=True)
class Refused:
    """The share of rollouts that a rule took back although both versions are alike, in `what` traffic."""

    what: str
    rule: str
    share: float


@dataclass(frozen=True)
class Delay:
    """Seconds until a rule takes back a bad version, None where that is not within the time that was simulated."""

    rule: str
    base: float
    times: float
    requests: float
    weight: int
    median: float | None
    p90: float | None
    never: float
    """The share that is not within that time."""


@dataclass(frozen=True)
class Results:
    """One run."""

    machine: Machine
    quick: bool
    runs: int
    looks: int
    delay_runs: int
    windows: int
    series_runs: int
    seconds: float = 0.0
    """Of processor time: other programs on the machine do not count."""
    refused: tuple[Refused, ...] = field(default=())
    delays: tuple[Delay, ...] = field(default=())
    costs: tuple[Delay, ...] = field(default=())
    series: tuple[Refused, ...] = field(default=())
    all_bad: dict[str, int] = field(default_factory=dict)
    """Requests until a version that fails each is taken back, by dispersion."""
    look_microseconds: dict[str, float] = field(default_factory=dict)
    """Processor time of one look and its finding, by limits."""

    def share(self, what: str, rule: str) -> float:
        """Of `refused`. Raises StopIteration if it was not simulated."""
        return next(one.share for one in self.refused if (one.what, one.rule) == (what, rule))


_ADAPTER = TypeAdapter(Results)


def read(content: bytes) -> Results:
    """Results from JSON. Raises ValueError (pydantic's) if they are not such."""
    return _ADAPTER.validate_json(content)


def write(results: Results) -> bytes:
    """Results as JSON, indented."""
    return _ADAPTER.dump_json(results, indent=1) + b"\n"
