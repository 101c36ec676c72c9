"""Values of windows against bounds and against the stable version's."""

from itertools import pairwise

import numpy as np
import pytest

from luntra_operator.analysis.series import Series, SeriesLimits, load

ALPHA = 0.1
NAN = float("nan")


@pytest.fixture(autouse=True)
def _loaded() -> None:
    load()


def after(limits: SeriesLimits, *windows: tuple[float, float]) -> Series:
    series = Series.start(limits, ALPHA)
    for candidate, stable in windows:
        series = series.after(candidate, stable)
    return series


def refused(limits: SeriesLimits, shift: float, correlation: float = 0.0, digits: int = 9, runs: int = 60) -> float:
    """The part of many rollouts that is refused in 60 windows of values that scatter by 1 around 10."""
    random, count = np.random.default_rng(7), 0
    for _ in range(runs):
        noise = random.normal(size=2)
        series = Series.start(limits, ALPHA)
        for _ in range(60):
            noise = correlation * noise + (1 - correlation**2) ** 0.5 * random.normal(size=2)
            series = series.after(round(10 + shift + noise[0], digits), round(10 + noise[1], digits))
            if series.test.p <= ALPHA and series.test.delta >= limits.effect:
                count += 1
                break
    return count / runs


@pytest.mark.parametrize(
    ("limits", "shift", "correlation", "digits"),
    [
        (SeriesLimits(ratio=1.0, effect=0.0), 0, 0.0, 9),
        (SeriesLimits(ratio=1.0, effect=0.0), 0, 0.0, 0),
        (SeriesLimits(ratio=1.0, effect=0.0), 0, 0.8, 9),
        (SeriesLimits(increase=1.0, ratio=1.05, effect=0.0), 1, 0.0, 9),
        (SeriesLimits(worse="lower", increase=0.5, effect=0.0), -0.5, 0.0, 9),
    ],
)
def test_candidate_that_just_keeps_its_limits_is_seldom_refused(
    limits: SeriesLimits, shift: float, correlation: float, digits: int
) -> None:
    """Breaks if looks get alpha each, or if windows that hang together are all taken for independent."""
    assert refused(limits, shift, correlation, digits) <= ALPHA


@pytest.mark.parametrize(
    ("limits", "shift"),
    [
        (SeriesLimits(ratio=1.0), 2),
        (SeriesLimits(increase=1.0, ratio=1.01), 3),
        (SeriesLimits(worse="lower", ratio=0.95), -3),
    ],
)
def test_worse_candidate_is_refused(limits: SeriesLimits, shift: float) -> None:
    assert refused(limits, shift, runs=20) == 1


def test_better_candidate_and_trifles_pass() -> None:
    assert refused(SeriesLimits(ratio=1.0), -2, runs=20) == 0
    assert refused(SeriesLimits(ratio=1.0, effect=0.9), 0.3, runs=20) == 0


def test_increase_and_ratio_allow_what_the_more_generous_allows() -> None:
    random = np.random.default_rng(1)
    windows = [(float(a + 3), float(a)) for a in random.normal(10, 0.1, 40)]
    verdicts = [
        after(SeriesLimits(increase=increase, ratio=ratio), *windows).finding.verdict
        for increase, ratio in ((1.0, None), (None, 1.1), (1.0, 1.4), (4.0, 1.1), (1.0, 1.1))
    ]
    assert verdicts == ["Fail", "Fail", "Pass", "Pass", "Fail"]


def test_bound_fails_after_so_many_in_a_row() -> None:
    limits = SeriesLimits(max=5, min=1, consecutive=2, least_windows=1)
    assert after(limits, (6, NAN)).finding.verdict == "Pass"
    assert after(limits, (6, NAN), (3, NAN), (6, NAN)).finding.verdict == "Pass"
    assert after(limits, (6, NAN), (0, NAN)).finding.verdict == "Pass"
    assert after(limits, (6, NAN), (7, NAN)).finding.broken == "max"
    assert after(limits, (0, NAN), (0, NAN)).finding.broken == "min"
    assert after(limits, (6, NAN), (NAN, NAN), (7, NAN)).finding.broken == "max"


def test_value_that_is_not_a_number_is_no_data_and_no_window() -> None:
    limits = SeriesLimits(max=5, ratio=1.0)
    passed = after(limits, *[(1.0 + i % 3, 1.0 + i % 3) for i in range(40)])
    assert passed.finding.verdict == "Pass"
    for candidate, stable in ((NAN, 1.0), (1.0, NAN), (float("inf"), 1.0)):
        later = passed.after(candidate, stable)
        assert (later.finding.verdict, later.windows) == ("NoData", 40)
    assert passed.after(9.0, NAN).finding.broken == "max"
    assert "no value now" in passed.after(NAN, 1.0).finding.explain("depth", limits)


def test_few_windows_are_no_data() -> None:
    assert after(SeriesLimits(max=5), (1, NAN)).finding.verdict == "NoData"
    assert after(SeriesLimits(ratio=1.0), *[(9, 1)] * 4).finding.verdict == "NoData"
    assert after(SeriesLimits(ratio=1.0)).finding.verdict == "NoData"


def test_tests_get_rarer_and_what_was_spent_is_not_spent_again() -> None:
    limits = SeriesLimits(ratio=1.0)
    fresh, restarted = Series.start(limits, ALPHA), Series.start(limits, ALPHA, windows=30)
    due = [windows for windows in range(1, 400) if fresh._number(windows)]
    assert [fresh._number(windows) for windows in due] == list(range(1, len(due) + 1))
    assert all(later >= 1.2 * earlier for earlier, later in pairwise(due))
    assert [windows for windows in range(31, 400) if restarted._number(windows)] == [one for one in due if one > 30]
    assert restarted.finding.windows == 30


def test_findings_in_words() -> None:
    limits = SeriesLimits(max=9, consecutive=2, ratio=1.1)
    random = np.random.default_rng(2)
    windows = [(float(a + 3), float(a)) for a in random.normal(4, 0.1, 30)]
    assert (
        after(limits, (9.5, NAN), (9.7, NAN)).finding.explain("depth", limits)
        == "depth 9.7 is above max 9, 2 times in a row"
    )
    told = after(limits, *windows).finding.explain("depth", limits)
    assert told.startswith("depth 7 vs 4 on stable (medians of 30 windows, ")
    assert "delta 1, p = " in told
    assert (
        after(limits, *windows[:3])
        .finding.explain("depth", limits)
        .endswith("(medians of 3 windows): too few to judge")
    )
    assert after(SeriesLimits(max=9), (1, NAN)).finding.explain("depth", limits) == "depth 1"
    assert after(SeriesLimits(max=9)).finding.explain("depth", limits) == "depth no value"


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({}, "at least one"),
        ({"increase": -1.0}, "increase is -1"),
        ({"ratio": 0.0}, "ratio is 0"),
        ({"max": NAN}, "max is nan"),
        ({"min": float("inf")}, "min is inf"),
        ({"max": 1.0, "consecutive": 0}, "consecutive is 0"),
        ({"max": 1.0, "effect": 1.0}, "effect is 1"),
        ({"max": 1.0, "least_windows": 0}, "least_windows is 0"),
    ],
)
def test_limits_that_mean_nothing_are_refused(values: dict[str, float], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        SeriesLimits(**values)  # type: ignore[arg-type] # a table of bad values


@pytest.mark.parametrize(("alpha", "windows", "words"), [(0.0, 0, "alpha 0"), (0.1, -1, "windows -1")])
def test_start_that_means_nothing_is_refused(alpha: float, windows: int, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        Series.start(SeriesLimits(max=1), alpha, windows)
