"""From figures and bounds to a verdict, its reason, and one line that a person understands. Pure.

Not a number is never a pass. A relative bound is not applied while there is no stable version; where there is one that
could not be measured, the relative bound cannot be decided: NoData, unless another bound already fails. Where that is
stable's own failure and the candidate keeps its absolute bounds, the verdict says so: what it counts for is the operator's
decision, which knows of more than one try.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Literal

from luntra_operator.api.checks import SCORES, BenchmarkCheck, EvaluationCheck
from luntra_operator.api.quantities import seconds
from luntra_operator.checks.ratios import SHARE_REFUSED, needed, ratio

if TYPE_CHECKING:
    from collections.abc import Callable

    from luntra_operator.checks.tally import Benchmarked

_ROUNDING = 1e-9
"""0.96 - 0.01 is not quite 0.95: differences below this are rounding."""
_SHARE_UNSENT = 0.2
"""Of the requests that were due; a candidate of which more could not be sent does not bear the rate."""


@dataclass(frozen=True)
class Evaluated:
    """A metric's value over `samples`, of which `non_finite` were answered with NaN or infinity."""

    value: float
    samples: int
    non_finite: int = 0


@dataclass(frozen=True)
class Unmeasured:
    """There is a stable version, but it could not be measured; `failed`: because it fails itself."""

    why: str
    reason: str = "StableUnavailable"
    failed: bool = False


@dataclass(frozen=True)
class Verdict:
    """What a check found; figures may be NaN, `report` writes them as null. `log` has the last lines of what it did.

    `stable_failed`: nothing is missing but the comparison, and that because stable fails.
    """

    check: str
    verdict: Literal["Pass", "Fail", "NoData", "Error"]
    reason: str
    message: str
    samples: int = 0
    candidate: dict[str, float] = field(default_factory=dict)
    stable: dict[str, float] | None = None
    log: tuple[str, ...] = ()
    stable_failed: bool = False


@dataclass(frozen=True)
class _Finding:
    """One bound that does not hold (`Fail`) or cannot be decided (`NoData`), perhaps because stable fails."""

    verdict: Literal["Fail", "NoData"]
    reason: str
    text: str
    stable_failed: bool = False


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
    undecided = "maxRegression cannot be decided: stable"
    # Without a bound of its own nothing at all would have been shown of the candidate.
    judged = check.min is not None or check.max is not None
    if isinstance(stable, Unmeasured):
        return [_Finding("NoData", stable.reason, f"{undecided} {stable.why}", stable.failed and judged)]
    if stable.non_finite or not math.isfinite(stable.value):
        return [_Finding("NoData", "StableNotANumber", f"{undecided}'s {check.metric} is NaN", judged)]
    worse = stable.value - candidate.value if check.metric in SCORES else candidate.value - stable.value
    if worse <= most + _ROUNDING:
        return []
    text = (
        f"{check.metric} {candidate.value:.4g} of {candidate.samples} samples is worse than stable's "
        f"{stable.value:.4g} by {worse:.4g}, more than maxRegression {most}"
    )
    return [_Finding("Fail", f"{_NAMES[check.metric]}Regressed", text)]


@dataclass(frozen=True)
class Comparison:
    """What stable did in all, and both versions' windows as (candidate, stable), one pair after the other.

    `ended`: why there are no more of them.
    """

    stable: Benchmarked
    pairs: list[tuple[Benchmarked, Benchmarked]]
    ended: Unmeasured | None = None


def judge_benchmark(check: BenchmarkCheck, candidate: Benchmarked, compared: Comparison | Unmeasured | None) -> Verdict:
    """Judge the candidate's latency, throughput and errors by the check's bounds."""
    findings, said = _absolute(check, candidate), ""
    missing = compared if isinstance(compared, Unmeasured) else None
    if isinstance(compared, Comparison):
        relative, said = _relative(check, compared)
        missing = compared.ended
        findings += [one for one in relative if one.verdict == "Fail" or missing is None]
    if check.relative and missing is not None:
        text = f"relative bounds cannot be decided: stable {missing.why}"
        findings.append(_Finding("NoData", missing.reason, text, missing.failed))
    stable = compared.stable if isinstance(compared, Comparison) else None
    aside = f" (stable p50 {_ms(stable.p50)}, p99 {_ms(stable.p99)}{said})" if stable else ""
    passed = (
        f"p50 {_ms(candidate.p50)}, p99 {_ms(candidate.p99)}, {candidate.throughput:.4g} requests/s, "
        f"{candidate.error_rate:.2%} errors in {candidate.requests} requests{aside}{_not_compared(check.relative, compared)}"
    )
    return _conclude(
        Verdict("benchmark", "Pass", "WithinBounds", passed, candidate.requests),
        findings,
        candidate.figures(),
        stable.figures() if stable else None,
    )


def bears(check: BenchmarkCheck, candidate: Benchmarked) -> bool:
    """Whether the candidate took the declared rate; stable has to take more of it (`guard`), so that equals both do."""
    return check.rate is None or candidate.share_unsent <= _SHARE_UNSENT


def _absolute(check: BenchmarkCheck, candidate: Benchmarked) -> list[_Finding]:
    findings = []
    if candidate.error_rate > check.max_error_rate:
        first = f": {candidate.error}" if candidate.error else ""
        text = f"{candidate.error_rate:.2%} of {candidate.requests} requests failed, maxErrorRate is "
        findings.append(_Finding("Fail", "ErrorRateAboveMaximum", f"{text}{check.max_error_rate:.2%}{first}"))
    if not bears(check, candidate):
        text = f"bore {candidate.throughput:.3g} requests/s with at most concurrency {check.concurrency} in flight"
        findings.append(_Finding("Fail", "RateNotBorne", f"{text}, rate is {check.rate:g}/s"))
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


def _relative(check: BenchmarkCheck, compared: Comparison) -> tuple[list[_Finding], str]:
    """Findings of the relative bounds, and what the ratios are."""
    bounds: tuple[tuple[str, float | None, Callable[[Benchmarked], float], Callable[[float], str]], ...] = (
        ("maxP50Ratio", check.max_p50_ratio, lambda window: window.p50, _ms),
        ("maxP99Ratio", check.max_p99_ratio, lambda window: window.p99, _ms),
        ("minThroughputRatio", check.min_throughput_ratio, lambda window: window.throughput, "{:.3g}/s".format),
    )
    declared = sum(bound is not None for _, bound, _, _ in bounds)
    findings, said = [], ""
    for name, bound, figure, write in bounds:
        if bound is None:
            continue
        risk = SHARE_REFUSED / declared
        found = ratio([(figure(one), figure(other)) for one, other in compared.pairs], risk)
        if found is None:
            text = f"{name} cannot be decided: too few of {len(compared.pairs)} pairs of windows have figures"
            answered = sum(math.isfinite(figure(one)) for one, _ in compared.pairs)
            findings.append(_Finding("NoData", "TooFewPairs", text, needed(answered, risk) is not None))
            continue
        what = "throughput" if name.startswith("min") else name[3:6].lower()
        said += f", {what} ratio {found.median:.3g} [{found.least:.3g}, {found.most:.3g}]"
        over, under = name.startswith("max") and found.least > bound, name.startswith("min") and found.most < bound
        if over or under:
            sure = f"at least {found.least:.3g}" if over else f"at most {found.most:.3g}"
            text = (
                f"{what} is {found.median:.3g} times stable's {write(figure(compared.stable))} in the median of "
                f"{len(compared.pairs)} pairs of windows, surely {sure}, {name} is {bound:g}"
            )
            reason = f"{what.capitalize()}{'AboveRatio' if over else 'BelowRatio'}"
            findings.append(_Finding("Fail", reason, text))
    return findings, said


def _ms(duration: float) -> str:
    return f"{duration * 1000:.3g} ms" if duration < 1 else f"{duration:.3g} s"


def _not_compared(relative: bool, stable: object) -> str:
    return "; no stable version to compare with yet" if relative and stable is None else ""


def _conclude(
    passed: Verdict, findings: list[_Finding], candidate: dict[str, float], stable: dict[str, float] | None
) -> Verdict:
    """Let the worst finding name the reason, and say all findings of its kind."""
    concluded = replace(passed, candidate=candidate, stable=stable)
    for verdict in ("Fail", "NoData"):
        worst = [finding for finding in findings if finding.verdict == verdict]
        if worst:
            message = "; ".join(finding.text for finding in worst)
            stable_failed = all(finding.stable_failed for finding in worst)
            if stable_failed:
                message += f"; the candidate alone: {passed.message}"
            concluded = replace(concluded, message=message, stable_failed=stable_failed)
            return replace(concluded, verdict=worst[0].verdict, reason=worst[0].reason)
    return concluded
