"""`spec.rollout`: how a new version takes over."""

from itertools import pairwise
from typing import ClassVar, Literal, Self

from pydantic import Field, model_validator

from .analysis import Analysis
from .base import ApiModel
from .checks import BenchmarkCheck, EvaluationCheck
from .quantities import Duration, seconds


class Step(ApiModel):
    """One step of the traffic shift: a weight and how long to stay there."""

    cel_rules: ClassVar = (
        ("!has(self.compare) || !has(self.hold)", "hold and compare are both given; compare is the time, remove hold"),
    )

    weight: int = Field(
        ge=1, le=99, description="Percent of requests that the new version gets; 100 is implied at the end."
    )
    hold: Duration | None = Field(
        default=None, description="Least time at this weight, counted from when the gateway follows it. Default 0s."
    )
    compare: Duration | None = Field(
        default=None,
        description="Instead of hold: stay here for so long, report both versions side by side in status.metrics, and wait "
        "until somebody says which one stays (luntra.io/approve or abort). Needs analysis.",
    )

    @model_validator(mode="after")
    def _one_time(self) -> Self:
        if self.hold is not None and self.compare is not None:
            raise ValueError(f"weight {self.weight}: hold and compare are both given; compare is the time, remove hold")
        return self

    @property
    def seconds(self) -> float:
        """How long to stay."""
        return seconds(self.compare or self.hold or "0s")


class Checks(ApiModel):
    """What a candidate must pass before its first user request; they run in this order."""

    evaluation: EvaluationCheck | None = Field(default=None, description="Whether it is any good, on a labelled set.")
    benchmark: BenchmarkCheck | None = Field(default=None, description="Whether it is fast and steady enough.")


class Deadlines(ApiModel):
    """How long each part of a rollout may take before the candidate is given up."""

    ready: Duration | None = Field(default=None, description="Until all pods of the candidate are ready. Default 10m.")
    step: Duration | None = Field(default=None, description="Until the gateway follows a weight. Default 5m.")
    approval: Duration | None = Field(default=None, description="Until somebody approves. Default 24h.")


class Rollout(ApiModel):
    """How a new version takes over."""

    cel_rules: ClassVar = (
        (
            "!has(self.steps) || self.steps.all(s, self.steps.filter(t, t.weight == s.weight).size() == 1)"
            " && self.steps.map(s, s.weight).isSorted()",
            "steps: weights must increase from step to step, e.g. 5, 25, 50; 100 is implied at the end",
        ),
        (
            "!has(self.steps) || self.steps.all(s, !has(s.compare)) || has(self.analysis)",
            "steps: compare needs analysis: its metrics are what is compared",
        ),
    )

    strategy: Literal["BlueGreen"] | None = Field(
        default=None, description="BlueGreen: a second set of pods beside the first."
    )
    steps: list[Step] | None = Field(
        default=None, max_length=20, description="Traffic steps. Default: straight to 100."
    )
    checks: Checks | None = Field(default=None, description="What a candidate must pass before its first user request.")
    analysis: Analysis | None = Field(
        default=None, description="What its live traffic must look like. Default: only its pods must live."
    )
    approval: Literal["Never", "BeforeTraffic", "BeforePromotion"] | None = Field(
        default=None,
        description="When a new version waits for somebody's approval (luntra.io/approve). Default Never.",
    )
    soak: Duration | None = Field(
        default=None, description="How long the old version stays warm after promotion. Default 5m."
    )
    deadlines: Deadlines | None = Field(default=None, description="Time limits.")
    paused: bool | None = Field(default=None, description="true: the operator changes nothing at all and only reports.")

    @model_validator(mode="after")
    def _something_to_compare(self) -> Self:
        if self.analysis is None and any(step.compare for step in self.steps or []):
            raise ValueError("steps: compare needs analysis: its metrics are what is compared")
        return self

    @model_validator(mode="after")
    def _weights_increase(self) -> Self:
        weights = [step.weight for step in self.steps or []]
        for index, (lower, upper) in enumerate(pairwise(weights), 1):
            if upper <= lower:
                raise ValueError(
                    f"steps[{index}].weight: {upper} does not exceed the step before ({lower}); let weights increase"
                )
        return self
