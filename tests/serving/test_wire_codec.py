"""The protocol's codec as functions: what was encoded is decoded, and no bytes at all can do more than be refused."""

from __future__ import annotations

import json
import math
from typing import Any, ClassVar

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from luntra_serving.bundle.datatypes import NUMPY_TYPES
from luntra_serving.bundle.manifest import Interface, TensorSpec
from luntra_serving.errors import RequestError
from luntra_serving.server.protocol import tensors
from luntra_serving.server.protocol.request import InferRequest, RequestedOutput, decode, header_length
from luntra_serving.server.protocol.response import encode

Array = np.ndarray[Any, Any]
SHAPES = arrays.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4)


@st.composite
def tensor(draw: st.DrawFn) -> tuple[TensorSpec, Array]:
    kind = draw(st.sampled_from(sorted(NUMPY_TYPES)))
    shape = draw(SHAPES)
    if kind == "BYTES":
        texts = draw(st.lists(st.text(max_size=5), min_size=math.prod(shape), max_size=math.prod(shape)))
        values: Array = np.empty(len(texts), dtype=np.object_)
        values[:] = [text.encode() for text in texts]
        values = values.reshape(shape)
    else:
        dtype = NUMPY_TYPES[kind]
        finite = dtype.kind != "f"
        elements = arrays.from_dtype(dtype, allow_nan=finite, allow_infinity=finite)
        values = draw(arrays.arrays(dtype, shape, elements=elements))
    return TensorSpec(name="t", datatype=kind, shape=shape), values


def through(spec: TensorSpec, values: Array, binary: bool) -> Array:
    """Send `values` as an output of one model into another model's input."""
    request = InferRequest("i", {}, (RequestedOutput("t", binary),))
    answer = encode("m", "v", request, {"t": values})
    length = answer.json_length if answer.json_length is not None else len(answer.content)
    document = json.loads(answer.content[:length])
    head = json.dumps({"inputs": document["outputs"]}).encode()
    interface = Interface(inputs=(spec,), outputs=(spec,))
    return decode(head + answer.content[length:], len(head), interface).inputs["t"]


# The first draws import parts of numpy and hypothesis, which takes seconds on a busy machine.
@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(tensor(), st.booleans())
def test_every_tensor_survives_both_wire_forms(value: tuple[TensorSpec, Array], binary: bool) -> None:
    spec, values = value
    result = through(spec, values, binary)
    assert result.dtype == values.dtype
    assert result.shape == values.shape
    np.testing.assert_array_equal(result, values)


@given(st.sampled_from([np.nan, np.inf, -np.inf]), st.sampled_from([1, 31, 32, 1000]))
def test_what_json_cannot_carry_is_an_error_there_and_fine_as_binary(value: float, others: int) -> None:
    spec = TensorSpec(name="t", datatype="FP32", shape=(-1,))
    values = np.array([1] * others + [value], dtype=np.float32)
    np.testing.assert_array_equal(through(spec, values, binary=True), values)
    with pytest.raises(RequestError, match="ask for binary_data"):
        through(spec, values, binary=False)


POINTS = Interface(
    inputs=(
        TensorSpec(name="a", datatype="FP32", shape=(-1, 2)),
        TensorSpec(name="b", datatype="BYTES", shape=(-1,)),
    ),
    outputs=(TensorSpec(name="x", datatype="FP32", shape=(-1,)), TensorSpec(name="y", datatype="FP32", shape=(-1,))),
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(
        st.sampled_from(["inputs", "outputs", "name", "shape", "datatype", "data", "parameters", "binary_data_size", "id"]),
        inner,
        max_size=4,
    ),
    max_leaves=20,
)  # fmt: skip


def refused_as(body: bytes, json_length: int) -> int | None:
    """Return the status that the request is refused with, or None if it is read."""
    try:
        decode(body, json_length, POINTS)
    except RequestError as error:
        return error.status
    return None


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=200), st.integers(0, 200))
def test_arbitrary_bytes_are_refused_and_never_crash(body: bytes, length: int) -> None:
    with pytest.raises(RequestError) as caught:
        decode(body, min(length, len(body)), POINTS)
    assert caught.value.status == 400


@settings(max_examples=300, deadline=None)
@given(JSON, st.binary(max_size=40))
def test_arbitrary_json_with_arbitrary_binary_data_is_refused_or_read(document: Any, raw: bytes) -> None:
    head = json.dumps(document).encode()
    assert refused_as(head + raw, len(head)) in {None, 400}


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=40), st.integers(-3, 50), st.lists(st.integers(-1, 5), max_size=2))
def test_arbitrary_lengths_and_shapes_of_binary_data_are_refused_or_read(
    raw: bytes, size: int, shape: list[int]
) -> None:
    entries = [
        {"name": "a", "datatype": "FP32", "shape": [0, 2], "data": []},
        {"name": "b", "datatype": "BYTES", "shape": shape, "parameters": {"binary_data_size": size}},
    ]
    head = json.dumps({"inputs": entries}).encode()
    status = refused_as(head + raw, len(head))
    assert status in {None, 400}
    if status is None:
        assert len(tensors.to_bytes(decode(head + raw, len(head), POINTS).inputs["b"])) == len(raw)


class TestNumbers:
    @pytest.mark.parametrize(
        ("kind", "data"),
        [
            ("UINT8", [256]),
            ("UINT8", [-1]),
            ("INT8", [128]),
            ("INT64", [2**63]),
            ("UINT64", [2**64]),
            ("UINT64", [-1, 2**63]),
            ("UINT64", [0.5, 2**63]),
            ("INT32", [1.0]),
            ("INT32", ["1"]),
            ("BOOL", [1]),
            ("FP16", [1e6]),
            ("FP32", [1e300]),
            ("FP32", [True]),
            ("FP32", [None]),
            ("FP32", [{}]),
            ("BYTES", [1]),
            ("BYTES", ["\ud800"]),
        ],
    )
    def test_a_value_that_the_datatype_cannot_hold_is_refused_and_not_bent(self, kind: Any, data: list[Any]) -> None:
        spec = TensorSpec(name="t", datatype=kind, shape=(-1,))
        with pytest.raises(RequestError, match="input 't': data cannot be read as"):
            tensors.from_json(spec, (len(data),), data)

    def test_integers_on_both_sides_of_the_signed_range_are_exact(self) -> None:
        spec = TensorSpec(name="t", datatype="UINT64", shape=(-1,))
        assert tensors.from_json(spec, (2,), [1, 2**64 - 1]).tolist() == [1, 2**64 - 1]

    def test_whole_numbers_are_fine_for_floats(self) -> None:
        spec = TensorSpec(name="t", datatype="FP32", shape=(-1,))
        assert tensors.from_json(spec, (2,), [1, 2]).tolist() == [1.0, 2.0]

    def test_a_bool_byte_that_is_neither_0_nor_1_is_refused(self) -> None:
        spec = TensorSpec(name="t", datatype="BOOL", shape=(-1,))
        with pytest.raises(RequestError, match="neither 0 nor 1"):
            tensors.from_bytes(spec, (1,), memoryview(b"\x02"))


class TestOutputs:
    HEAD: ClassVar[dict[str, Any]] = {
        "inputs": [
            {"name": "a", "datatype": "FP32", "shape": [1, 2], "data": [1, 2]},
            {"name": "b", "datatype": "BYTES", "shape": [1], "data": ["x"]},
        ]
    }

    def outputs(self, **changes: Any) -> tuple[RequestedOutput, ...]:
        body = json.dumps({**self.HEAD, **changes}).encode()
        return decode(body, len(body), POINTS).outputs

    def test_without_a_list_all_outputs_come_in_the_form_that_the_request_prefers(self) -> None:
        assert self.outputs() == (RequestedOutput("x", False), RequestedOutput("y", False))
        preferred = self.outputs(parameters={"binary_data_output": True})
        assert preferred == (RequestedOutput("x", True), RequestedOutput("y", True))

    def test_a_list_chooses_order_and_form(self) -> None:
        chosen = self.outputs(
            parameters={"binary_data_output": True},
            outputs=[{"name": "y", "parameters": {"binary_data": False}}, {"name": "x"}],
        )
        assert chosen == (RequestedOutput("y", False), RequestedOutput("x", True))

    @pytest.mark.parametrize(
        ("outputs", "problem"),
        [
            ([{"name": "z"}], "is not known; the model has x, y"),
            ([{"name": "x"}, {"name": "x"}], "outputs name 'x' twice"),
            ([{"name": "x", "parameters": {"binary_data": "yes"}}], "must be true or false, not 'yes'"),
            ([{"name": "x", "parameters": {"classification": 3}}], "classification extension is not supported"),
            ("x", "outputs must be a list"),
        ],
    )
    def test_a_wrong_list_is_refused(self, outputs: Any, problem: str) -> None:
        with pytest.raises(RequestError, match=problem):
            self.outputs(outputs=outputs)


def test_the_header_length_must_be_a_number_within_the_body() -> None:
    assert header_length(None, 10) == 10
    assert header_length("0", 10) == 0
    assert header_length("10", 10) == 10
    for wrong in ("11", "-1", "1.0", "", "\u0661", "9" * 30):
        with pytest.raises(RequestError, match="Inference-Header-Content-Length"):
            header_length(wrong, 10)
