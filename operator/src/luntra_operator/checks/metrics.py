"""The metrics of an evaluation: pure functions of predictions and labels, both of one length.

Formulas are those of scikit-learn's `accuracy_score`, `f1_score(average="macro", zero_division=0)`,
`mean_absolute_error` and `root_mean_squared_error`
(https://scikit-learn.org/stable/modules/model_evaluation.html); the tests hold the definitions by hand.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    from luntra_operator.checks.interface import Array


def accuracy(predictions: Array, labels: Array) -> float:
    """Share of samples whose class was predicted, 0 to 1."""
    return float(np.mean(predictions == labels))


def macro_f1(predictions: Array, labels: Array) -> float:
    """Mean over all classes of F1 = 2·TP / (2·TP + FP + FN), 0 to 1.

    The classes are those that occur among the labels or the predictions; each counts the same, however rare.
    """
    scores = []
    for one in np.union1d(predictions, labels):
        predicted, actual = predictions == one, labels == one
        hits = np.sum(predicted & actual)
        scores.append(2 * hits / (np.sum(predicted) + np.sum(actual)))
    return float(np.mean(scores))


def mae(predictions: Array, labels: Array) -> float:
    """Mean absolute error, in the labels' unit."""
    return float(np.mean(np.abs(predictions.astype(np.float64) - labels.astype(np.float64))))


def rmse(predictions: Array, labels: Array) -> float:
    """Root of the mean squared error, in the labels' unit."""
    return float(np.sqrt(np.mean((predictions.astype(np.float64) - labels.astype(np.float64)) ** 2)))


METRICS: dict[str, Callable[[Array, Array], float]] = {
    "accuracy": accuracy,
    "f1": macro_f1,
    "mae": mae,
    "rmse": rmse,
}
