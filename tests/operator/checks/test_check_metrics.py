"""The metrics' definitions, by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from luntra_operator.checks.metrics import accuracy, macro_f1, mae, rmse


def test_accuracy_is_the_share_of_right_classes() -> None:
    assert accuracy(np.array([1, 2, 3, 3]), np.array([1, 2, 3, 0])) == 0.75


def test_accuracy_compares_names_of_classes_as_well() -> None:
    assert accuracy(np.array(["cat", "dog"]), np.array(["cat", "cow"])) == 0.5


def test_macro_f1_counts_a_rare_class_as_much_as_a_common_one() -> None:
    labels = np.array([0] * 9 + [1])
    predictions = np.zeros(10, dtype=int)
    # class 0: precision 0.9, recall 1 -> F1 18/19; class 1 is never predicted -> F1 0
    assert macro_f1(predictions, labels) == pytest.approx((18 / 19 + 0) / 2)


def test_a_class_that_is_only_predicted_counts_as_zero() -> None:
    assert macro_f1(np.array([0, 0, 7]), np.array([0, 0, 0])) == pytest.approx((0.8 + 0) / 2)


def test_mae_and_rmse_are_in_the_labels_unit() -> None:
    predictions, labels = np.array([1.0, 5.0]), np.array([2.0, 2.0])
    assert mae(predictions, labels) == 2.0
    assert rmse(predictions, labels) == pytest.approx(5**0.5)


def test_unsigned_integers_do_not_wrap_around() -> None:
    assert mae(np.array([1], np.uint8), np.array([3], np.uint8)) == 2.0


def test_a_nan_prediction_makes_the_error_nan() -> None:
    assert np.isnan(mae(np.array([1.0, np.nan]), np.array([1.0, 1.0])))


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=1))
def test_scores_are_one_exactly_where_all_is_right(pairs: list[tuple[int, int]]) -> None:
    predictions, labels = (np.array(column) for column in zip(*pairs, strict=True))
    right = bool((predictions == labels).all())
    for metric in (accuracy, macro_f1):
        assert 0 <= metric(predictions, labels) <= 1
        assert (metric(predictions, labels) == 1) == right
    assert (mae(predictions, labels) == 0) == right
    assert rmse(predictions, labels) >= mae(predictions, labels) - 1e-12
