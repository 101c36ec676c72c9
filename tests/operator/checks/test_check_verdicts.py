"""From figures and bounds to verdicts: pure tables."""

from __future__ import annotations

import math
from typing import Any

import pytest

from luntra_operator.api.checks import BenchmarkCheck, EvaluationCheck
from luntra_operator.checks.tally import Benchmarked
from luntra_operator.checks.verdict import Comparison, Evaluated, Unmeasured, judge_benchmark, judge_evaluation

SET = {"uri": "https://data.example/eval.npz", "digest": "sha256:" + "a" * 64}
NAN = math.nan


def evaluation(**fields: Any) -> EvaluationCheck:
    return EvaluationCheck.model_validate({"dataset": SET} | fields)


ACCURACY = {"metric": "accuracy", "min": 0.9}
RELATIVE = {"metric": "accuracy", "maxRegression": 0.01}
ERROR = {"metric": "mae", "max": 1.5}


@pytest.mark.parametrize(
    ("check", "candidate", "stable", "verdict", "reason"),
    [
        (ACCURACY, 0.9, None, "Pass", "WithinBounds"),
        (ACCURACY, 0.8999, None, "Fail", "AccuracyBelowMinimum"),
        (ACCURACY | {"metric": "f1"}, 0.2, None, "Fail", "F1BelowMinimum"),
        (ERROR, 1.5, None, "Pass", "WithinBounds"),
        (ERROR, 1.51, None, "Fail", "MAEAboveMaximum"),
        (ERROR | {"metric": "rmse"}, 2, None, "Fail", "RMSEAboveMaximum"),
        (RELATIVE, 0.95, 0.96, "Pass", "WithinBounds"),
        (RELATIVE, 0.94, 0.96, "Fail", "AccuracyRegressed"),
        (RELATIVE, 0.99, 0.5, "Pass", "WithinBounds"),
        (RELATIVE, 0.1, None, "Pass", "WithinBounds"),
        ({"metric": "mae", "maxRegression": 0.5}, 2.0, 1.5, "Pass", "WithinBounds"),
        ({"metric": "mae", "maxRegression": 0.5}, 2.1, 1.5, "Fail", "MAERegressed"),
        ({"metric": "mae", "maxRegression": 0.0}, 1.0, 1.5, "Pass", "WithinBounds"),
        (ACCURACY, NAN, None, "NoData", "NotANumber"),
        (RELATIVE, NAN, 0.9, "NoData", "NotANumber"),
        (ERROR, NAN, None, "NoData", "NotANumber"),
        (RELATIVE, 0.99, NAN, "NoData", "StableNotANumber"),
        (RELATIVE, 0.99, "cannot be reached", "NoData", "StableUnavailable"),
        (ACCURACY, 0.99, "cannot be reached", "Pass", "WithinBounds"),
        (ACCURACY | RELATIVE | {"min": 0.9}, 0.5, "cannot be reached", "Fail", "AccuracyBelowMinimum"),
    ],
)
def test_an_evaluation_is_judged_by_its_bounds(
    check: dict[str, Any], candidate: float, stable: float | str | None, verdict: str, reason: str
) -> None:
    other = Unmeasured(stable) if isinstance(stable, str) else None if stable is None else Evaluated(stable, 360)
    judged = judge_evaluation(evaluation(**check), Evaluated(candidate, 360), other)
    assert (judged.verdict, judged.reason) == (verdict, reason)


def test_a_failed_evaluation_says_figure_samples_bound_and_what_stable_does() -> None:
    judged = judge_evaluation(evaluation(**ACCURACY), Evaluated(0.41234, 360), Evaluated(0.958, 360))
    assert judged.message == "accuracy 0.4123 of 360 samples is below min 0.9 (stable 0.958)"
    assert (judged.candidate, judged.stable, judged.samples) == ({"accuracy": 0.41234}, {"accuracy": 0.958}, 360)


def test_all_bounds_that_do_not_hold_are_said() -> None:
    judged = judge_evaluation(evaluation(**ACCURACY, maxRegression=0.01), Evaluated(0.4, 10), Evaluated(0.9, 10))
    assert "below min 0.9" in judged.message
    assert "worse than stable's 0.9 by 0.5" in judged.message


def test_answers_that_are_not_finite_fail_whatever_the_metric_says() -> None:
    judged = judge_evaluation(evaluation(**ACCURACY), Evaluated(0.99, 360, non_finite=3), None)
    assert (judged.verdict, judged.reason) == ("Fail", "NonFiniteOutput")
    assert "3 of 360" in judged.message


def test_a_relative_bound_without_a_stable_version_is_said_to_be_not_applied() -> None:
    judged = judge_evaluation(evaluation(**RELATIVE), Evaluated(0.3, 10), None)
    assert "no stable version to compare with yet" in judged.message


NOT_A_FIGURE = Evaluated(NAN, 360)
GONE, UNLIKE = Unmeasured("cannot be reached", failed=True), Unmeasured("has other inputs")


@pytest.mark.parametrize(
    ("check", "candidate", "stable", "stable_failed"),
    [
        (ACCURACY | RELATIVE, Evaluated(0.95, 360), GONE, True),
        (ACCURACY | RELATIVE, Evaluated(0.95, 360), NOT_A_FIGURE, True),
        (ACCURACY | RELATIVE, Evaluated(0.95, 360), Evaluated(0.9, 360, non_finite=1), True),
        (ACCURACY | RELATIVE, Evaluated(0.95, 360), UNLIKE, False),
        (ACCURACY | RELATIVE, NOT_A_FIGURE, GONE, False),
        (ACCURACY | RELATIVE, Evaluated(0.5, 360), GONE, False),
        (ACCURACY | RELATIVE, Evaluated(0.95, 360, non_finite=1), GONE, False),
        (RELATIVE, Evaluated(0.95, 360), GONE, False),
        (RELATIVE, Evaluated(0.95, 360), NOT_A_FIGURE, False),
        (ACCURACY, Evaluated(0.95, 360), GONE, False),
        (ACCURACY | RELATIVE, Evaluated(0.95, 360), Evaluated(0.1, 360), False),
    ],
)
def test_stable_is_to_blame_only_where_the_candidate_keeps_an_absolute_bound_of_its_own(
    check: dict[str, Any], candidate: Evaluated, stable: Evaluated | Unmeasured, stable_failed: bool
) -> None:
    """Breaks if a candidate of whose quality nothing was shown may pass because stable fails."""
    judged = judge_evaluation(evaluation(**check), candidate, stable)
    assert judged.stable_failed is stable_failed
    assert not stable_failed or judged.verdict == "NoData"
    assert ("the candidate alone: accuracy 0.95" in judged.message) is stable_failed


def figures(
    p99: float = 0.010, throughput: float = 400.0, error_rate: float = 0.0, error: str = "", unsent: int = 0
) -> Benchmarked:
    return Benchmarked(500, p99 / 2, p99, throughput, error_rate, error, unsent)


def block(**fields: Any) -> BenchmarkCheck:
    return BenchmarkCheck.model_validate({"rate": 500} | fields)


@pytest.mark.parametrize(
    ("check", "candidate", "stable", "verdict", "reason"),
    [
        ({}, figures(), None, "Pass", "WithinBounds"),
        ({}, figures(error_rate=0.002), None, "Fail", "ErrorRateAboveMaximum"),
        ({"maxErrorRate": 0.01}, figures(error_rate=0.01), None, "Pass", "WithinBounds"),
        ({"maxP99": "10ms"}, figures(), None, "Pass", "WithinBounds"),
        ({"maxP99": "9ms"}, figures(), None, "Fail", "P99AboveMaximum"),
        ({"minThroughput": 400}, figures(), None, "Pass", "WithinBounds"),
        ({"minThroughput": 401}, figures(), None, "Fail", "ThroughputBelowMinimum"),
        ({"maxP99Ratio": 2}, figures(p99=0.02), figures(), "Pass", "WithinBounds"),
        ({"maxP99Ratio": 2}, figures(p99=0.021), figures(), "Fail", "P99AboveRatio"),
        ({"maxP50Ratio": 2}, figures(p99=0.021), figures(), "Fail", "P50AboveRatio"),
        ({"minThroughputRatio": 0.5}, figures(throughput=200), figures(), "Pass", "WithinBounds"),
        ({"minThroughputRatio": 0.5}, figures(throughput=199), figures(), "Fail", "ThroughputBelowRatio"),
        ({"maxP99Ratio": 2}, figures(p99=9), None, "Pass", "WithinBounds"),
        ({"maxP99Ratio": 2}, figures(), Unmeasured("is away"), "NoData", "StableUnavailable"),
        ({"maxP99Ratio": 2}, figures(), figures(p99=NAN), "NoData", "TooFewPairs"),
        ({"maxP99Ratio": 2}, figures(error_rate=0.5), Unmeasured("is away"), "Fail", "ErrorRateAboveMaximum"),
        ({}, figures(unsent=125), None, "Pass", "WithinBounds"),
        ({}, figures(unsent=126), None, "Fail", "RateNotBorne"),
        ({}, figures(p99=NAN, throughput=0, error_rate=1), None, "Fail", "ErrorRateAboveMaximum"),
        ({"maxErrorRate": 1}, figures(p99=NAN, throughput=0, error_rate=1), None, "NoData", "NotANumber"),
        ({}, figures(error_rate=NAN), None, "NoData", "NotANumber"),
    ],
)
def test_a_benchmark_is_judged_by_its_bounds(
    check: dict[str, Any], candidate: Benchmarked, stable: Benchmarked | Unmeasured | None, verdict: str, reason: str
) -> None:
    compared = Comparison(stable, [(candidate, stable)] * 20) if isinstance(stable, Benchmarked) else stable
    judged = judge_benchmark(block(**check), candidate, compared)
    assert (judged.verdict, judged.reason) == (verdict, reason)


OVERLOADED = Unmeasured("bore 40 requests/s", "StableOverloaded", failed=True)


@pytest.mark.parametrize(
    ("check", "candidate", "stable", "reason", "stable_failed"),
    [
        ({"maxP99Ratio": 2}, figures(), GONE, "StableUnavailable", True),
        ({"maxP99Ratio": 2}, figures(), OVERLOADED, "StableOverloaded", True),
        ({"maxP99Ratio": 2, "maxP99": "10ms"}, figures(), OVERLOADED, "StableOverloaded", True),
        ({"maxP99Ratio": 2}, figures(), figures(p99=NAN), "TooFewPairs", True),
        ({"maxP99Ratio": 2}, figures(), UNLIKE, "StableUnavailable", False),
        ({"maxP99Ratio": 2, "maxP99": "9ms"}, figures(), OVERLOADED, "P99AboveMaximum", False),
        ({"maxP99Ratio": 2}, figures(unsent=126), OVERLOADED, "RateNotBorne", False),
        ({"maxP99Ratio": 2}, figures(error_rate=0.002), OVERLOADED, "ErrorRateAboveMaximum", False),
        ({"maxP99Ratio": 2}, figures(p99=NAN), OVERLOADED, "NotANumber", False),
        ({"maxP99Ratio": 2, "maxErrorRate": 1}, figures(p99=NAN), figures(p99=NAN), "NotANumber", False),
        ({}, figures(), OVERLOADED, "WithinBounds", False),
    ],
)
def test_stable_is_to_blame_only_where_the_candidate_by_itself_is_good(
    check: dict[str, Any],
    candidate: Benchmarked,
    stable: Benchmarked | Unmeasured,
    reason: str,
    stable_failed: bool,
) -> None:
    compared = Comparison(stable, [(candidate, stable)] * 20) if isinstance(stable, Benchmarked) else stable
    judged = judge_benchmark(block(**check), candidate, compared)
    assert (judged.reason, judged.stable_failed) == (reason, stable_failed)


@pytest.mark.parametrize(
    ("measured", "verdict", "reason"), [(20, "Fail", "P99AboveRatio"), (3, "NoData", "StableOverloaded")]
)
def test_pairs_from_before_stable_was_left_alone_still_refuse(measured: int, verdict: str, reason: str) -> None:
    """Breaks if a candidate that is surely too slow gets through because stable fails in the end."""
    slow, stable = figures(p99=0.05), figures()
    judged = judge_benchmark(block(maxP99Ratio=2), slow, Comparison(stable, [(slow, stable)] * measured, OVERLOADED))
    assert (judged.verdict, judged.reason) == (verdict, reason)
    assert judged.stable_failed is (verdict == "NoData")


def test_a_slow_candidate_is_described_in_milliseconds_and_multiples() -> None:
    slow, stable = figures(p99=0.1234), figures(p99=0.0081)
    judged = judge_benchmark(block(maxP99="50ms", maxP99Ratio=2), slow, Comparison(stable, [(slow, stable)] * 20))
    assert "p99 123 ms of 500 requests is above maxP99 50ms" in judged.message
    assert (
        "p99 is 15.2 times stable's 8.1 ms in the median of 20 pairs of windows, surely at least 15.2, maxP99Ratio is 2"
        in judged.message
    )


@pytest.mark.parametrize(("above", "verdict"), [(11, "Pass"), (15, "Pass"), (16, "Fail"), (20, "Fail")])
def test_only_what_is_surely_above_a_relative_bound_is_refused(above: int, verdict: str) -> None:
    """Breaks if the median alone decides: noise would refuse every other copy of a version that is at the bound."""
    slow, fast, stable = figures(p99=0.05), figures(p99=0.005), figures()
    pairs = [(slow, stable)] * above + [(fast, stable)] * (20 - above)
    judged = judge_benchmark(block(maxP99Ratio=2), slow, Comparison(stable, pairs))
    assert judged.verdict == verdict


def test_several_relative_bounds_share_the_risk() -> None:
    slow, fast, stable = figures(p99=0.05), figures(p99=0.005), figures()
    pairs = [(slow, stable)] * 16 + [(fast, stable)] * 4
    check = block(maxP99Ratio=2, maxP50Ratio=2, minThroughputRatio=0.5)
    assert judge_benchmark(check, slow, Comparison(stable, pairs)).verdict == "Pass"


def test_a_failing_candidate_is_described_with_its_first_error() -> None:
    judged = judge_benchmark(BenchmarkCheck(), figures(error_rate=0.5, error="answered 500: boom"), None)
    assert judged.message == "50.00% of 500 requests failed, maxErrorRate is 0.00%: answered 500: boom"
