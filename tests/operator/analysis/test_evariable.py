"""Evidence of one pair of samples: its mean is at most 1 wherever the candidate is within its margin."""

from itertools import product
from math import comb

import numpy as np
import pytest

from luntra_operator.analysis.evariable import Margin, _nearest, log_evidence

MARGINS = [
    Margin(),
    Margin(ratio=1.5),
    Margin(increase=0.02),
    Margin(ratio=0.5, increase=0.1),
    Margin(ratio=0, increase=0.05),
]
BETS = [(0.3, 0.1), (0.9, 0.01), (0.06, 0.03), (0.5, 0.2)]
SIZES = [(3, 7), (10, 2), (5, 0), (0, 5)]


def chance(bad: int, total: int, p: float) -> float:
    return comb(total, bad) * p**bad * (1 - p) ** (total - bad)


def mean(margin: Margin, sizes: tuple[int, int], bet: tuple[float, float], truth: tuple[float, float]) -> float:
    """The mean of the evidence over all outcomes."""
    total, stable_total = sizes
    bad, stable_bad = np.array(list(product(range(total + 1), range(stable_total + 1)))).T
    logs = log_evidence(margin, (bad, total), (stable_bad, stable_total), (np.array(bet[0]), np.array(bet[1])))
    chances = [
        chance(int(one), total, truth[0]) * chance(int(other), stable_total, truth[1])
        for one, other in zip(bad, stable_bad, strict=True)
    ]
    return float(np.exp(logs) @ chances)


@pytest.mark.parametrize("margin", MARGINS)
def test_no_truth_within_the_margin_gives_evidence_on_average(margin: Margin) -> None:
    """Breaks if the nearest point is not the nearest: its mean is above 1 somewhere on the edge then."""
    for bet, sizes in product(BETS, SIZES):
        for stable in np.linspace(0.001, 0.999, 15):
            most = min(float(margin.most(stable)), 0.999)
            for candidate in (most, most / 2):
                assert mean(margin, sizes, bet, (candidate, float(stable))) <= 1 + 1e-9


def test_truth_that_was_bet_on_gives_evidence() -> None:
    assert mean(Margin(), (3, 7), (0.3, 0.1), (0.3, 0.1)) > 1.2
    assert mean(Margin(ratio=1.5, increase=0.02), (3, 7), (0.5, 0.1), (0.5, 0.1)) > 1.2


def test_nearest_point_of_equal_proportions_is_their_mean() -> None:
    """The one case with a closed form: Turner, Ly and Grünwald's."""
    found = log_evidence(Margin(), (2, 10), (1, 30), (np.array(0.4), np.array(0.1)))
    both = (10 * 0.4 + 30 * 0.1) / 40
    by_hand = 2 * np.log(0.4 / both) + 8 * np.log(0.6 / (1 - both)) + np.log(0.1 / both) + 29 * np.log(0.9 / (1 - both))
    assert found == pytest.approx(by_hand)


@pytest.mark.parametrize("margin", MARGINS[1:4])
def test_general_way_agrees_with_a_search(margin: Margin) -> None:
    random = np.random.default_rng(5)
    stable_q, q = random.uniform(0.0005, 0.5, 300), random.uniform(0.3, 0.99, 300)
    outside = q > margin.most(stable_q)
    stable_q, q, count = stable_q[outside], q[outside], int(outside.sum())
    total, stable_total = random.integers(1, 1000, count), random.integers(1, 100_000, count)
    assert count > 100

    def divergence(share: np.ndarray) -> np.ndarray:
        """From points of the edge, `share` of the way along it, to the bets: the evidence of the mean outcome."""
        p = share * np.minimum((q - margin.increase) / margin.ratio, 0.9999) + (1 - share) * stable_q
        edge = margin.most(p)
        mine = q * np.log(q / edge) + (1 - q) * np.log((1 - q) / (1 - edge))
        theirs = stable_q * np.log(stable_q / p) + (1 - stable_q) * np.log((1 - stable_q) / (1 - p))
        return total * mine + stable_total * theirs

    least = np.min([divergence(np.full(count, share)) for share in np.linspace(0.0001, 0.9999, 4000)], axis=0)
    found = log_evidence(margin, (total * q, total), (stable_total * stable_q, stable_total), (q, stable_q))
    assert np.all(found <= least + 1e-9)
    assert found == pytest.approx(least, rel=2e-2)


@pytest.mark.parametrize(
    "margin", [*MARGINS[1:4], Margin(0.01), Margin(30), Margin(1, 1e-6), Margin(0.05, 1e-5), Margin(3, 0.9)]
)
def test_nearest_point_is_exact_from_one_request_to_millions(margin: Margin) -> None:
    """The slope of the divergence along the edge of what is allowed changes its sign there."""
    random = np.random.default_rng(6)
    stable_q, q = 10 ** random.uniform(-6, -0.3, 3000), 10 ** random.uniform(-6, -0.01, 3000)
    outside = q > margin.most(stable_q)
    stable_q, q, count = stable_q[outside], q[outside], int(outside.sum())
    total, stable_total = 10 ** random.uniform(0, 6, count), 10 ** random.uniform(0, 6, count)
    assert count > 10

    def slope(at: np.ndarray) -> np.ndarray:
        edge = margin.ratio * at + margin.increase
        mine = margin.ratio * total * (edge - q) / (edge * (1 - edge))
        return mine + stable_total * (at - stable_q) / (at * (1 - at))

    found = _nearest(margin, total, stable_total, q, stable_q)
    assert np.all(slope(found * (1 - 1e-7)) <= 0)
    assert np.all(slope(found * (1 + 1e-7)) >= 0)


def test_bet_within_the_margin_and_samples_of_nothing_say_nothing() -> None:
    assert log_evidence(Margin(ratio=2), (5, 5), (0, 100), (np.array(0.2), np.array(0.1))) == 0
    assert log_evidence(Margin(), (0, 0), (0, 0), (np.array(0.2), np.array(0.1))) == 0


@pytest.mark.parametrize(("ratio", "increase"), [(-1, 0.1), (1, -0.1), (1, 1.0), (0, 0)])
def test_margin_that_means_nothing_is_refused(ratio: float, increase: float) -> None:
    with pytest.raises(ValueError, match=f"ratio {ratio:g} .* increase {increase:g}"):
        Margin(ratio, increase)
