"""Intervals: the true share is within them at all looks together, and they get narrow."""

from math import lgamma, log

import numpy as np
import pytest

from luntra_operator.analysis.intervals import interval


def log_mixture(bad: float, total: float, p: float) -> float:
    """Evidence against p, by its definition."""
    mixed = lgamma(bad + 0.5) + lgamma(total - bad + 0.5) - lgamma(total + 1) - 2 * lgamma(0.5)
    return mixed - bad * log(p) - (total - bad) * log(1 - p)


@pytest.mark.parametrize(("bad", "total"), [(1, 3), (5, 10), (9, 10), (2, 100_000), (0.3, 7.5), (99_999, 100_000)])
def test_ends_are_where_the_evidence_is_enough(bad: float, total: float) -> None:
    low, high = interval(bad, total, 0.05)
    assert 0 < low < bad / total < high < 1
    for end in (low, high):
        assert log_mixture(bad, total, end) == pytest.approx(log(1 / 0.05), abs=1e-4)


@pytest.mark.parametrize(("bad", "total", "open_end"), [(0, 100, 0), (100, 100, 1)])
def test_none_and_all_leave_one_end_open(bad: float, total: float, open_end: int) -> None:
    ends = interval(bad, total, 0.05)
    assert ends[open_end] == open_end
    assert 0 < ends[1 - open_end] < 1


def test_nothing_seen_is_anything() -> None:
    assert interval(0, 0, 0.05) == (0, 1)


@pytest.mark.parametrize("p", [0.002, 0.3])
def test_true_share_is_within_at_all_looks_together(p: float) -> None:
    random, outside = np.random.default_rng(2), 0
    for _ in range(200):
        bad = 0
        for look in range(1, 101):
            bad += random.binomial(10, p)
            low, high = interval(bad, 10 * look, 0.1)
            if not low <= p <= high:
                outside += 1
                break
    assert outside / 200 <= 0.1


def test_requests_that_count_as_fewer_widen_it() -> None:
    low, high = interval(8, 20, 0.05)
    wider = interval(8, 20, 0.05, dispersion=4.0)
    assert wider[0] < low < high < wider[1]
