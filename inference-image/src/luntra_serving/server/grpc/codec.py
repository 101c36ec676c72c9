"""Read and write the messages of ModelInfer and ModelStreamInfer: tensors in, tensors out. Pure functions; no sockets, no models.

Source: Open Inference Protocol v2, gRPC, ModelInferRequest and ModelInferResponse; Triton's ModelStreamInferResponse. Inputs come
raw or typed; outputs always go raw, which is what clients ask for and costs one copy.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from google.protobuf.message import DecodeError

from luntra_serving.errors import RequestError
from luntra_serving.server.grpc.messages import REQUESTS, ModelInferResponse, ModelStreamInferResponse
from luntra_serving.server.protocol import request as wire
from luntra_serving.server.protocol import tensors
from luntra_serving.server.request_ids import HEADER

if TYPE_CHECKING:
    from collections.abc import Mapping

    from luntra_serving.bundle.datatypes import Array
    from luntra_serving.bundle.manifest import Interface, TensorSpec

_TYPED = {
    "BOOL": "bool_contents",
    "INT8": "int_contents",
    "INT16": "int_contents",
    "INT32": "int_contents",
    "INT64": "int64_contents",
    "UINT8": "uint_contents",
    "UINT16": "uint_contents",
    "UINT32": "uint_contents",
    "UINT64": "uint64_contents",
    "FP32": "fp32_contents",
    "FP64": "fp64_contents",
    "BYTES": "bytes_contents",
}
"""Datatype -> its field of InferTensorContents; FP16 has none."""
_INFER_RESPONSE = b"\x12"
"""Field 2 of ModelStreamInferResponse, of a kind that has a length."""


def parse(method: str, content: bytes) -> Any:
    """Return the request message of `method` in `content`. Raises RequestError (400)."""
    try:
        return REQUESTS[method].FromString(content)
    except DecodeError as error:
        raise RequestError(400, f"the message is no {method}Request: {error}") from error


def decode(message: Any, interface: Interface) -> wire.InferRequest:
    """Return the request in a ModelInferRequest. Raises RequestError (400)."""
    specs = interface.named_inputs
    raw = message.raw_input_contents
    if raw and len(raw) != len(message.inputs):
        raise RequestError(
            400,
            f"raw_input_contents has {len(raw)} entries for {len(message.inputs)} inputs; send one for each, or none",
        )
    inputs: dict[str, Array] = {}
    for place, tensor in enumerate(message.inputs):
        spec = wire.spec_of(f"inputs[{place}]", tensor.name, specs)
        wire.refuse_twice(spec, inputs)
        wire.refuse_shared_memory(f"input {spec.name!r}", tensor.parameters)
        shape = wire.shape_of(spec, tensor.datatype, list(tensor.shape))
        if not raw:
            inputs[spec.name] = _typed(spec, shape, tensor.contents)
        elif tensor.HasField("contents"):
            raise _bad(spec, "contents come beside raw_input_contents; send the data once")
        else:
            inputs[spec.name] = tensors.from_bytes(spec, shape, memoryview(raw[place]))
    wire.refuse_missing(specs, inputs)
    outputs = [{"name": output.name, "parameters": _values(output.parameters)} for output in message.outputs]
    return wire.InferRequest(message.id or None, inputs, wire.outputs_of(outputs, interface, binary=True))


def encode(
    model: str, version: str, request_id: str, request: wire.InferRequest, outputs: Mapping[str, Array]
) -> bytes:
    """Return the ModelInferResponse to `request`, which the server calls `request_id`: the outputs it asked for, in its order."""
    wanted = [(output.name, outputs[output.name]) for output in request.outputs]
    response = ModelInferResponse(
        model_name=model,
        model_version=version,
        id=request.id,
        parameters={HEADER: {"string_param": request_id}},
        outputs=[
            {"name": name, "datatype": tensors.datatype_of(tensor), "shape": tensor.shape} for name, tensor in wanted
        ],
        raw_output_contents=[tensors.to_bytes(tensor) for _, tensor in wanted],
    )
    content: bytes = response.SerializeToString()
    return content


def streamed(response: bytes) -> bytes:
    """Return the ModelStreamInferResponse with a ModelInferResponse as `encode` returns it, without reading that again.

    A message in a message is its field's number and kind, its length, and its bytes (protobuf's encoding, "Submessages").
    """
    prefix, rest = bytearray(_INFER_RESPONSE), len(response)
    while rest > 0x7F:  # a varint: seven bits in each byte, the lowest first; the top bit says that more follow
        prefix.append(rest & 0x7F | 0x80)
        rest >>= 7
    prefix.append(rest)
    return bytes(prefix) + response


def stream_error(request: str, error: RequestError) -> bytes:
    """Return the ModelStreamInferResponse that says why the request of that id has no answer; Triton names the id so, too."""
    content: bytes = ModelStreamInferResponse(
        error_message=error.message, infer_response={"id": request}
    ).SerializeToString()
    return content


def _typed(spec: TensorSpec, shape: tuple[int, ...], contents: Any) -> Array:
    field = _TYPED.get(spec.datatype)
    if field is None:
        raise _bad(spec, f"{spec.datatype} has no typed contents; send raw_input_contents")
    others = [one.name for one, _ in contents.ListFields() if one.name != field]
    if others:
        raise _bad(spec, f"the data is in contents.{others[0]}; {spec.datatype} belongs in contents.{field}")
    elements = list(getattr(contents, field))
    if spec.datatype == "BYTES":
        return tensors.from_elements(spec, shape, elements)
    return tensors.from_json(spec, shape, elements)


def _values(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Parameters as JSON would have them; one without a value is None."""
    chosen = {name: parameter.WhichOneof("parameter_choice") for name, parameter in parameters.items()}
    return {name: getattr(parameters[name], kind) if kind else None for name, kind in chosen.items()}


def _bad(spec: TensorSpec, problem: str) -> RequestError:
    return RequestError(400, f"input {spec.name!r}: {problem}")
