"""The candidate's share of the answers: seldom refused where it answers what it should, soon where it does not."""

from math import log

import numpy as np
import pytest

from luntra_operator.analysis.throughput import Throughput

ALPHA = 0.05
WEIGHTS = [5, 5, 25, 50, 90]


def first_refusals(part: float, looks: int, *, least: float = 0.9, group: int = 1, dispersion: float = 1) -> np.ndarray:
    """The look at which each of 200 rollouts is refused, infinity for never, at 40 requests a look in groups and rising weights."""
    random, runs = np.random.default_rng(4), 200
    process, refused = Throughput.start(least, ALPHA, dispersion, shape=(runs,)), np.full(runs, np.inf)
    for look in range(looks):
        weight = WEIGHTS[look * len(WEIGHTS) // looks]
        given = group * random.binomial(40 // group, weight / 100, runs).astype(np.int64)
        process = process.after(random.binomial(given, part).astype(float), (40 - given).astype(float), weight)
        refused[(process.stakes.log >= -log(ALPHA)) & np.isinf(refused)] = look + 1
    return refused


@pytest.mark.parametrize("part", [0.9, 1.0])
def test_candidate_that_answers_what_it_should_is_seldom_refused(part: float) -> None:
    assert np.isfinite(first_refusals(part, looks=500)).mean() <= ALPHA


@pytest.mark.parametrize(("part", "within"), [(0.0, 10), (0.5, 60), (0.7, 400)])
def test_candidate_that_answers_less_is_refused_the_sooner_the_less_it_answers(part: float, within: int) -> None:
    assert np.quantile(first_refusals(part, looks=3 * within), 0.9) <= within


def test_connections_that_stick_need_a_dispersion() -> None:
    assert np.isfinite(first_refusals(1.0, looks=500, least=1.0, group=20)).mean() > ALPHA
    assert np.isfinite(first_refusals(1.0, looks=500, least=1.0, group=20, dispersion=20)).mean() <= ALPHA


def test_finding_tells_answers_of_those_that_were_due() -> None:
    process = Throughput.start(0.9, 0.01)
    assert process.finding.explain() == "0 answers of 0 that were due by weight: too few to judge"
    finding = process.after(30, 360, 10).finding
    assert finding.verdict == "NoData"
    assert (finding.part, finding.due) == pytest.approx((30 / 40, 40))
    failed = process.after(10, 360, 10).after(20, 360, 10).finding
    assert failed.verdict == "Fail"
    assert failed.explain().startswith("30 answers of 80 that were due by weight, less than 90 % (p = ")
    assert process.after(390, 3600, 10).finding.verdict == "Pass"


def test_nothing_is_to_be_told_where_nothing_is_divided() -> None:
    process = Throughput.start(0.9, 0.01)
    assert process.after(0, 1000, 100) is process.after(0, 1000, 0) is process


def test_restarted_process_goes_on_from_its_evidence() -> None:
    evidence = Throughput.start(0.9, 0.01).after(0, 90, 10).finding.evidence
    assert Throughput.start(0.9, 0.01, stake=evidence).finding.evidence == pytest.approx(evidence)
    assert evidence > 0


@pytest.mark.parametrize(
    ("look", "words"),
    [((-1, 5, 10), "-1 and 5 answers"), ((1, float("nan"), 10), "1 and nan"), ((1, 5, 101), "weight 101")],
)
def test_looks_that_cannot_be_are_refused(look: tuple[float, float, int], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        Throughput.start(0.9, 0.01).after(*look)


@pytest.mark.parametrize(
    ("values", "words"),
    [((0.0, 0.01), "least 0"), ((1.1, 0.01), "least 1.1"), ((0.9, 2.0), "alpha 2"), ((0.9, 0.1, 0), "dispersion 0")],
)
def test_start_that_means_nothing_is_refused(values: tuple[float, ...], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        Throughput.start(*values)
