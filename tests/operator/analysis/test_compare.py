"""A winner is named where there is one, and seldom where there is none."""

import numpy as np
import pytest

from luntra_operator.analysis.compare import Comparison, Rewards
from luntra_operator.analysis.evidence import Counts

ALPHA = 0.1


def rewards(values: np.ndarray) -> Rewards:
    return Rewards(len(values), float(values.sum()), float((values**2).sum()))


def winners(mean: float, stable_mean: float, looks: int, *, of_shares: bool, spread: float = 4.0) -> list[str]:
    """Who is named first in each of 60 comparisons of 20 samples each a look; "none" for nobody."""
    random, named = np.random.default_rng(9), list[str]()

    def sample(p: float) -> Counts | Rewards:
        if of_shares:
            return Counts(float(random.binomial(20, p)), 20)
        return rewards(random.beta(spread * p, spread * (1 - p), 20))

    for _ in range(60):
        process = (Comparison.of_shares if of_shares else Comparison.of_rewards)(ALPHA, "higher")
        for _ in range(looks):
            process = process.after(sample(mean), sample(stable_mean))
            if process.outcome.winner != "none":
                break
        named.append(process.outcome.winner)
    return named


@pytest.mark.parametrize("of_shares", [True, False])
def test_equal_versions_have_seldom_a_winner_however_often_one_looks(of_shares: bool) -> None:
    assert winners(0.3, 0.3, 300, of_shares=of_shares).count("none") >= 60 * (1 - ALPHA)


@pytest.mark.parametrize("of_shares", [True, False])
def test_better_version_is_named(of_shares: bool) -> None:
    assert winners(0.5, 0.3, 200, of_shares=of_shares).count("candidate") >= 58
    assert winners(0.3, 0.5, 200, of_shares=of_shares).count("stable") >= 58


@pytest.mark.parametrize("mean", [0.02, 0.5, 0.9])
def test_true_mean_is_within_at_all_looks_together(mean: float) -> None:
    random, outside = np.random.default_rng(10), 0
    for _ in range(100):
        process = Comparison.of_rewards(ALPHA, "higher")
        for _ in range(60):
            process = process.after(rewards(random.beta(3 * mean, 3 * (1 - mean), 7)), Rewards())
            low, high = process.outcome.candidate.interval
            if not low <= mean <= high:
                outside += 1
                break
    assert outside <= 100 * ALPHA / 2


def test_rewards_that_scatter_little_have_a_narrow_interval() -> None:
    random = np.random.default_rng(12)
    widths = []
    for spread in (0.5, 200.0):
        process = Comparison.of_rewards(ALPHA, "higher")
        for _ in range(100):
            process = process.after(rewards(random.beta(spread * 0.5, spread * 0.5, 20)), Rewards())
        low, high = process.outcome.candidate.interval
        widths.append(high - low)
    assert widths[1] < widths[0] / 3


def test_winner_of_what_should_be_low_is_the_lower() -> None:
    process = Comparison.of_shares(ALPHA, "lower").after(Counts(5, 500), Counts(100, 500))
    assert process.outcome.winner == "candidate"
    assert process.outcome.difference[1] < 0


@pytest.mark.parametrize("of_shares", [True, False])
def test_dispersion_widens(of_shares: bool) -> None:
    sample = Counts(30, 100) if of_shares else Rewards(100, 30, 12)
    widths = []
    for dispersion in (1, 4):
        process = (Comparison.of_shares if of_shares else Comparison.of_rewards)(ALPHA, "higher", dispersion)
        for _ in range(20):
            process = process.after(sample, sample)
        low, high = process.outcome.candidate.interval
        widths.append(high - low)
    assert widths[1] > 1.5 * widths[0]


def test_outcome_in_words() -> None:
    process = Comparison.of_shares(ALPHA, "higher")
    assert process.outcome.explain("clicks") == "clicks: no difference yet; no samples vs no samples on stable"
    told = process.after(Counts(300, 1000), Counts(100, 1000)).outcome.explain("clicks")
    assert told.startswith("clicks: candidate is better; 30 % of 1,000 (")
    assert (
        process.after(Counts(1, 1000), Counts(100, 1000))
        .outcome.explain("clicks")
        .startswith("clicks: stable is better; ")
    )


@pytest.mark.parametrize(
    "values", [(5, 6, 6), (5, 3, 4), (5, 3, 1), (5, -1, 1), (5, 2, float("nan")), (float("inf"), 1, 1)]
)
def test_rewards_that_cannot_be_are_refused(values: tuple[float, float, float]) -> None:
    with pytest.raises(ValueError, match="rewards with the sum"):
        Rewards(*values)


def test_counts_and_rewards_do_not_mix() -> None:
    with pytest.raises(TypeError, match="Counts are not"):
        Comparison.of_rewards(ALPHA, "higher").after(Counts(1, 2), Counts(1, 2))
    with pytest.raises(ValueError, match="counts of the version"):
        Comparison.of_shares(ALPHA, "higher").after(Counts(3, 2), Counts(1, 2))
    with pytest.raises(ValueError, match="alpha 0"):
        Comparison.of_rewards(0, "higher")
