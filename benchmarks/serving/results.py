"""What a run found, as it lies in serving.json: the border between measuring and telling. No I/O."""

from __future__ import annotations

from dataclasses import dataclass, field

from pydantic import TypeAdapter


@dataclass(frozen=True)
class Machine:
    """Where and when the run took place; figures of two machines are not to be compared."""

    processor: str
    cores: int
    memory_bytes: int
    system: str
    python: str
    onnxruntime: str
    date: str
    load_before: float
    """Load average of one minute before the run: above 0.5 others were at work."""


@dataclass(frozen=True)
class Calibration:
    """How fast this machine is at nothing in particular."""

    empty_call_seconds: float
    copy_bytes_per_second: float


@dataclass(frozen=True)
class Named:
    """A server as the report names it; `reloading` says how its model is changed."""

    name: str
    title: str
    reloading: str


@dataclass(frozen=True)
class Throughput:
    """A closed loop, one figure per repeat: answers in a second, and seconds of the server's processor for one answer.

    `bad` counts answers that were not 2xx and connections that broke.
    """

    server: str
    model: str
    encoding: str
    connections: int
    rates: tuple[float, ...]
    costs: tuple[float, ...]
    bad: int


@dataclass(frozen=True)
class Quantiles:
    """Latencies in seconds, from the instant at which a request was due; `count` requests."""

    count: int
    p50: float
    p99: float
    p999: float


@dataclass(frozen=True)
class Windows:
    """Requests due shortly before a change, and those due while it went on, of all changes together."""

    before: Quantiles
    during: Quantiles

    @property
    def ratio(self) -> float:
        """How much worse the 99th percentile is during a change."""
        return self.during.p99 / self.before.p99


@dataclass(frozen=True)
class Swaps:
    """Changes of the model under a constant rate.

    `swap_median_seconds` and `swap_max_seconds` last from the order to the first answer of the new version; `control` are
    windows of such a length in which nothing was changed. `saturated`: the server does not keep up with the rate even at
    rest, so that there are no figures. `broken_off`: why no more changes were ordered, if that was so. Of `checked` answers
    `wrong` were no version's.
    """

    server: str
    rate: int
    saturated: bool
    broken_off: str = ""
    swaps: int = 0
    swap_median_seconds: float = 0.0
    swap_max_seconds: float = 0.0
    windows: Windows | None = None
    control: Windows | None = None
    requests: int = 0
    errors: int = 0
    resets: int = 0
    checked: int = 0
    wrong: int = 0
    bytes_per_swap: float = 0.0


@dataclass(frozen=True)
class SwapCost:
    """What our swapper costs, in seconds; medians."""

    empty_call: float
    acquire_release: float
    promote: float
    rollback_request: float
    rollback_request_p99: float


@dataclass(frozen=True)
class Results:
    """One run; what was not measured is empty or None."""

    machine: Machine
    calibration: Calibration
    servers: tuple[Named, ...]
    quick: bool
    seconds: float = 0.0
    throughput: tuple[Throughput, ...] = field(default=())
    swaps: tuple[Swaps, ...] = field(default=())
    swap_cost: SwapCost | None = None


_ADAPTER = TypeAdapter(Results)


def read(content: bytes) -> Results:
    """Results from JSON. Raises ValueError (pydantic's) if they are not such."""
    return _ADAPTER.validate_json(content)


def write(results: Results) -> bytes:
    """Results as JSON, indented."""
    return _ADAPTER.dump_json(results, indent=1) + b"\n"
