"""Which output is the prediction, and how it is read."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from luntra_operator.checks.errors import CheckError, Refused
from luntra_operator.checks.interface import ModelInterface, TensorSpec
from luntra_operator.checks.predictions import reading

CLASSES = np.array([0, 1])
NAMES = np.array(["cat", "dog"])
VALUES = np.array([0.5, 1.5])
SCORES = ("scores", "FP32", (-1, 3))
LABEL = ("label", "INT64", (-1,))
TEXT = ("name", "BYTES", (-1, 1))
VALUE = ("y", "FP32", (-1, 1))


def model(*outputs: tuple[str, str, tuple[int, ...]]) -> ModelInterface:
    return ModelInterface((), tuple(TensorSpec(*output) for output in outputs))


@pytest.mark.parametrize(
    ("outputs", "labels", "metric", "expected"),
    [
        ([SCORES], CLASSES, "accuracy", ("scores", "argmax")),
        ([SCORES, LABEL], CLASSES, "f1", ("label", "class")),
        ([SCORES, LABEL, TEXT], NAMES, "accuracy", ("name", "text")),
        ([SCORES, LABEL, ("n", "INT32", (-1,))], CLASSES, "accuracy", ("label", "class")),
        ([VALUE], VALUES, "mae", ("y", "value")),
        ([VALUE, LABEL], VALUES, "rmse", ("y", "value")),
        ([LABEL], CLASSES, "mae", ("label", "value")),
    ],
)
def test_the_output_that_predicts_is_found(outputs: Any, labels: Any, metric: str, expected: tuple[str, str]) -> None:
    found = reading(model(*outputs), labels, metric)
    assert (found.output, found.how) == expected


@pytest.mark.parametrize(
    ("outputs", "labels", "metric", "reason"),
    [
        ([SCORES, ("more", "FP32", (-1, 3))], CLASSES, "accuracy", "UnclearOutput"),
        ([VALUE], CLASSES, "accuracy", "UnclearOutput"),
        ([SCORES], NAMES, "accuracy", "UnclearOutput"),
        ([VALUE, ("z", "FP32", (-1,))], VALUES, "mae", "UnclearOutput"),
        ([SCORES], VALUES, "accuracy", "InvalidDataset"),
        ([VALUE], NAMES, "mae", "InvalidDataset"),
    ],
)
def test_an_unclear_output_is_an_error_rather_than_a_guess(outputs: Any, labels: Any, metric: str, reason: str) -> None:
    with pytest.raises(CheckError) as caught:
        reading(model(*outputs), labels, metric)
    assert caught.value.reason == reason


def test_the_largest_score_is_the_class_and_rows_with_nan_are_marked() -> None:
    scores = np.array([[0.1, 0.9, 0], [np.nan, 0, 0], [0, 0, np.inf]], np.float32)
    predictions, finite = reading(model(SCORES), CLASSES, "accuracy").predictions({"scores": scores}, 3)
    assert predictions[0] == 1
    assert finite.tolist() == [True, False, False]


def test_names_of_classes_are_decoded_and_flattened() -> None:
    answer = {"name": np.array([[b"cat"], [b"dog"]], object)}
    predictions, _ = reading(model(TEXT), NAMES, "accuracy").predictions(answer, 2)
    assert predictions.tolist() == ["cat", "dog"]


@pytest.mark.parametrize("answer", [{}, {"y": np.zeros((1, 1))}, {"y": np.array(1.0)}])
def test_an_answer_without_a_row_per_sample_is_the_servers_fault(answer: Any) -> None:
    with pytest.raises(Refused, match="output y"):
        reading(model(VALUE), VALUES, "mae").predictions(answer, 2)
