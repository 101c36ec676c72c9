"""`spec.rollout.checks`: what the types accept, and what they say where they refuse."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from luntra_operator.api.checks import BenchmarkCheck, EvaluationCheck

SET = {"uri": "https://data.example/eval.npz", "digest": "sha256:" + "a" * 64}


def evaluation(**fields: Any) -> EvaluationCheck:
    return EvaluationCheck.model_validate({"dataset": SET, "metric": "accuracy", "min": 0.9} | fields)


def test_fields_are_camel_case_on_the_outside() -> None:
    check = evaluation(maxRegression=0.01, batchSize=8)
    assert (check.max_regression, check.batch_size) == (0.01, 8)
    assert {"maxRegression", "batchSize"} <= check.model_dump(by_alias=True).keys()


def test_the_p99_bounds_are_written_with_a_capital_p() -> None:
    check = BenchmarkCheck.model_validate({"maxP99": "50ms", "maxP99Ratio": 2, "rate": 50})
    assert check.model_dump(by_alias=True, exclude_none=True)["maxP99Ratio"] == 2


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"metric": "mae"}, "min is 0.9 but metric is mae.*give max"),
        ({"min": None, "max": 1.5}, "max is 1.5 but metric is accuracy.*give min"),
        ({"min": None}, "no bound: give min, maxRegression or both"),
        ({"metric": "rmse", "min": None}, "no bound: give max, maxRegression or both"),
        ({"dataset": SET | {"uri": "s3://bucket/eval.npz"}}, "s3://bucket/eval.npz.*must start with https"),
        ({"dataset": SET | {"uri": "http://data.example/e.npz"}}, "must start with https"),
        ({"dataset": SET | {"uri": "file://host/e.npz"}}, "file:///"),
        ({"dataset": SET | {"digest": "sha256:abc"}}, "digest"),
        ({"dataset": {"uri": SET["uri"]}}, "digest"),
        ({"timeout": "0s"}, "timeout is 0s"),
        ({"timeout": "25h"}, "at most 24h"),
        ({"timeout": "5 minutes"}, "timeout"),
        ({"min": float("nan")}, "finite"),
        ({"min": 1.01}, "less than or equal to 1"),
        ({"batchSize": 0}, "greater than or equal to 1"),
        ({"metric": "auc"}, "accuracy"),
        ({"minimum": 0.9}, "minimum"),
    ],
)
def test_a_bad_evaluation_is_refused_with_the_field_and_the_fix(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        evaluation(**fields)


@pytest.mark.parametrize(
    "fields",
    [
        {"requests": 0},
        {"concurrency": 0},
        {"concurrency": 257},
        {"maxErrorRate": 1.1},
        {"maxErrorRate": float("nan")},
        {"minThroughput": 0},
        {"maxP99Ratio": float("inf")},
        {"maxP99": "0ms"},
        {"maxP99": "fast"},
        {"timeout": "0s"},
        {"p99": "50ms"},
        {"rate": 0},
        {"rate": 1001},
        {"retries": -1},
        {"retries": 6},
    ],
)
def test_a_bad_benchmark_is_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        BenchmarkCheck.model_validate(fields)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"maxP50Ratio": 1.5}, "rate is missing.*the stable version can bear"),
        ({"maxP99Ratio": 2}, "rate is missing"),
        ({"minThroughputRatio": 0.5}, "rate is missing"),
        ({"rate": 50, "maxP50Ratio": 2, "requests": 19}, "requests is 19: with a relative bound give at least 20"),
        ({"rate": 50, "minThroughput": 46}, "minThroughput is 46 but rate is 50.*at most nine tenths"),
        ({"rate": 1}, "requests is 500 and rate is 1, which takes 580 s or more; timeout is 5m"),
        ({"rate": 3, "maxP50Ratio": 2}, "takes 387 s or more; timeout is 5m: raise rate or timeout, or lower requests"),
    ],
)
def test_a_benchmark_at_a_rate_that_cannot_be_is_refused_with_the_fix(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        BenchmarkCheck.model_validate(fields)


def test_a_slow_rate_is_accepted_where_the_time_allows() -> None:
    assert BenchmarkCheck.model_validate({"rate": 2}).rate == 2
    assert BenchmarkCheck.model_validate({"rate": 1, "requests": 60, "maxP50Ratio": 2}).requests == 60


def test_a_job_has_time_for_its_pod_to_start() -> None:
    assert evaluation(timeout="1m30s").deadline == 210.0


def test_every_field_says_what_it_is() -> None:
    for model in (EvaluationCheck, BenchmarkCheck, EvaluationCheck.model_fields["dataset"].annotation):
        assert model is not None
        assert [name for name, field in model.model_fields.items() if not field.description] == []


def test_rules_between_fields_are_also_written_for_the_api_server() -> None:
    rules = [rule for rule, message in EvaluationCheck.cel_rules if message]
    assert any("self.min" in rule and "accuracy" in rule for rule in rules)
    assert any("self.max)" in rule and "rmse" in rule for rule in rules)
    assert any("has(self.maxRegression)" in rule for rule in rules)
