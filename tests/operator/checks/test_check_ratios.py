"""How sure a ratio is: exact limits, and a simulated machine whose noise refuses no equal version more often than promised."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest

from luntra_operator.checks.ratios import SHARE_REFUSED, needed, ratio

RUNS, PAIRS, WINDOW = 3000, 20, 25


@pytest.mark.parametrize(
    ("count", "risk", "expected"),
    [(20, 0.01, 16), (20, 0.01 / 3, 17), (7, 0.01, 7), (6, 0.01, None), (0, 0.01, None), (1, 0.5, 1)],
)
def test_as_many_coins_must_agree_as_tables_of_the_binomial_say(count: int, risk: float, expected: int | None) -> None:
    assert needed(count, risk) == expected


def test_limits_are_ratios_of_pairs() -> None:
    found = ratio([(float(n), 1.0) for n in range(1, 21)])
    assert found is not None
    assert (found.median, found.least, found.most) == (10.5, 5.0, 16.0)


def test_pairs_without_figures_say_nothing_and_too_few_give_no_ratio() -> None:
    empty = [(math.nan, 1.0), (1.0, math.nan), (1.0, 0.0), (math.inf, 1.0)]
    seven = [(2.0, 1.0)] * 7
    found = ratio([*empty, *seven])
    assert found is not None
    assert found.least == 2.0
    assert ratio([*empty, *seven[:6]]) is None


def machine(
    rng: np.random.Generator, slower: float, share: float, runs: int, noise: float = 1.0
) -> list[list[tuple[float, float]]]:
    """Pairs of windows' percentiles on a noisy machine: slow drift, a beat of period 2 windows, bursts, and a long tail."""
    drift = np.exp(np.cumsum(rng.normal(0, 0.1 * noise, (runs, 2 * PAIRS)), axis=1))
    beat = np.where(np.arange(2 * PAIRS) % 2, 1 + 0.5 * noise, 1.0)
    bursts = np.where(rng.random((runs, 2 * PAIRS)) < 0.1 * noise, rng.uniform(1, 10, (runs, 2 * PAIRS)), 1.0)
    latencies = rng.lognormal(0, 0.4, (runs, 2 * PAIRS, WINDOW)) * (drift * beat * bursts)[..., None]
    seen = np.quantile(latencies, share, axis=2, method="higher").reshape(runs, PAIRS, 2)
    first = rng.random((runs, PAIRS)) < 0.5
    candidate = np.where(first, seen[..., 0], seen[..., 1]) * slower
    stable = np.where(first, seen[..., 1], seen[..., 0])
    return [list(zip(*run, strict=True)) for run in zip(candidate.tolist(), stable.tolist(), strict=True)]


def refused(pairs: list[tuple[float, float]], bound: float) -> bool:
    found = ratio(pairs)
    return found is not None and found.least > bound


@pytest.mark.parametrize("share", [0.5, 0.99])
def test_an_identical_version_is_refused_no_more_often_than_stated_whatever_the_machine_does(share: float) -> None:
    """Breaks if who is first is not left to chance (the beat falls on one side), or if figures are not taken in pairs."""
    runs = machine(np.random.default_rng(7), 1.0, share, RUNS)
    count = sum(refused(pairs, 1.0) for pairs in runs)
    margin = 3 * math.sqrt(SHARE_REFUSED * RUNS)
    assert count <= SHARE_REFUSED * RUNS + margin
    assert count > 0, "a bound of exactly 1 is the hardest case: it is not kept by never refusing anything"


@pytest.mark.parametrize("share", [0.5, 0.99])
def test_a_twice_as_slow_version_is_found_though_the_machine_is_noisy(share: float) -> None:
    runs = machine(np.random.default_rng(8), 2.0, share, 1000, noise=0.5)
    found = sum(refused(pairs, 1.2) for pairs in runs)
    assert found >= 0.9 * len(runs), f"{found} of {len(runs)}"


def test_a_larger_sample_needs_a_smaller_share_to_agree() -> None:
    shares = [(needed(count, 0.01) or 0) / count for count in (10, 20, 40, 80)]
    assert all(more > less for more, less in pairwise(shares))
