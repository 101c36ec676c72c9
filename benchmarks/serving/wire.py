"""The question as it goes over the wire, and what an answer says: Open Inference Protocol v2, JSON and binary tensors.

Pure. Source: the protocol's "Inference Request JSON Object" and the binary tensor data extension, which puts the raw
tensors behind a JSON header whose length is in `Inference-Header-Content-Length`.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping

    from benchmarks.serving.models import Model

Encoding = Literal["json", "binary"]
LENGTH = "inference-header-content-length"


@dataclass(frozen=True)
class Question:
    """A request's body and headers."""

    body: bytes
    headers: dict[str, str]

    def to_bytes(self, host: str, path: str) -> bytes:
        """The whole HTTP/1.1 request."""
        lines = [f"POST {path} HTTP/1.1", f"Host: {host}", f"Content-Length: {len(self.body)}"]
        lines += [f"{name}: {value}" for name, value in self.headers.items()]
        return "\r\n".join([*lines, "", ""]).encode() + self.body


def question(model: Model, encoding: Encoding) -> Question:
    """The model's question, whose answer is wanted in the same encoding."""
    from benchmarks.serving.models import OUTPUT

    tensor: dict[str, Any] = {"name": model.input, "datatype": "FP32", "shape": [1, len(model.row)]}
    if encoding == "json":
        document: dict[str, Any] = {"inputs": [{**tensor, "data": list(model.row)}], "outputs": [{"name": OUTPUT}]}
        return Question(json.dumps(document).encode(), {"Content-Type": "application/json"})
    raw = np.array(model.row, dtype="<f4").tobytes()
    inputs = [{**tensor, "parameters": {"binary_data_size": len(raw)}}]
    outputs = [{"name": OUTPUT, "parameters": {"binary_data": True}}]
    header = json.dumps({"inputs": inputs, "outputs": outputs}).encode()
    kind = {"Content-Type": "application/octet-stream", "Inference-Header-Content-Length": str(len(header))}
    return Question(header + raw, kind)


def answer(body: bytes, headers: Mapping[str, str]) -> list[float]:
    """The numbers of an answer's only output; `headers` have lower-case names.

    Raises:
        ValueError: the body is not such an answer.
    """
    length = int(headers.get(LENGTH, len(body)))
    try:
        output = json.loads(body[:length])["outputs"][0]
        values = output["data"] if "data" in output else np.frombuffer(body[length:], "<f4")
    except (KeyError, IndexError, TypeError, ValueError) as error:
        raise ValueError(f"the answer is not one of the protocol's: {body[:200]!r}") from error
    return [float(value) for value in np.asarray(values, dtype=np.float32).reshape(-1)]
