"""`spec.rollout.checks`: what a candidate must show before its first user request.

Types only. How a check is run and judged is `luntra_operator.checks`; when it is run is `luntra_operator.rollout`.
The rules that hold between fields are written twice, as validators here and as `cel_rules` for the generated CRD, so
that the API server refuses a bad object at `kubectl apply` and a check Job that is started by hand refuses it as well.
"""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, field_validator, model_validator

from .base import ApiModel
from .quantities import DURATION_PATTERN, seconds

SCORES = ("accuracy", "f1")
"""Metrics of which more is better, between 0 and 1."""
ERRORS = ("mae", "rmse")
"""Metrics of which less is better, in the unit of the labels."""

_LONGEST = 24 * 3600.0

Duration = Annotated[str, Field(pattern=DURATION_PATTERN, min_length=2, max_length=32)]
"""A span of time as people write it: `500ms`, `5s`, `1m30s`."""
Number = Annotated[float, Field(allow_inf_nan=False)]


def _positive(field: str, duration: str) -> str:
    if not 0 < seconds(duration) <= _LONGEST:
        raise ValueError(f"{field} is {duration}: give a duration above 0s and of at most 24h")
    return duration


def _duration_rule(field: str) -> tuple[str, str]:
    span = f"duration(self.{field})"
    rule = f"!has(self.{field}) || ({span} > duration('0s') && {span} <= duration('24h'))"
    return rule, f"{field} must be above 0s and at most 24h"


class Dataset(ApiModel):
    """A labelled set of samples, outside the bundle and pinned by its digest."""

    cel_rules: ClassVar = (
        (
            "self.uri.startsWith('https://') || self.uri.startsWith('file:///')",
            "uri must start with https:// or file:///; other schemes are not supported yet",
        ),
    )

    uri: str = Field(
        min_length=9,
        max_length=2048,
        description="Where the set is: the https:// or file:/// address of one .npz file, which holds one array per "
        "model input, by the input's name, and an array `labels`; all with one row per sample.",
    )
    digest: str = Field(
        pattern=r"^sha256:[0-9a-f]{64}$",
        max_length=71,
        description="sha256 of the .npz file as `sha256:` and 64 hex digits (`sha256sum FILE`). It is verified before "
        "the file is opened.",
    )

    @field_validator("uri")
    @classmethod
    def _fetchable(cls, uri: str) -> str:
        if not uri.startswith(("https://", "file:///")):
            raise ValueError(
                f"uri is {uri!r}: it must start with https:// or file:///; other schemes are not supported yet"
            )
        return uri


class EvaluationCheck(ApiModel):
    """Whether the candidate is any good: a metric over a labelled set, with an absolute and/or a relative bound."""

    cel_rules: ClassVar = (
        (
            "!has(self.min) || self.metric in ['accuracy', 'f1']",
            "min applies to accuracy and f1, of which more is better; for mae and rmse give max",
        ),
        (
            "!has(self.max) || self.metric in ['mae', 'rmse']",
            "max applies to mae and rmse, of which less is better; for accuracy and f1 give min",
        ),
        (
            "has(self.min) || has(self.max) || has(self.maxRegression)",
            "evaluation needs a bound: give min (accuracy, f1), max (mae, rmse) or maxRegression",
        ),
        _duration_rule("timeout"),
    )

    dataset: Dataset = Field(description="The labelled set.")
    metric: Literal["accuracy", "f1", "mae", "rmse"] = Field(
        description="accuracy: share of right classes. f1: mean over the classes of each one's F1 score (macro F1). "
        "mae, rmse: mean absolute and root mean squared error, in the labels' unit."
    )
    min: Number | None = Field(
        default=None, ge=0, le=1, description="Lowest score that is accepted (accuracy and f1 only), 0 to 1."
    )
    max: Number | None = Field(
        default=None, ge=0, description="Highest error that is accepted (mae and rmse only), in the labels' unit."
    )
    max_regression: Number | None = Field(
        default=None,
        ge=0,
        description="How much worse than the stable version the candidate may be, as a difference of the metric: with "
        "accuracy, 0.01 accepts 0.95 against a stable 0.96. Not applied while there is no stable version.",
    )
    batch_size: int = Field(default=32, ge=1, le=4096, description="Samples per request.")
    timeout: Duration = Field(
        default="5m",
        description="Time for the whole check, the download of the set and waiting for the model included.",
    )

    @field_validator("timeout")
    @classmethod
    def _timeout(cls, timeout: str) -> str:
        return _positive("timeout", timeout)

    @model_validator(mode="after")
    def _bounds(self) -> Self:
        if self.min is not None and self.metric not in SCORES:
            raise ValueError(
                f"min is {self.min:g} but metric is {self.metric}, of which less is better: give max instead of min"
            )
        if self.max is not None and self.metric not in ERRORS:
            raise ValueError(
                f"max is {self.max:g} but metric is {self.metric}, of which more is better: give min instead of max"
            )
        if self.min is None and self.max is None and self.max_regression is None:
            absolute = "min" if self.metric in SCORES else "max"
            raise ValueError(f"evaluation by {self.metric} has no bound: give {absolute}, maxRegression or both")
        return self


class BenchmarkCheck(ApiModel):
    """Whether the candidate is fast and steady enough, in absolute figures and/or against the stable version."""

    cel_rules: ClassVar = (
        _duration_rule("timeout"),
        _duration_rule("maxP99"),
    )

    requests: int = Field(
        default=500,
        ge=1,
        le=1_000_000,
        description="Requests to each version after a warm-up. With fewer than 100 the p99 is the slowest request.",
    )
    concurrency: int = Field(default=4, ge=1, le=256, description="Requests in flight at a time.")
    max_p99: Duration | None = Field(
        default=None, alias="maxP99", description="Longest 99th percentile of latency that is accepted, such as 50ms."
    )
    min_throughput: Number | None = Field(
        default=None, gt=0, description="Lowest throughput that is accepted, in successful requests per second."
    )
    max_error_rate: Number = Field(
        default=0.0, ge=0, le=1, description="Highest share of failed requests that is accepted, 0 to 1."
    )
    max_p99_ratio: Number | None = Field(
        default=None,
        alias="maxP99Ratio",
        gt=0,
        description="Longest p99 that is accepted as a multiple of the stable version's in the same run: 2 accepts "
        "twice as slow. Not applied while there is no stable version.",
    )
    min_throughput_ratio: Number | None = Field(
        default=None,
        gt=0,
        description="Lowest throughput that is accepted as a multiple of the stable version's in the same run. Not "
        "applied while there is no stable version.",
    )
    timeout: Duration = Field(default="5m", description="Time for the whole check, waiting for the model included.")

    @field_validator("timeout")
    @classmethod
    def _timeout(cls, timeout: str) -> str:
        return _positive("timeout", timeout)

    @field_validator("max_p99")
    @classmethod
    def _max_p99(cls, max_p99: str | None) -> str | None:
        return None if max_p99 is None else _positive("maxP99", max_p99)

    @property
    def relative(self) -> bool:
        """Whether a bound compares the candidate with the stable version."""
        return self.max_p99_ratio is not None or self.min_throughput_ratio is not None
