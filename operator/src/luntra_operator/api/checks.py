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


MOST_RETRIES = 5
START_SECONDS = 120.0
"""Seconds on top of a check's own time-out for its pod to be scheduled, pull its image and start."""


class _Check(ApiModel):
    """What all checks have: a time-out of each try, and how often one that could not be made is tried again."""

    timeout: Duration = Field(
        default="5m",
        description="Time for one try, waiting for the model (and for an evaluation the download of the set) included; "
        "2 minutes more are given for its pod to start.",
    )
    retries: int = Field(
        default=1,
        ge=0,
        le=MOST_RETRIES,
        description="How often a check is tried again that could not be made: Error or NoData, a killed pod, one that "
        "never starts, a deleted Job. A failed check is never tried again.",
    )

    @field_validator("timeout")
    @classmethod
    def _timeout(cls, timeout: str) -> str:
        return _positive("timeout", timeout)

    @property
    def deadline(self) -> float:
        """Seconds after which a Job of one try is ended."""
        return seconds(self.timeout) + START_SECONDS


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


class EvaluationCheck(_Check):
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


LEAST_COMPARED = 20
_RELATIVE = "has(self.maxP50Ratio) || has(self.maxP99Ratio) || has(self.minThroughputRatio)"


class BenchmarkCheck(_Check):
    """Whether the candidate is fast and steady enough, in absolute figures and/or against the stable version."""

    cel_rules: ClassVar = (
        _duration_rule("timeout"),
        _duration_rule("maxP99"),
        (
            f"!({_RELATIVE}) || has(self.rate)",
            "maxP50Ratio, maxP99Ratio and minThroughputRatio need rate: the requests per second that the stable version "
            "can bear on top of its users' own",
        ),
        (
            f"!({_RELATIVE}) || !has(self.requests) || self.requests >= {LEAST_COMPARED}",
            f"with a relative bound, requests must be at least {LEAST_COMPARED}: one for each window",
        ),
        (
            "!has(self.rate) || !has(self.minThroughput) || self.minThroughput <= self.rate * 0.9",
            "minThroughput must be at most nine tenths of rate: no more requests than rate are sent",
        ),
        (
            "!has(self.rate) || double((has(self.requests) ? self.requests : 500) + 80) "
            f"* ({_RELATIVE} ? 2.0 : 1.0) / self.rate < "
            "double((has(self.timeout) ? duration(self.timeout) : duration('5m')).getSeconds())",
            "requests take longer at this rate than timeout allows (twice as long with a relative bound): raise rate or "
            "timeout, or lower requests",
        ),
    )

    requests: int = Field(
        default=500,
        ge=1,
        le=1_000_000,
        description="Requests to each version after a warm-up. With fewer than 100 the p99 is the slowest request.",
    )
    rate: Number | None = Field(
        default=None,
        gt=0,
        le=1000,
        description="Requests per second, sent whatever the answers do; a relative bound needs it. The stable version gets "
        "them on top of its users' own and never more of them, and is left alone when it suffers; a candidate that "
        "takes less than 80 % of them fails. Without it the candidate alone is driven as fast as `concurrency` allows.",
    )
    concurrency: int = Field(
        default=4,
        ge=1,
        le=256,
        description="Requests in flight at a time; with `rate` at most so many: one that is due beyond them is not sent.",
    )
    max_p99: Duration | None = Field(
        default=None, alias="maxP99", description="Longest 99th percentile of latency that is accepted, such as 50ms."
    )
    min_throughput: Number | None = Field(
        default=None, gt=0, description="Lowest throughput that is accepted, in successful requests per second."
    )
    max_error_rate: Number = Field(
        default=0.0, ge=0, le=1, description="Highest share of failed requests that is accepted, 0 to 1."
    )
    max_p50_ratio: Number | None = Field(
        default=None,
        alias="maxP50Ratio",
        gt=0,
        description="Longest median latency that is accepted as a multiple of the stable version's in the same run: 2 "
        "accepts twice as slow. Refused is what is surely above it (99 %, over 20 pairs of windows). Not applied while "
        "there is no stable version.",
    )
    max_p99_ratio: Number | None = Field(
        default=None,
        alias="maxP99Ratio",
        gt=0,
        description="The same for the p99 of a window, which with fewer than 2000 requests is the window's slowest.",
    )
    min_throughput_ratio: Number | None = Field(
        default=None,
        gt=0,
        description="Lowest throughput that is accepted as a multiple of the stable version's in the same run; below 1 "
        "only where the candidate does not bear the rate. Not applied while there is no stable version.",
    )

    @field_validator("max_p99")
    @classmethod
    def _max_p99(cls, max_p99: str | None) -> str | None:
        return None if max_p99 is None else _positive("maxP99", max_p99)

    @property
    def relative(self) -> bool:
        """Whether a bound compares the candidate with the stable version."""
        return any(one is not None for one in (self.max_p50_ratio, self.max_p99_ratio, self.min_throughput_ratio))

    @model_validator(mode="after")
    def _rates(self) -> Self:
        if self.rate is None:
            if self.relative:
                raise ValueError(
                    "rate is missing: maxP50Ratio, maxP99Ratio and minThroughputRatio need the requests per second that "
                    "the stable version can bear on top of its users' own"
                )
            return self
        if self.relative and self.requests < LEAST_COMPARED:
            raise ValueError(f"requests is {self.requests}: with a relative bound give at least {LEAST_COMPARED}")
        if self.min_throughput is not None and self.min_throughput > self.rate * 0.9:
            raise ValueError(
                f"minThroughput is {self.min_throughput:g} but rate is {self.rate:g}: no more requests are sent than that, so "
                "give at most nine tenths of it"
            )
        lasts = (self.requests + 80) * (2 if self.relative else 1) / self.rate
        if lasts >= seconds(self.timeout):
            raise ValueError(
                f"requests is {self.requests} and rate is {self.rate:g}, which takes {lasts:.0f} s or more; timeout is "
                f"{self.timeout}: raise rate or timeout, or lower requests"
            )
        return self
