"""Joining requests: what may run as one, and that nobody's answer depends on who else asked."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from luntra_serving.bundle.manifest import Draft
from luntra_serving.server.batching import groups, infer_all, joinable
from tests.serving.bundles import points_draft

if TYPE_CHECKING:
    from collections.abc import Mapping


def points(*rows: float, dtype: Any = np.float32) -> dict[str, Any]:
    return {"x": np.array([[row, -row] for row in rows], dtype=dtype)}


class Doubling:
    """Doubles its input, remembers the sizes of its batches, and fails on negative numbers."""

    def __init__(self) -> None:
        self.sizes: list[int] = []

    def __call__(self, inputs: Mapping[str, Any]) -> dict[str, Any]:
        x = inputs["x"]
        self.sizes.append(len(x))
        if (x[:, 0] < 0).any():
            raise ValueError("negative")
        return {"y": x * 2, "first": x[:, 0]}


def run_all(model: Any, requests: list[dict[str, Any]], max_rows: int) -> list[Any]:
    """Outputs or error of each request, in order."""
    found: dict[int, Any] = {}
    for outcomes in infer_all(model, requests, max_rows):
        found.update(outcomes)
    return [found[index] for index in range(len(requests))]


def test_requests_of_one_shape_run_as_one_and_get_their_own_rows() -> None:
    model = Doubling()
    results = run_all(model, [points(1), points(2, 3), points(4)], 32)
    assert model.sizes == [4]
    assert [result["first"].tolist() for result in results if isinstance(result, dict)] == [[1], [2, 3], [4]]


def test_no_run_has_more_rows_than_allowed_unless_one_request_has() -> None:
    model = Doubling()
    run_all(model, [points(1), points(2, 3), points(4), points(5, 6, 7, 8)], 3)
    assert model.sizes == [3, 1, 4]


def test_other_datatypes_and_shapes_run_by_themselves() -> None:
    wide = {"x": np.zeros((1, 3), dtype=np.float32)}
    assert groups([points(1), points(2, dtype=np.float64), wide, points(3)], 32) == [[0, 3], [1], [2]]


def test_inputs_of_different_lengths_are_not_joined() -> None:
    odd = {"x": np.zeros((1, 2)), "mask": np.zeros((3, 2))}
    assert groups([odd, odd], 32) == [[0], [1]]


def test_empty_request_runs_by_itself() -> None:
    empty = {"x": np.zeros((0, 2), dtype=np.float32)}
    assert groups([points(1), empty, points(2)], 32) == [[0], [1], [2]]
    assert groups([empty], 32) == [[0]]


def test_one_bad_request_spoils_nobody_elses_answer() -> None:
    model = Doubling()
    results = run_all(model, [points(1), points(-1), points(2)], 32)
    assert [type(result) for result in results] == [dict, ValueError, dict]
    assert model.sizes == [3, 1, 1, 1]


def test_model_that_answers_once_for_a_whole_batch_is_asked_one_by_one() -> None:
    def total(inputs: Mapping[str, Any]) -> dict[str, Any]:
        return {"sum": inputs["x"].sum(keepdims=True)}

    results = run_all(total, [points(1), points(2)], 32)
    assert [result["sum"].shape for result in results if isinstance(result, dict)] == [(1, 1), (1, 1)]


@pytest.mark.parametrize(("shape", "expected"), [([-1, 3], True), ([1, 3], False), ([3], False)])
def test_only_models_whose_first_axis_is_free_are_joinable(shape: list[int], expected: bool) -> None:
    inputs = [{"name": "points", "datatype": "FP32", "shape": shape}]
    outputs = [{"name": "probabilities", "datatype": "FP32", "shape": [-1, 2]}]
    draft = points_draft(interface={"inputs": inputs, "outputs": outputs}, preprocessing=[], postprocessing=[])
    assert joinable(Draft.model_validate(draft).interface) is expected


@given(st.lists(st.lists(st.integers(-5, 50), min_size=1, max_size=5), max_size=12), st.integers(1, 8))
def test_joined_answers_are_those_of_each_request_alone(requests: list[list[int]], max_rows: int) -> None:
    tensors = [points(*rows) for rows in requests]
    for rows, together in zip(requests, run_all(Doubling(), tensors, max_rows), strict=True):
        if min(rows) < 0:
            assert isinstance(together, ValueError)
        else:
            assert isinstance(together, dict)
            assert together["first"].tolist() == rows
