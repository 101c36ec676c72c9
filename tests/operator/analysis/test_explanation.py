"""Findings in words: figures that a person can read and that are never rounded into a lie."""

from dataclasses import replace

import pytest

from luntra_operator.analysis.evidence import Counts
from luntra_operator.analysis.explanation import explain, percent
from luntra_operator.analysis.proportions import Limits, Proportions


def told(limits: Limits, candidate: Counts, stable: Counts) -> str:
    process = Proportions.start(limits, 0.01).known(stable)
    return explain(process.after(candidate, stable).finding, "error rate")


@pytest.mark.parametrize(
    ("share", "words"),
    [
        (0, "0 %"),
        (1, "100 %"),
        (0.003, "0.3 %"),
        (0.041, "4.1 %"),
        (0.0415, "4.2 %"),
        (0.52, "52 %"),
        (0.998, "99.8 %"),
        (0.9997, "99.97 %"),
        (0.99999, "99.999 %"),
        (0.000012, "0.0012 %"),
        (0.0000002, "2e-05 %"),
        (1 / 3, "33 %"),
        (0.0999, "10 %"),
    ],
)
def test_shares_have_two_digits_and_are_never_rounded_to_an_end(share: float, words: str) -> None:
    assert percent(share) == words


def test_pass_has_both_shares_their_samples_and_p() -> None:
    assert told(Limits(ratio=1.5), Counts(2, 812), Counts(22, 7402)) == (
        "error rate 0.25 % of 812 vs 0.3 % of 7,402 on stable (p = 1)"
    )


def test_fail_names_the_bound_that_is_broken() -> None:
    words = told(Limits(most=0.5, ratio=1.5, increase=0.01), Counts(332, 8120), Counts(22, 7402))
    assert words.startswith(
        "error rate 4.1 % of 8,120 vs 0.3 % of 7,402 on stable, "
        "more than 1 pp above stable and more than 1.5 times stable (p = "
    )
    assert told(Limits(most=0.05), Counts(30, 60), Counts()).startswith("error rate 50 % of 60, more than 5 % (p = ")


def test_no_data_says_how_many_are_missing_and_where() -> None:
    assert told(Limits(ratio=1.5), Counts(0, 12), Counts(22, 7402)) == (
        "error rate 0 % of 12 vs 0.3 % of 7,402 on stable: 38 more needed"
    )
    assert (
        told(Limits(ratio=1.5), Counts(), Counts())
        == "error rate of 0 vs 0 on stable: 50 more and 50 more on stable needed"
    )
    assert told(Limits(most=0.5), Counts(1, 49.5), Counts()) == "error rate 2 % of 50: 1 more needed"


@pytest.mark.parametrize(
    ("p", "words"),
    [
        (1.0, "p = 1"),
        (0.92, "p = 1"),
        (0.31, "p = 0.4"),
        (0.02, "p = 0.02"),
        (0.0041, "p = 5e-3"),
        (1.9e-9, "p = 2e-9"),
        (9.5e-7, "p = 1e-6"),
        (0.0, "p < 1e-99"),
    ],
)
def test_p_is_rounded_up_and_never_reads_0(p: float, words: str) -> None:
    finding = Proportions.start(Limits(most=0.5, least_samples=1), 0.01).after(Counts(0, 1), Counts()).finding
    assert explain(replace(finding, p=p), "error rate") == f"error rate 0 % of 1 ({words})"
