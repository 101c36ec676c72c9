"""How many requests count as one, measured of the stable version: independent ones, groups, and bad minutes."""

import numpy as np

from luntra_operator.analysis.dispersion import Dispersion
from luntra_operator.analysis.evidence import Counts
from luntra_operator.analysis.proportions import Limits, Proportions

RUNS, TOTAL = 200, 200.0


def measured(share: float | np.ndarray, looks: int, *, group: int = 1, least: float = 1.0) -> np.ndarray:
    """The dispersion of each of many versions after so many looks; `share` may have one value for each look."""
    random = np.random.default_rng(5)
    found, shares = Dispersion(least), np.broadcast_to(share, (looks,))
    for now in shares:
        bad = group * random.binomial(int(TOTAL) // group, now, RUNS).astype(float)
        found = found.after(Counts(bad, np.full(RUNS, TOTAL)))
    return np.asarray(found.value)


def test_independent_requests_count_as_themselves() -> None:
    """Breaks if chance alone makes verdicts late."""
    assert np.median(measured(0.02, 500)) < 1.5


def test_requests_that_fail_in_groups_count_as_one_each() -> None:
    assert 6 < np.median(measured(0.02, 500, group=8)) < 12


def test_bad_minutes_show_over_blocks_of_looks() -> None:
    """Breaks if only a look by itself is measured, in which such requests are independent."""
    episodes = np.where(np.arange(600) % 300 < 30, 0.1, 0.005)
    assert np.median(measured(episodes, 600)) > 50


def test_it_is_never_less_than_was_said() -> None:
    assert np.min(measured(0.02, 3)) >= 1.0
    assert np.min(measured(0.02, 300, least=4.0)) >= 4.0
    assert float(Dispersion(2.0).value) == 2.0


def refusals(group: int, *, measured: bool) -> float:
    """Which part of equal versions is refused within an hour of looks."""
    random = np.random.default_rng(7)
    process = Proportions.start(Limits(ratio=1.0), 0.05, 2.0, shape=(RUNS,), measured=measured)
    refused = np.zeros(RUNS, dtype=bool)
    for _ in range(3600):
        mine, theirs = (
            Counts(
                np.minimum(group * random.poisson(rate * 0.01 / group, RUNS), rate).astype(float), np.full(RUNS, rate)
            )
            for rate in (8.0, 72.0)
        )
        process = process.after(mine, theirs)
        refused |= process.log >= np.log(1 / 0.05)
    return float(refused.mean())


def test_equal_versions_whose_requests_fail_in_groups_are_seldom_refused() -> None:
    """Breaks if the measure does not reach the evidence; the first assertion is why it is taken."""
    assert refusals(8, measured=False) > 0.5
    assert refusals(8, measured=True) <= 0.15
