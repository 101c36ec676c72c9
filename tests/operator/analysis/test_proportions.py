"""What is a fail, a pass and no data, and that a good candidate seldom fails at whatever limits it keeps."""

from math import exp, log

import numpy as np
import pytest

from luntra_operator.analysis.evidence import Counts
from luntra_operator.analysis.proportions import Limits, Proportions

ALPHA = 0.01
KEPT = [
    (Limits(most=0.02), 0.02, 0.001),
    (Limits(ratio=1.5), 0.03, 0.02),
    (Limits(increase=0.01), 0.03, 0.02),
    (Limits(increase=0.001, ratio=3), 0.06, 0.02),
    (Limits(increase=0.02, ratio=1.1), 0.04, 0.02),
    (Limits(most=0.03, ratio=1.5, increase=0.01), 0.03, 0.02),
]
"""Limits, and shares of candidate and stable version that are just within them."""


def judged(limits: Limits, *looks: tuple[Counts, Counts], alpha: float = ALPHA) -> Proportions:
    process = Proportions.start(limits, alpha)
    for candidate, stable in looks:
        process = process.after(candidate, stable)
    return process


def refused(limits: Limits, shares: tuple[float, float], alpha: float, looks: int = 400, runs: int = 400) -> float:
    """The part of many rollouts that is refused within so many looks at 20 requests to the candidate and 60 to the other."""
    random = np.random.default_rng(3)
    process, highest = Proportions.start(limits, alpha, shape=(runs,)), np.full(runs, -np.inf)
    for _ in range(looks):
        bad, stable_bad = (random.binomial(n, p, runs).astype(float) for n, p in zip((20, 60), shares, strict=True))
        process = process.after(Counts(bad, np.full(runs, 20.0)), Counts(stable_bad, np.full(runs, 60.0)))
        highest = np.maximum(highest, process.log)
    return float((highest >= -log(alpha)).mean())


@pytest.mark.parametrize(("limits", "share", "stable_share"), KEPT)
def test_candidate_that_just_keeps_its_limits_is_seldom_refused(
    limits: Limits, share: float, stable_share: float
) -> None:
    assert refused(limits, (share, stable_share), alpha=0.1) <= 0.1


@pytest.mark.parametrize(("limits", "share", "stable_share"), KEPT)
def test_candidate_that_is_well_above_its_limits_is_refused(limits: Limits, share: float, stable_share: float) -> None:
    assert refused(limits, (3 * share, stable_share), ALPHA, runs=100) == 1


def test_increase_and_ratio_refuse_only_what_exceeds_both() -> None:
    looks = [(Counts(3, 100), Counts(1, 1000))] * 30  # 3 % against 0.1 %: 30 times, but 2.9 points
    assert judged(Limits(ratio=2), *looks).finding.verdict == "Fail"
    assert judged(Limits(ratio=2, increase=0.05), *looks).finding.verdict == "Pass"
    assert judged(Limits(ratio=50, increase=0.01), *looks).finding.verdict == "Pass"
    assert judged(Limits(ratio=2, increase=0.01), *looks).finding.verdict == "Fail"


def test_bound_and_comparison_refuse_each_alone() -> None:
    looks = [(Counts(3, 100), Counts(1, 1000))] * 30
    by_comparison = judged(Limits(most=0.5, ratio=2), *looks).finding
    assert (by_comparison.verdict, by_comparison.broken) == ("Fail", "comparison")
    by_bound = judged(Limits(most=0.001, ratio=100), *looks).finding
    assert (by_bound.verdict, by_bound.broken) == ("Fail", "most")


@pytest.mark.parametrize(
    "limits", [Limits(ratio=1.5), Limits(increase=0.01), Limits(most=0.05), Limits(most=0.05, ratio=1.5)]
)
def test_model_that_fails_every_request_is_refused_within_three(limits: Limits) -> None:
    """At 10 % of the traffic, after a while in which the stable version was seen alone."""
    process = Proportions.start(limits, ALPHA).known(Counts(10, 10_000))
    needed = 0
    while process.finding.verdict != "Fail":
        process = process.after(Counts(1, 1), Counts(0, 9))
        needed += 1
    assert needed <= 3


def test_bound_of_none_at_all_refuses_the_first_whatever_the_dispersion() -> None:
    process = Proportions.start(Limits(most=0), 1e-6, dispersion=10).after(Counts(0, 999), Counts())
    assert process.finding.verdict == "Pass"
    assert process.after(Counts(1, 1), Counts()).finding.verdict == "Fail"


def test_pass_needs_samples_of_all_that_is_compared() -> None:
    few, many = Counts(0, 49), Counts(0, 50)
    for limits, candidate, stable, verdict in (
        (Limits(ratio=2), many, few, "NoData"),
        (Limits(ratio=2), few, many, "NoData"),
        (Limits(ratio=2), many, many, "Pass"),
        (Limits(most=0.1), many, few, "Pass"),
        (Limits(most=0.1), few, many, "NoData"),
    ):
        assert judged(limits, (candidate, stable)).finding.verdict == verdict


def test_fail_needs_no_least_samples() -> None:
    finding = judged(Limits(most=0.001), *[(Counts(1, 1), Counts())] * 2).finding
    assert (finding.verdict, finding.samples) == ("Fail", 2)


def test_finding_has_the_figures_behind_it() -> None:
    finding = judged(Limits(ratio=1.5), (Counts(2, 400), Counts(4, 4000)), (Counts(2, 412), Counts(18, 3402))).finding
    assert (finding.share, finding.samples) == (4 / 812, 812)
    assert (finding.stable_share, finding.stable_samples) == (22 / 7402, 7402)
    assert finding.p == pytest.approx(min(1, exp(-finding.evidence[0])))


def test_nothing_at_all_is_no_data() -> None:
    finding = judged(Limits(ratio=1.5, most=0.1), (Counts(), Counts())).finding
    assert (finding.verdict, finding.p, finding.stable_share) == ("NoData", 1, None)


@pytest.mark.parametrize("limits", [limits for limits, _, _ in KEPT])
def test_restarted_process_goes_on_from_its_evidence(limits: Limits) -> None:
    before = judged(limits, *[(Counts(16, 20), Counts(1, 60))] * 3)
    after = Proportions.start(limits, ALPHA, stakes=before.finding.evidence)
    assert float(after.log) == pytest.approx(float(before.log))
    assert after.finding.evidence == pytest.approx(before.finding.evidence)
    assert after.finding.verdict == before.finding.verdict == "Fail"


def test_cold_requests_count_for_the_bound_but_not_for_the_comparison() -> None:
    def after_warm_up(limits: Limits) -> Proportions:
        return Proportions.start(limits, ALPHA).after(Counts(0, 60), Counts(0, 60), cold=Counts(20, 20))

    assert after_warm_up(Limits(ratio=1.5)).finding.verdict == "Pass"
    assert after_warm_up(Limits(ratio=1.5)).finding.samples == 60
    failed = after_warm_up(Limits(ratio=1.5, most=0.02)).finding
    assert (failed.verdict, failed.broken, failed.share) == ("Fail", "most", 20 / 80)


def test_dispersion_weakens_evidence() -> None:
    looks = (Counts(8, 20), Counts(1, 60))
    plain, clustered = (Proportions.start(Limits(ratio=1.5), ALPHA, dispersion=d).after(*looks).finding for d in (1, 4))
    assert clustered.p > plain.p


@pytest.mark.parametrize("counts", [Counts(-1, 5), Counts(6, 5), Counts(0, float("inf")), Counts(float("nan"), 5)])
def test_counts_that_cannot_be_are_refused_by_name(counts: Counts) -> None:
    for looks, whose in (
        ((counts, Counts()), "the candidate"),
        ((Counts(), counts), "the stable version"),
        ((Counts(), Counts(), counts), "the candidate, cold"),
    ):
        with pytest.raises(ValueError, match=f"counts of {whose}: "):
            Proportions.start(Limits(most=0.1), ALPHA).after(*looks)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({}, "at least one"),
        ({"most": 1.0}, "most 1 "),
        ({"most": float("nan")}, "most nan"),
        ({"increase": -0.1}, "increase -0.1"),
        ({"ratio": 0}, "ratio 0"),
        ({"ratio": float("inf")}, "ratio inf"),
        ({"most": 0.1, "least_samples": 0}, "least_samples 0"),
    ],
)
def test_limits_that_mean_nothing_are_refused(values: dict[str, float], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        Limits(**values)  # type: ignore[arg-type] # a table of bad values


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"alpha": 0.0}, "alpha 0"),
        ({"alpha": 1.0}, "alpha 1"),
        ({"alpha": 0.1, "dispersion": 0.5}, "dispersion 0.5"),
        ({"alpha": 0.1, "stakes": (1.0, 2.0)}, "must be"),
        ({"alpha": 0.1, "stakes": (float("inf"),)}, "must be"),
    ],
)
def test_start_that_means_nothing_is_refused(values: dict[str, object], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        Proportions.start(Limits(most=0.1), **values)  # type: ignore[arg-type] # a table of bad values
