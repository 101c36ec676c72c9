"""The messages of gRPC as functions: they are the protocol's, what was encoded is decoded, and nothing does more than be refused."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from google.protobuf.descriptor_pb2 import FileDescriptorProto, FileDescriptorSet
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tritonclient.grpc import model_config_pb2, service_pb2

from luntra_serving.bundle.manifest import Interface, TensorSpec
from luntra_serving.errors import RequestError
from luntra_serving.server.grpc import codec, messages
from luntra_serving.server.protocol.request import InferRequest, RequestedOutput

if TYPE_CHECKING:
    from collections.abc import Iterator

KINDS = ("BOOL", "INT8", "INT16", "INT32", "INT64", "UINT8", "UINT16", "UINT32", "UINT64", "FP32", "FP64")
INTERFACE = Interface(
    inputs=(TensorSpec(name="a", datatype="FP32", shape=(-1, 2)), TensorSpec(name="b", datatype="BYTES", shape=(-1,))),
    outputs=(TensorSpec(name="x", datatype="FP32", shape=(-1,)), TensorSpec(name="y", datatype="FP32", shape=(-1,))),
)


def described(file: FileDescriptorProto) -> Iterator[tuple[str, ...]]:
    """Everything in a file that decides what is on the wire, one line each."""
    for service in file.service:
        for method in service.method:
            yield service.name, method.name, method.input_type, method.output_type
    for enum in file.enum_type:
        yield from ((enum.name, value.name, str(value.number)) for value in enum.value)
    pending = [(message.name, message) for message in file.message_type]
    while pending:
        name, message = pending.pop()
        pending += [(f"{name}.{nested.name}", nested) for nested in message.nested_type]
        for field in message.field:
            yield name, field.name, str(field.number), str(field.type), str(field.label), field.type_name


def test_our_messages_are_those_of_the_protocol() -> None:
    theirs = set()
    for module in (service_pb2, model_config_pb2):
        file = FileDescriptorProto()
        module.DESCRIPTOR.CopyToProto(file)
        theirs |= set(described(file))
    [ours] = FileDescriptorSet.FromString(messages.COMPILED).file
    assert len(list(described(ours))) > 100
    assert set(described(ours)) - theirs == set()


def infer_request(**changes: Any) -> Any:
    """A request that fits INTERFACE, with typed contents."""
    inputs = [
        {"name": "a", "datatype": "FP32", "shape": [1, 2], "contents": {"fp32_contents": [1, 2]}},
        {"name": "b", "datatype": "BYTES", "shape": [1], "contents": {"bytes_contents": [b"\xff"]}},
    ]
    return messages.REQUESTS["ModelInfer"](**{"model_name": "m", "inputs": inputs, **changes})


def one_input(**changes: Any) -> Any:
    first = {"name": "a", "datatype": "FP32", "shape": [1, 2], "contents": {"fp32_contents": [1, 2]}, **changes}
    return infer_request(inputs=[first])


def test_request_without_outputs_asks_for_all_and_without_id_has_none() -> None:
    request = codec.decode(infer_request(), INTERFACE)
    assert [output.name for output in request.outputs] == ["x", "y"]
    assert request.id is None
    assert request.inputs["b"].tolist() == [b"\xff"]
    assert codec.decode(infer_request(id="r"), INTERFACE).id == "r"


@pytest.mark.parametrize("kind", [*KINDS, "FP16", "BYTES"])
def test_raw_tensor_comes_back_as_it_went(kind: str) -> None:
    values = np.array([b"", b"\x00"], object) if kind == "BYTES" else np.array([0, 1], codec_type(kind))
    spec = TensorSpec(name="t", datatype=kind, shape=(-1,))
    answer = codec.encode("m", "v", "r.1", InferRequest("i", {}, (RequestedOutput("t", binary=True),)), {"t": values})
    response = messages.ModelInferResponse.FromString(answer)
    assert (response.model_name, response.model_version, response.id) == ("m", "v", "i")
    [output] = response.outputs
    request = infer_request(
        inputs=[{"name": output.name, "datatype": output.datatype, "shape": output.shape}],
        raw_input_contents=response.raw_output_contents,
    )
    back = codec.decode(request, Interface(inputs=(spec,), outputs=(spec,))).inputs["t"]
    assert back.dtype == values.dtype
    np.testing.assert_array_equal(back, values)


@pytest.mark.parametrize("kind", KINDS)
def test_typed_tensor_is_read_in_the_models_type(kind: str) -> None:
    spec = TensorSpec(name="t", datatype=kind, shape=(2, 1))
    size = "" if kind.endswith(("8", "16", "32")) and kind != "FP32" else kind[-2:]
    prefix = {"B": "bool", "I": "int", "U": "uint", "F": "fp"}[kind[0]]
    field = "bool_contents" if kind == "BOOL" else f"{prefix}{size}_contents"
    values = [True, False] if kind == "BOOL" else [1, 0]
    request = infer_request(inputs=[{"name": "t", "datatype": kind, "shape": [2, 1], "contents": {field: values}}])
    tensor = codec.decode(request, Interface(inputs=(spec,), outputs=(spec,))).inputs["t"]
    assert tensor.dtype == codec_type(kind)
    assert tensor.tolist() == [[1], [0]]


def codec_type(kind: str) -> str:
    return kind.lower().replace("fp", "float")


RAW = [b"\0" * 8, b""]
REGION = {"shared_memory_region": {"string_param": "r"}}


@pytest.mark.parametrize(
    ("request_", "problem"),
    [
        (infer_request(inputs=[]), "inputs lack 'a', 'b'"),
        (one_input(name="c"), "inputs[0].name 'c' is not known; the model has a, b"),
        (one_input(datatype="FP64"), "input 'a': datatype 'FP64'; it must be FP32"),
        (one_input(shape=[2]), "input 'a': shape [2] does not fit [-1, 2]"),
        (one_input(shape=[-1, 2]), "shape must be a list of sizes"),
        (one_input(shape=[2, 2]), "data has 2 elements, but shape says [2, 2]"),
        (one_input(contents={"fp64_contents": [1, 2]}), "data is in contents.fp64_contents; FP32 belongs in contents.fp32_"),
        (one_input(contents={"fp32_contents": [1, 2], "bool_contents": [True]}), "data is in contents.bool_contents"),
        (one_input(parameters=REGION), "input 'a': shared memory is not supported"),
        (infer_request(raw_input_contents=RAW[:1]), "raw_input_contents has 1 entries for 2 inputs"),
        (infer_request(raw_input_contents=RAW), "contents come beside raw_input_contents"),
        (infer_request(outputs=[{"name": "z"}]), "outputs[0].name 'z' is not known; the model has x, y"),
        (infer_request(outputs=[{"name": "x"}, {"name": "x"}]), "outputs name 'x' twice"),
        (infer_request(outputs=[{"name": "x", "parameters": REGION}]), "output 'x': shared memory is not supported"),
        (
            infer_request(outputs=[{"name": "x", "parameters": {"classification": {"int64_param": 3}}}]),
            "output 'x': the classification extension is not supported",
        ),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_named(request_: Any, problem: str) -> None:
    with pytest.raises(RequestError) as caught:
        codec.decode(request_, INTERFACE)
    assert caught.value.status == 400
    assert problem in caught.value.message


@pytest.mark.parametrize(("kind", "value"), [("INT8", 128), ("INT16", -(2**15) - 1), ("UINT8", 256)])
def test_number_that_its_typed_field_holds_and_its_datatype_does_not_is_refused(kind: str, value: int) -> None:
    spec = TensorSpec(name="t", datatype=kind, shape=(-1,))
    contents = {"int_contents" if kind[0] == "I" else "uint_contents": [value]}
    request = infer_request(inputs=[{"name": "t", "datatype": kind, "shape": [1], "contents": contents}])
    with pytest.raises(RequestError, match=f"{value} does not fit"):
        codec.decode(request, Interface(inputs=(spec,), outputs=(spec,)))


def test_half_precision_has_no_typed_form() -> None:
    spec = TensorSpec(name="t", datatype="FP16", shape=(-1,))
    request = infer_request(
        inputs=[{"name": "t", "datatype": "FP16", "shape": [1], "contents": {"fp32_contents": [1]}}]
    )
    with pytest.raises(RequestError, match="FP16 has no typed contents; send raw_input_contents"):
        codec.decode(request, Interface(inputs=(spec,), outputs=(spec,)))


def refused_as(content: bytes) -> int | None:
    """Return the status that the message is refused with, or None if it is read."""
    try:
        codec.decode(codec.parse("ModelInfer", content), INTERFACE)
    except RequestError as error:
        return error.status
    return None


# The first draws import parts of hypothesis, which takes seconds on a busy machine.
@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.binary(max_size=200))
def test_arbitrary_bytes_are_refused_and_never_crash(content: bytes) -> None:
    assert refused_as(content) == 400


@settings(max_examples=500, deadline=None)
@given(st.data())
def test_damaged_request_is_refused_or_read_and_never_crashes(data: st.DataObject) -> None:
    whole = infer_request(raw_input_contents=data.draw(st.sampled_from([[], RAW]))).SerializeToString()
    place = data.draw(st.integers(0, len(whole) - 1))
    damage = data.draw(st.binary(max_size=4))
    assert refused_as(whole[:place] + damage + whole[place + len(damage) :]) in {None, 400}
