"""`spec.rollout.analysis`: what a candidate's live traffic must look like, by itself and beside the stable version's.

Types only; how a metric is judged is `luntra_operator.analysis`. What Luntra does not measure itself comes from `api.sources`.
"""

from collections import Counter
from typing import ClassVar, Literal, Self

from pydantic import Field, field_validator, model_validator

from .base import ApiModel
from .checks import Duration, Number
from .quantities import seconds
from .sources import JobQuery, PrometheusQuery, WebQuery

OBJECTIVES = (
    "1ms", "2ms", "3ms", "5ms", "10ms", "15ms", "20ms", "30ms", "50ms", "75ms", "100ms", "200ms", "500ms", "1s", "2.5s", "5s", "10s",
)  # fmt: skip
"""Latencies that the server counts requests by; between two of them it cannot tell."""

_KINDS = ("errorRate", "latency", "throughput", "accuracy", "prometheus", "web", "job")
_MEASURED = _KINDS[:4]
"""Those that Luntra measures itself, by the counters of the pods."""

_LESS_IS_BETTER = ("errorRate", "latency")


class ErrorRate(ApiModel):
    """The share of requests that failed through no fault of the client: 5xx and 429 answers, and what a dying pod had in flight."""


class Latency(ApiModel):
    """The share of requests that took longer than an objective; so tails are compared and not averages."""

    objective: Literal[OBJECTIVES] = Field(  # type: ignore[valid-type]  # a tuple of literals is one to pydantic
        description="Longest time that a good answer takes, in the server: one of the bounds of its histogram."
    )


class Throughput(ApiModel):
    """The part of the answers that are due by the traffic's weights; of no use where sessions are divided, not requests."""


class Accuracy(ApiModel):
    """The share of predictions that feedback called correct; of rewards their mean."""


class NoData(ApiModel):
    """What silence means."""

    action: Literal["Hold", "Pass", "Fail"] = Field(
        default="Hold",
        description="What NoData and Error count as once they have lasted. Hold: the rollout waits for as long as it takes.",
    )
    after: Duration = Field(default="10m", description="How long they must last; until then the rollout holds.")


class Metric(ApiModel):
    """One metric of live traffic and its limits."""

    cel_rules: ClassVar = (
        (
            f"[{', '.join(f'has(self.{kind})' for kind in _KINDS)}].filter(h, h).size() == 1",
            f"exactly one of {', '.join(_KINDS)} says what is measured",
        ),
        (
            "has(self.job) != (has(self.max) || has(self.maxIncrease) || has(self.maxRatio) || has(self.min) || has(self.maxDecrease)"
            " || has(self.minRatio))",
            "a metric needs a limit: max, maxIncrease or maxRatio where less is better, min, maxDecrease or minRatio where more is;"
            " but for a job, which judges by itself",
        ),
        (
            "!(has(self.max) || has(self.maxIncrease) || has(self.maxRatio))"
            " || !(has(self.min) || has(self.maxDecrease) || has(self.minRatio))",
            "max, maxIncrease and maxRatio say that less is better, min, maxDecrease and minRatio that more is; give one kind",
        ),
        (
            "!(has(self.errorRate) || has(self.latency)) || !(has(self.min) || has(self.maxDecrease) || has(self.minRatio))",
            "of errorRate and latency less is better; give max, maxIncrease or maxRatio",
        ),
        (
            "!(has(self.throughput) || has(self.accuracy)) || !(has(self.max) || has(self.maxIncrease) || has(self.maxRatio))",
            "of throughput and accuracy more is better; give min, maxDecrease or minRatio",
        ),
        (
            "!has(self.throughput) || !(has(self.min) || has(self.maxDecrease))",
            "throughput follows the users, so it is compared by minRatio alone; remove min and maxDecrease",
        ),
        (
            f"!({' || '.join(f'has(self.{kind})' for kind in _MEASURED)}) || !(has(self.window) || has(self.consecutive))",
            "window and consecutive are for queries; remove them",
        ),
        ("!has(self.accuracy) || !has(self.minRatio)", "accuracy is compared by maxDecrease, not by minRatio"),
    )

    name: str = Field(
        min_length=1,
        max_length=63,
        pattern=r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$",
        description="Its name in status, events and the operator's own metrics.",
    )
    error_rate: ErrorRate | None = Field(default=None, description="Share of requests that the server failed.")
    latency: Latency | None = Field(default=None, description="Share of requests slower than an objective.")
    throughput: Throughput | None = Field(default=None, description="Part of the answers that are due by its weight.")
    accuracy: Accuracy | None = Field(default=None, description="Share of predictions that feedback calls correct.")
    prometheus: PrometheusQuery | None = Field(default=None, description="The value of a PromQL query.")
    web: WebQuery | None = Field(default=None, description="A number in a JSON document at a URL.")
    job: JobQuery | None = Field(
        default=None, description="A container of yours that judges by itself, once at each step; it takes no limits."
    )
    window: Duration | None = Field(
        default=None,
        description="What {{ window }} stands for in a query, and how far apart two values are that are compared. Default 1m.",
    )
    consecutive: int | None = Field(
        default=None,
        ge=1,
        le=100,
        description="How many values of a query in a row must be beyond max or min. Default 1.",
    )
    max: Number | None = Field(default=None, description="The most that the candidate's value may be.")
    max_increase: Number | None = Field(
        default=None,
        ge=0,
        description="How much higher than the stable version's it may be: 0.01 is one percentage point of a share. "
        "Beside maxRatio the more generous of the two counts.",
    )
    max_ratio: Number | None = Field(default=None, ge=1, description="How many times the stable version's it may be.")
    min: Number | None = Field(default=None, description="The least that the candidate's value may be.")
    max_decrease: Number | None = Field(
        default=None, ge=0, description="How much lower than the stable version's it may be."
    )
    min_ratio: Number | None = Field(
        default=None, gt=0, le=1, description="Which part of the stable version's it must reach."
    )
    min_samples: int | None = Field(
        default=None,
        ge=1,
        le=1_000_000,
        description="Requests of the candidate at each step, and of the stable version where they are compared, without which "
        "nothing counts as good; what is surely bad is refused with fewer. Default 30. Of a query: values, by default 1, and 5 "
        "where they are compared.",
    )
    on_no_data: NoData = Field(default_factory=NoData, description="What silence means.")
    dry_run: bool = Field(default=False, description="true: the verdict is told and decides nothing.")

    @field_validator("on_no_data")
    @classmethod
    def _positive(cls, policy: NoData) -> NoData:
        seconds(policy.after)
        return policy

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        kinds = [kind for kind, value in zip(_KINDS, self._values, strict=True) if value is not None]
        if len(kinds) != 1:
            raise ValueError(f"{self.name}: exactly one of {', '.join(_KINDS)} says what is measured, not {len(kinds)}")
        [kind] = kinds
        less = [limit for limit in (self.max, self.max_increase, self.max_ratio) if limit is not None]
        more = [limit for limit in (self.min, self.max_decrease, self.min_ratio) if limit is not None]
        if kind == "job":
            if less or more:
                raise ValueError(f"{self.name}: a job judges by itself and takes no limits; remove them")
            return self
        if not less and not more:
            raise ValueError(
                f"{self.name}: a metric needs a limit: max, maxIncrease or maxRatio where less is better, "
                "min, maxDecrease or minRatio where more is"
            )
        if less and more:
            raise ValueError(f"{self.name}: limits of both kinds; less is better, or more, not both")
        if kind in _MEASURED:
            self._measured(kind, more=bool(more))
        return self

    def _measured(self, kind: str, *, more: bool) -> None:
        """What holds for metrics that Luntra measures itself."""
        if (kind in _LESS_IS_BETTER) == more:
            fix = "max, maxIncrease or maxRatio" if more else "min, maxDecrease or minRatio"
            raise ValueError(f"{self.name}: of {kind} {'less' if more else 'more'} is better; give {fix}")
        if kind == "throughput" and (self.min is not None or self.max_decrease is not None):
            raise ValueError(
                f"{self.name}: throughput follows the users, so it is compared by minRatio alone; remove min and maxDecrease"
            )
        if kind == "accuracy" and self.min_ratio is not None:
            raise ValueError(f"{self.name}: accuracy is compared by maxDecrease, not by minRatio")
        if self.window is not None or self.consecutive is not None:
            raise ValueError(f"{self.name}: window and consecutive are for queries; remove them from {kind}")
        self._shares(kind)

    def _shares(self, kind: str) -> None:
        """Shares are between 0 and 1, so are their limits."""
        if kind == "throughput":
            return
        limits = {"max": self.max, "min": self.min, "maxIncrease": self.max_increase, "maxDecrease": self.max_decrease}
        for limit, value in limits.items():
            if value is not None and not 0 <= value < 1:
                raise ValueError(f"{self.name}: {limit} is {value:g}, but {kind} is a share; give 0.05 for 5 %")

    @property
    def _values(self) -> tuple[ApiModel | None, ...]:
        return self.error_rate, self.latency, self.throughput, self.accuracy, self.prometheus, self.web, self.job

    @property
    def measured(self) -> bool:
        """Whether its figures are counted by the pods."""
        return self.prometheus is None and self.web is None and self.job is None

    @property
    def span(self) -> float:
        """Seconds of a query's window."""
        return seconds(self.window or "1m")

    @property
    def least(self) -> int:
        """Samples without which nothing counts as good."""
        by_default = 30 if self.measured else 5 if self.compares else 1
        return self.min_samples or by_default

    @property
    def compares(self) -> bool:
        """Whether the stable version matters."""
        limits = (self.max_increase, self.max_ratio, self.max_decrease, self.min_ratio)
        return any(limit is not None for limit in limits)


class Analysis(ApiModel):
    """What is asked of live traffic while a candidate gets some of it, and while the old version is still warm."""

    cel_rules: ClassVar = (
        (
            "self.metrics.all(m, self.metrics.filter(n, n.name == m.name).size() == 1)",
            "metrics: each name may be used once",
        ),
        (
            "!has(self.interval) || (duration(self.interval) >= duration('1s') && duration(self.interval) <= duration('1h'))",
            "interval must be at least 1s and at most 1h",
        ),
    )

    interval: Duration = Field(default="5s", description="Time from one look at the figures to the next, at least 1s.")
    false_alarm_rate: Number = Field(
        default=0.01,
        gt=0,
        le=0.2,
        description="The chance that a version which keeps all limits is taken back by chance, over all metrics and looks "
        "of a rollout (alpha).",
    )
    warm_up: Duration = Field(
        default="10s",
        description="How long after its first request a pod's latency is not compared yet: caches are cold. What "
        "breaks a limit of its own counts from the beginning, and so do errors.",
    )
    metrics: list[Metric] = Field(min_length=1, max_length=16, description="What is looked at.")

    @field_validator("interval")
    @classmethod
    def _rhythm(cls, interval: str) -> str:
        if not 1 <= seconds(interval) <= 3600:
            raise ValueError(f"interval is {interval}: give a duration of at least 1s and at most 1h")
        return interval

    @model_validator(mode="after")
    def _names_are_unique(self) -> Self:
        twice = [name for name, times in Counter(metric.name for metric in self.metrics).items() if times > 1]
        if twice:
            raise ValueError(f"metrics: the name {twice[0]!r} is used more than once; each may be used once")
        return self
