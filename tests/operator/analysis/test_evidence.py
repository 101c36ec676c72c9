"""Evidence over many looks: seldom where there is nothing, soon where there is much, and never lost."""

import numpy as np
import pytest

from luntra_operator.analysis.evariable import Margin
from luntra_operator.analysis.evidence import Counts, Evidence

ALPHA = 0.05


def first_refusals(
    candidate: float,
    stable: float,
    looks: int,
    *,
    per_look: int = 40,
    group: int = 1,
    dispersion: float = 1.0,
    runs: int = 200,
    good: int = 0,
) -> np.ndarray:
    """The look at which each of many rollouts is refused, infinity for never; requests fail in groups.

    Before come `good` looks in which the candidate is like the stable version.
    """
    random = np.random.default_rng(11)
    evidence = Evidence.start(Margin(), shape=(runs,))

    def sample(p: float, total: int) -> Counts:
        return Counts(group * random.binomial(total // group, p, runs).astype(float), np.full(runs, float(total)))

    evidence = evidence.known(sample(stable, 50 * per_look))
    for _ in range(good):
        evidence = evidence.after(sample(stable, per_look), sample(stable, 3 * per_look), dispersion)
    refused = np.full(runs, np.inf)
    for look in range(1, looks + 1):
        evidence = evidence.after(sample(candidate, per_look), sample(stable, 3 * per_look), dispersion)
        refused[(evidence.log >= np.log(1 / ALPHA)) & np.isinf(refused)] = look
    return refused


def test_equal_versions_are_seldom_refused_however_often_one_looks() -> None:
    assert np.isfinite(first_refusals(0.02, 0.02, looks=1000)).mean() <= ALPHA


def test_better_version_is_never_refused() -> None:
    assert np.isinf(first_refusals(0.01, 0.02, looks=500)).all()


@pytest.mark.parametrize(("times", "within"), [(2, 150), (5, 20), (20, 3)])
def test_worse_version_is_refused_soon(times: int, within: int) -> None:
    assert np.median(first_refusals(0.02 * times, 0.02, looks=2 * within)) <= within


def test_version_that_turns_bad_after_a_long_time_is_refused_nearly_as_soon() -> None:
    """Without a reserve and an eye on what came lately it takes six times as long."""
    at_once, late = (np.median(first_refusals(0.06, 0.02, looks=200, good=good)) for good in (0, 1000))
    assert late <= 3 * at_once


def test_failures_in_groups_refuse_equal_versions_unless_the_dispersion_says_so() -> None:
    """Breaks if the dispersion has no effect; the first assertion is why there is one."""
    assert np.isfinite(first_refusals(0.02, 0.02, looks=500, group=8)).mean() > ALPHA
    assert np.isfinite(first_refusals(0.02, 0.02, looks=500, group=8, dispersion=8)).mean() <= ALPHA


def one_request_a_look(candidate: float, stable: float, looks: int, runs: int = 200) -> np.ndarray:
    """The look at which each of many rollouts is refused that get a single request between two looks, for either version."""
    random = np.random.default_rng(12)
    evidence = Evidence.start(Margin(increase=0.01), shape=(runs,))
    refused = np.full(runs, np.inf)
    for look in range(1, looks + 1):
        mine = random.integers(2, size=runs).astype(float)
        bad = random.random(runs) < np.where(mine, candidate, stable)
        evidence = evidence.after(Counts(mine * bad, mine), Counts((1 - mine) * bad, 1 - mine))
        refused[(evidence.log >= np.log(1 / ALPHA)) & np.isinf(refused)] = look
    return refused


def test_version_that_fails_is_refused_though_no_look_has_requests_of_both() -> None:
    """Breaks if a look is judged by itself alone: with nothing beside it, it says nothing."""
    assert np.median(one_request_a_look(1.0, 0.02, looks=60)) <= 20
    assert np.median(one_request_a_look(0.2, 0.02, looks=600)) <= 150


def test_equal_versions_with_one_request_a_look_are_seldom_refused() -> None:
    assert np.isfinite(one_request_a_look(0.2, 0.2, looks=1500)).mean() <= ALPHA


def test_requests_of_one_version_wait_for_the_others_and_lose_nothing() -> None:
    begun = Evidence.start(Margin()).known(Counts(1, 300)).after(Counts(0, 10), Counts(0, 30), 2.0)
    apart = begun.after(Counts(2, 3), Counts(0, 0), 2.0).after(Counts(1, 1), Counts(1, 9), 4.0)
    at_once = begun.after(Counts(0, 0), Counts(0, 0), 2.0).after(Counts(3, 4), Counts(1, 9), 2.0)
    assert apart.log == at_once.log > begun.log


def test_what_an_interrupted_process_had_gathered_is_the_stake_of_the_next() -> None:
    looks = [(Counts(3, 30), Counts(1, 90))] * 6
    first = Evidence.start(Margin())
    for candidate, stable in looks[:3]:
        first = first.after(candidate, stable)
    second = Evidence.start(Margin(), stake=float(first.log))
    assert second.log == first.log > 0
    for candidate, stable in looks[3:]:
        second = second.after(candidate, stable)
    assert second.log > first.log


def test_evidence_at_the_beginning_is_none_and_p_is_its_inverse() -> None:
    start = Evidence.start(Margin())
    assert (float(start.log), float(start.p)) == (0, 1)
    later = start.known(Counts(0, 1000)).after(Counts(10, 10), Counts(0, 100))
    assert later.p == pytest.approx(np.exp(-later.log))
    assert later.p < 1e-6


def test_bound_needs_no_stable_version() -> None:
    evidence = Evidence.start(Margin(ratio=0, increase=0.01))
    for _ in range(5):
        evidence = evidence.after(Counts(5, 50), Counts(0, 0))
    assert evidence.log > np.log(1 / ALPHA)
