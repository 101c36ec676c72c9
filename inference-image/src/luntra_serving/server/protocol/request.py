"""Read an inference request: JSON alone, or a JSON header followed by the inputs' raw bytes.

Source: Open Inference Protocol v2, "Inference Request JSON Object", and its binary tensor data extension (header
`Inference-Header-Content-Length`). Nothing is guessed: what does not fit the model's interface is an error that names
the field. The public checks below `decode` know no JSON: a request over gRPC passes them, too.
"""

from __future__ import annotations

import json
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

import orjson

from luntra_serving.errors import RequestError
from luntra_serving.server.protocol import tensors

if TYPE_CHECKING:
    from collections.abc import Iterable

    from luntra_serving.bundle.datatypes import Array
    from luntra_serving.bundle.manifest import Interface, TensorSpec

_LARGEST = 2**62


class RequestedOutput(NamedTuple):
    """One output that the client wants, and whether as raw bytes."""

    name: str
    binary: bool


class InferRequest(NamedTuple):
    """A request that fits the interface: every input is there, of its datatype and shape."""

    id: str | None
    inputs: dict[str, Array]
    outputs: tuple[RequestedOutput, ...]


def header_length(value: str | None, body_length: int) -> int:
    """Return how many bytes of the body are JSON, from the header `Inference-Header-Content-Length` if there is one."""
    if value is None:
        return body_length
    if not (value.isascii() and value.isdigit() and len(value) < 20) or int(value) > body_length:
        raise RequestError(
            400,
            f"header Inference-Header-Content-Length is {value!r}; it must be the length of the JSON part in bytes, "
            f"0 to {body_length} here",
        )
    return int(value)


def decode(body: bytes, json_length: int, interface: Interface) -> InferRequest:
    """Return the request in `body`, whose first `json_length` bytes are JSON. Raises RequestError (400)."""
    document = _object("the request", _json(body if json_length == len(body) else body[:json_length]))
    parameters = _object("parameters", document.get("parameters", {}))
    identity = document.get("id")
    if identity is not None and not isinstance(identity, str):
        raise RequestError(400, f"id must be a text, not {type(identity).__name__}")
    inputs = _inputs(document.get("inputs"), memoryview(body)[json_length:], interface)
    default = _flag("parameters.binary_data_output", parameters.get("binary_data_output", False))
    return InferRequest(identity, inputs, outputs_of(document.get("outputs"), interface, default))


def spec_of(field: str, name: Any, specs: dict[str, TensorSpec]) -> TensorSpec:
    """Return the spec of the tensor of that name, which `field` has. Raises RequestError (400)."""
    if not isinstance(name, str) or name not in specs:
        raise RequestError(400, f"{field}.name {name!r} is not known; the model has {', '.join(specs)}")
    return specs[name]


def shape_of(spec: TensorSpec, datatype: Any, shape: Any) -> tuple[int, ...]:
    """Return the shape that a client gives a tensor of `spec`. Raises RequestError (400) if it or the datatype is not the model's."""
    if datatype != spec.datatype:
        raise RequestError(400, f"input {spec.name!r}: datatype {datatype!r}; it must be {spec.datatype}")
    if not isinstance(shape, list) or not _are_sizes(shape):
        raise RequestError(400, f"input {spec.name!r}: shape must be a list of sizes, not {shape!r}")
    if not spec.accepts(shape):
        raise RequestError(400, f"input {spec.name!r}: shape {shape} does not fit {list(spec.shape)} (-1: any size)")
    return tuple(shape)


def _are_sizes(shape: list[Any]) -> bool:
    for size in shape:  # noqa: SIM110 - a generator costs each request more than the loop
        if type(size) is not int or not 0 <= size < _LARGEST:
            return False
    return True


def refuse_twice(spec: TensorSpec, inputs: dict[str, Array]) -> None:
    """Raise RequestError (400) if a tensor of `spec` is among the inputs already."""
    if spec.name in inputs:
        raise RequestError(400, f"inputs name {spec.name!r} twice")


def refuse_missing(specs: dict[str, TensorSpec], inputs: dict[str, Array]) -> None:
    """Raise RequestError (400) if the inputs are not complete."""
    missing = [name for name in specs if name not in inputs]
    if missing:
        raise RequestError(400, f"inputs lack {', '.join(map(repr, missing))}; the model takes {', '.join(specs)}")


def refuse_shared_memory(field: str, parameters: Iterable[str]) -> None:
    """Raise RequestError (400) if a tensor's parameters say that its data is not in the message."""
    if any(name.startswith("shared_memory") for name in parameters):
        raise RequestError(400, f"{field}: shared memory is not supported; send the data itself")


def outputs_of(entries: Any, interface: Interface, binary: bool) -> tuple[RequestedOutput, ...]:
    """Return which outputs the entries ask for, all if none; `binary` unless an entry says else. Raises RequestError (400)."""
    specs = interface.named_outputs
    if entries is None or entries == []:
        return _all_of(tuple(specs), binary)
    if not isinstance(entries, list):
        raise RequestError(400, f"outputs must be a list; the model gives {', '.join(specs)}")
    wanted: dict[str, RequestedOutput] = {}
    for place, entry in enumerate(entries):
        field = f"outputs[{place}]"
        output = _object(field, entry)
        spec = spec_of(field, output.get("name"), specs)
        if spec.name in wanted:
            raise RequestError(400, f"outputs name {spec.name!r} twice")
        parameters = _object(f"{field}.parameters", output.get("parameters", {}))
        refuse_shared_memory(f"output {spec.name!r}", parameters)
        if parameters.get("classification"):
            raise RequestError(400, f"output {spec.name!r}: the classification extension is not supported")
        flag = _flag(f"{field}.parameters.binary_data", parameters.get("binary_data", binary))
        wanted[spec.name] = RequestedOutput(spec.name, flag)
    return tuple(wanted.values())


@lru_cache(256)
def _all_of(names: tuple[str, ...], binary: bool) -> tuple[RequestedOutput, ...]:
    return tuple(RequestedOutput(name, binary) for name in names)


def _json(content: bytes) -> Any:
    try:
        return orjson.loads(content)
    except orjson.JSONDecodeError:
        pass  # Python's own parser takes a little more (a text with half a surrogate pair), and says better what is wrong
    try:
        return json.loads(content, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise RequestError(400, f"the request is not JSON: {error}") from error


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON; send such values as binary data")


def _object(field: str, value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise RequestError(400, f"{field} must be a JSON object, not {type(value).__name__}")
    return value


def _flag(field: str, value: Any) -> bool:
    if not isinstance(value, bool):
        raise RequestError(400, f"{field} must be true or false, not {value!r}")
    return value


def _inputs(entries: Any, raw: memoryview, interface: Interface) -> dict[str, Array]:
    specs = interface.named_inputs
    if not isinstance(entries, list):
        raise RequestError(400, f"inputs must be a list of tensors; the model takes {', '.join(specs)}")
    inputs: dict[str, Array] = {}
    taken = 0
    for place, entry in enumerate(entries):
        field = f"inputs[{place}]"
        tensor = _object(field, entry)
        spec = spec_of(field, tensor.get("name"), specs)
        refuse_twice(spec, inputs)
        shape = shape_of(spec, tensor.get("datatype"), tensor.get("shape"))
        size = _binary_size(spec, tensor)
        if size is None:
            inputs[spec.name] = tensors.from_json(spec, shape, tensor["data"])
            continue
        if taken + size > len(raw):
            message = f"claims {size} bytes of binary data, but {len(raw) - taken} are left after the JSON part"
            raise RequestError(400, f"input {spec.name!r} {message}")
        inputs[spec.name] = tensors.from_bytes(spec, shape, raw[taken : taken + size])
        taken += size
    if taken != len(raw):
        raise RequestError(400, f"{len(raw) - taken} bytes of binary data belong to no input; check binary_data_size")
    refuse_missing(specs, inputs)
    return inputs


def _binary_size(spec: TensorSpec, tensor: dict[str, Any]) -> int | None:
    size = None
    if "parameters" in tensor:
        parameters = _object(f"input {spec.name!r}: parameters", tensor["parameters"])
        refuse_shared_memory(f"input {spec.name!r}", parameters)
        size = parameters.get("binary_data_size")
    if (size is None) == ("data" not in tensor):
        raise RequestError(400, f"input {spec.name!r} needs either data or parameters.binary_data_size")
    if size is not None and (type(size) is not int or size < 0):
        raise RequestError(400, f"input {spec.name!r}: binary_data_size must be a number of bytes, not {size!r}")
    return size
