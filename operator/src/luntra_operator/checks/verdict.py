"""From figures and bounds to a verdict, its reason, and one line that a person understands. Pure.

Not a number is never a pass. A relative bound is not applied while there is no stable version; where there is one that
could not be measured, the relative bound cannot be decided: NoData, unless another bound already fails.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Literal

from luntra_operator.api.checks import SCORES, BenchmarkCheck, EvaluationCheck
from luntra_operator.api.quantities import seconds

_ROUNDING = 1e-9
"""0.96 - 0.01 is not quite 0.95: differences below this are rounding."""


@dataclass(frozen=True)
class Evaluated:
    """A metric's value over `samples`, of which `non_finite` were answered with NaN or infinity."""

    value: float
    samples: int
    non_finite: int = 0


@dataclass(frozen=True)
class Benchmarked:
    """What one version did: seconds, successful requests per second, share of failed requests.

    The percentiles are NaN where no request succeeded. `error` is the first failure's text.
    """

    requests: int
    p50: float
    p99: float
    throughput: float
    error_rate: float
    error: str = ""

    def figures(self) -> dict[str, float]:
        """Give the figures as they are reported, in ms and requests/s."""
        return {
            "p50Ms": self.p50 * 1000,
            "p99Ms": self.p99 * 1000,
            "throughput": self.throughput,
            "errorRate": self.error_rate,
        }


@dataclass(frozen=True)
class Unmeasured:
    """There is a stable version, but it could not be measured."""

    why: str


@dataclass(frozen=True)
class Verdict:
    """What a check found; figures may be NaN, `report` writes them as null."""

    check: str
    verdict: Literal["Pass", "Fail", "NoData", "Error"]
    reason: str
    message: str
    samples: int = 0
    candidate: dict[str, float] = field(default_factory=dict)
    stable: dict[str, float] | None = None


@dataclass(frozen=True)
class _Finding:
    """One bound that does not hold (`Fail`) or cannot be decided (`NoData`)."""

    verdict: Literal["Fail", "NoData"]
    reason: str
    text: str


_NAMES = {"accuracy": "Accuracy", "f1": "F1", "mae": "MAE", "rmse": "RMSE"}


def judge_evaluation(check: EvaluationCheck, candidate: Evaluated, stable: Evaluated | Unmeasured | None) -> Verdict:
    """Judge the candidate's metric by the check's bounds."""
    metric, value = check.metric, candidate.value
    aside = f" (stable {stable.value:.4g})" if isinstance(stable, Evaluated) else ""
    what = f"{metric} {value:.4g} of {candidate.samples} samples"
    findings = [
        _Finding("Fail", f"{_NAMES[metric]}{word}", f"{what} is {text}{aside}")
        for broken, word, text in (
            (check.min is not None and value < check.min, "BelowMinimum", f"below min {check.min}"),
            (check.max is not None and value > check.max, "AboveMaximum", f"above max {check.max}"),
        )
        if broken
    ]
    if check.max_regression is not None and stable is not None and math.isfinite(value):
        findings += _regression(check, check.max_regression, candidate, stable)
    if candidate.non_finite:
        count = f"{candidate.non_finite} of {candidate.samples} samples"
        findings.insert(0, _Finding("Fail", "NonFiniteOutput", f"{count} were answered with NaN or infinity"))
    elif candidate.samples == 0 or not math.isfinite(value):
        findings.insert(0, _Finding("NoData", "NotANumber", f"{metric} of {candidate.samples} samples is not a number"))
    note = _not_compared(check.max_regression is not None, stable)
    return _conclude(
        Verdict("evaluation", "Pass", "WithinBounds", f"{what} is within bounds{aside}{note}", candidate.samples),
        findings,
        {metric: value},
        {metric: stable.value} if isinstance(stable, Evaluated) else None,
    )


def _regression(
    check: EvaluationCheck, most: float, candidate: Evaluated, stable: Evaluated | Unmeasured
) -> list[_Finding]:
    if isinstance(stable, Unmeasured):
        return [_Finding("NoData", "StableUnavailable", f"maxRegression cannot be decided: stable {stable.why}")]
    if stable.non_finite or not math.isfinite(stable.value):
        return [
            _Finding("NoData", "StableNotANumber", f"maxRegression cannot be decided: stable's {check.metric} is NaN")
        ]
    worse = stable.value - candidate.value if check.metric in SCORES else candidate.value - stable.value
    if worse <= most + _ROUNDING:
        return []
    text = (
        f"{check.metric} {candidate.value:.4g} of {candidate.samples} samples is worse than stable's "
        f"{stable.value:.4g} by {worse:.4g}, more than maxRegression {most}"
    )
    return [_Finding("Fail", f"{_NAMES[check.metric]}Regressed", text)]


def judge_benchmark(check: BenchmarkCheck, candidate: Benchmarked, stable: Benchmarked | Unmeasured | None) -> Verdict:
    """Judge the candidate's latency, throughput and errors by the check's bounds."""
    findings = _absolute(check, candidate)
    if check.relative and stable is not None:
        findings += _relative(check, candidate, stable)
    aside = f" (stable p99 {_ms(stable.p99)}, {stable.throughput:.4g}/s)" if isinstance(stable, Benchmarked) else ""
    passed = (
        f"p99 {_ms(candidate.p99)}, {candidate.throughput:.4g} requests/s, {candidate.error_rate:.2%} errors in "
        f"{candidate.requests} requests{aside}{_not_compared(check.relative, stable)}"
    )
    return _conclude(
        Verdict("benchmark", "Pass", "WithinBounds", passed, candidate.requests),
        findings,
        candidate.figures(),
        stable.figures() if isinstance(stable, Benchmarked) else None,
    )


def _absolute(check: BenchmarkCheck, candidate: Benchmarked) -> list[_Finding]:
    findings = []
    if candidate.error_rate > check.max_error_rate:
        first = f": {candidate.error}" if candidate.error else ""
        text = f"{candidate.error_rate:.2%} of {candidate.requests} requests failed, maxErrorRate is "
        findings.append(_Finding("Fail", "ErrorRateAboveMaximum", f"{text}{check.max_error_rate:.2%}{first}"))
    if check.max_p99 is not None and candidate.p99 > seconds(check.max_p99):
        text = f"p99 {_ms(candidate.p99)} of {candidate.requests} requests is above maxP99 {check.max_p99}"
        findings.append(_Finding("Fail", "P99AboveMaximum", text))
    if check.min_throughput is not None and candidate.throughput < check.min_throughput:
        text = f"{candidate.throughput:.4g} requests/s are below minThroughput {check.min_throughput:g}"
        findings.append(_Finding("Fail", "ThroughputBelowMinimum", text))
    if not all(map(math.isfinite, (candidate.p99, candidate.throughput, candidate.error_rate))):
        text = f"none of {candidate.requests} requests succeeded, so there is no latency to judge"
        findings.append(_Finding("NoData", "NotANumber", text))
    return findings


def _relative(check: BenchmarkCheck, candidate: Benchmarked, stable: Benchmarked | Unmeasured) -> list[_Finding]:
    if isinstance(stable, Unmeasured):
        return [_Finding("NoData", "StableUnavailable", f"relative bounds cannot be decided: stable {stable.why}")]
    if not (math.isfinite(stable.p99) and stable.p99 > 0 and stable.throughput > 0):
        text = f"relative bounds cannot be decided: no request to stable succeeded ({stable.error})"
        return [_Finding("NoData", "StableUnavailable", text)]
    findings = []
    ratio = candidate.p99 / stable.p99
    if check.max_p99_ratio is not None and ratio > check.max_p99_ratio:
        text = f"p99 {_ms(candidate.p99)} is {ratio:.3g} times stable's {_ms(stable.p99)}, maxP99Ratio is "
        findings.append(_Finding("Fail", "P99AboveRatio", f"{text}{check.max_p99_ratio:g}"))
    ratio = candidate.throughput / stable.throughput
    if check.min_throughput_ratio is not None and ratio < check.min_throughput_ratio:
        text = (
            f"{candidate.throughput:.4g} requests/s are {ratio:.3g} times stable's {stable.throughput:.4g}, "
            f"minThroughputRatio is {check.min_throughput_ratio:g}"
        )
        findings.append(_Finding("Fail", "ThroughputBelowRatio", text))
    return findings


def _ms(duration: float) -> str:
    return f"{duration * 1000:.3g} ms" if duration < 1 else f"{duration:.3g} s"


def _not_compared(relative: bool, stable: object) -> str:
    return "; no stable version to compare with yet" if relative and stable is None else ""


def _conclude(
    passed: Verdict, findings: list[_Finding], candidate: dict[str, float], stable: dict[str, float] | None
) -> Verdict:
    """Let the worst finding name the reason, and say all findings of its kind."""
    for verdict in ("Fail", "NoData"):
        worst = [finding for finding in findings if finding.verdict == verdict]
        if worst:
            message = "; ".join(finding.text for finding in worst)
            return Verdict(passed.check, worst[0].verdict, worst[0].reason, message, passed.samples, candidate, stable)
    return Verdict(passed.check, "Pass", passed.reason, passed.message, passed.samples, candidate, stable)
