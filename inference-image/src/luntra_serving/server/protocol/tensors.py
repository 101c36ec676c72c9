"""Tensors in their two wire forms: JSON lists and raw little-endian bytes.

Source: Open Inference Protocol v2, "Tensor Data", and its binary tensor data extension. Every function names the
tensor in its errors, and raises RequestError (400) for what a client got wrong.
"""

from __future__ import annotations

import math
import struct
from typing import TYPE_CHECKING, Any

import numpy as np

from luntra_serving.bundle.datatypes import DATATYPES, NUMPY_TYPES, Array
from luntra_serving.errors import RequestError

if TYPE_CHECKING:
    from luntra_serving.bundle.manifest import TensorSpec

_LENGTH = struct.Struct("<I")

_TAKEN = {"b": "b", "u": "iu", "i": "iu", "f": "iuf"}
"""Kind of a numpy type -> the kinds that JSON numbers for it may have."""

_FEW = 32
"""Elements up to which Python looks at each one faster than numpy at all of them."""


def from_json(spec: TensorSpec, shape: tuple[int, ...], data: Any) -> Array:
    """Return the tensor that `data`, flat or nested as `shape`, stands for."""
    if not isinstance(data, list):
        raise _bad(spec, f"data must be a list, not {type(data).__name__}")
    try:
        values = _texts(data) if spec.datatype == "BYTES" else _numbers(spec, data)
    except (ValueError, TypeError, OverflowError) as error:
        raise _bad(spec, f"data cannot be read as {spec.datatype}: {error}") from error
    if values.shape != shape and (values.ndim != 1 or values.size != math.prod(shape)):
        found = f"{values.size} elements" if values.ndim == 1 else f"the shape {list(values.shape)}"
        raise _bad(spec, f"data has {found}, but shape says {list(shape)}, which is {math.prod(shape)} elements")
    return values.reshape(shape)


def _numbers(spec: TensorSpec, data: list[Any]) -> Array:
    target = NUMPY_TYPES[spec.datatype]
    values: Array = np.asarray(data)
    if values.size == 0:
        return values.astype(target)
    if values.dtype.kind == "f" and target.kind == "u":
        # numpy reads integers on both sides of 2**63 as floats; ask for the elements themselves.
        values = _large_integers(data)
    if values.dtype.kind not in _TAKEN[target.kind]:
        raise ValueError(f"elements look like {values.dtype}")
    if target.kind in "iu":
        limits = np.iinfo(target)
        low, high = int(values.min()), int(values.max())
        if low < limits.min or high > limits.max:
            raise ValueError(
                f"{low if low < limits.min else high} does not fit; the range is {limits.min}..{limits.max}"
            )
    try:
        return _converted(values, target)
    except FloatingPointError:
        raise ValueError("a number is too large") from None


@np.errstate(over="raise")  # around the function: as a block in it, it costs a small tensor twice as much
def _converted(values: Array, target: np.dtype[Any]) -> Array:
    return values.astype(target)


def _large_integers(data: list[Any]) -> Array:
    values: Array = np.asarray(data, dtype=np.object_)
    if not all(type(element) is int for element in values.reshape(-1)):
        raise ValueError("elements look like float64")
    return values.astype(np.uint64)


def _texts(data: list[Any]) -> Array:
    values: Array = np.array(data, dtype=np.object_)
    flat = values.reshape(-1)
    for place, element in enumerate(flat):
        if not isinstance(element, str):
            raise TypeError(f"element {place} is {type(element).__name__}, not a text")
        flat[place] = element.encode()
    return values


def from_bytes(spec: TensorSpec, shape: tuple[int, ...], raw: memoryview) -> Array:
    """Return the tensor of `shape` in `raw`; numeric ones are read-only views of it."""
    if spec.datatype == "BYTES":
        return _split(spec, shape, raw)
    dtype = NUMPY_TYPES[spec.datatype]
    expected = math.prod(shape) * dtype.itemsize
    if len(raw) != expected:
        raise _bad(spec, f"binary data has {len(raw)} bytes, but {spec.datatype} {list(shape)} takes {expected}")
    if dtype == np.bool_ and len(raw) and int(np.frombuffer(raw, dtype=np.uint8).max()) > 1:
        raise _bad(spec, "binary data of a BOOL holds a byte that is neither 0 nor 1")
    return np.frombuffer(raw, dtype=dtype.newbyteorder("<")).astype(dtype, copy=False).reshape(shape)


def _split(spec: TensorSpec, shape: tuple[int, ...], raw: memoryview) -> Array:
    elements: list[bytes] = []
    place = 0
    while place < len(raw):
        if place + _LENGTH.size > len(raw):
            raise _bad(spec, f"binary data ends within the length of element {len(elements)}")
        (length,) = _LENGTH.unpack_from(raw, place)
        place += _LENGTH.size
        if place + length > len(raw):
            rest = len(raw) - place
            raise _bad(spec, f"element {len(elements)} claims {length} bytes, but {rest} are left")
        elements.append(bytes(raw[place : place + length]))
        place += length
    return from_elements(spec, shape, elements)


def from_elements(spec: TensorSpec, shape: tuple[int, ...], elements: list[bytes]) -> Array:
    """Return the BYTES tensor of these elements."""
    if len(elements) != math.prod(shape):
        raise _bad(spec, f"binary data has {len(elements)} elements, but shape {list(shape)} takes {math.prod(shape)}")
    values: Array = np.empty(len(elements), dtype=np.object_)
    values[:] = elements
    return values.reshape(shape)


def to_json(name: str, tensor: Array) -> list[Any]:
    """Return `tensor` as a flat list of JSON values.

    Raises RequestError (400) for bytes that are no UTF-8 and 500 for NaN and infinity: JSON has no way to write them.
    """
    flat = tensor.reshape(-1)
    if tensor.dtype == np.object_:
        try:
            return [element.decode() for element in flat]
        except UnicodeDecodeError as error:
            raise RequestError(400, f"output {name!r} holds bytes that are not UTF-8; ask for binary_data") from error
    values: list[Any] = flat.tolist()
    if tensor.dtype.kind == "f" and not (
        all(map(math.isfinite, values)) if len(values) <= _FEW else np.isfinite(flat).all()
    ):
        raise RequestError(500, f"output {name!r} holds NaN or infinity, which JSON cannot carry; ask for binary_data")
    return values


def to_bytes(tensor: Array) -> bytes:
    """Return `tensor` as raw little-endian bytes; BYTES elements with a four-byte length before each."""
    if tensor.dtype == np.object_:
        return b"".join(_LENGTH.pack(len(element)) + element for element in tensor.reshape(-1))
    return tensor.astype(tensor.dtype.newbyteorder("<"), copy=False).tobytes()


def datatype_of(tensor: Array) -> str:
    """Return the protocol's name for the tensor's numpy type."""
    return DATATYPES[tensor.dtype]


def _bad(spec: TensorSpec, problem: str) -> RequestError:
    return RequestError(400, f"input {spec.name!r}: {problem}")
