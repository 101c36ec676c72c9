"""The Open Inference Protocol as a user's own client would speak it: bodies out, predictions in. Pure.

Written by hand on purpose: the checks use `tritonclient`, so the demo's client shows that a plain HTTP client is enough.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from luntra_operator.checks.dataset import LabelledSet, fit
from luntra_operator.checks.interface import Array, ModelInterface, TensorSpec

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True)
class Request:
    """One row, ready to be sent, and the label that it should get."""

    body: bytes
    headers: dict[str, str]
    label: int


def interface_of(metadata: Mapping[str, Any]) -> ModelInterface:
    """Read a model's metadata."""

    def specs(described: list[dict[str, Any]]) -> tuple[TensorSpec, ...]:
        return tuple(TensorSpec(one["name"], one["datatype"], tuple(one["shape"])) for one in described)

    return ModelInterface(specs(metadata["inputs"]), specs(metadata["outputs"]))


def requests(rows: LabelledSet, interface: ModelInterface) -> list[Request]:
    """Make one request per row: JSON and binary tensors in turn, so that both ways are exercised.

    A set with one array for a model with one input needs no right name.

    Raises:
        CheckError: the rows do not fit the model.
    """
    if len(rows.rows) == len(interface.inputs) == 1:
        rows = LabelledSet({interface.inputs[0].name: next(iter(rows.rows.values()))}, rows.labels)
    inputs = fit(rows, interface)
    datatypes = {spec.name: spec.datatype for spec in interface.inputs}
    made = []
    for index, label in enumerate(rows.labels):
        one = {name: array[index : index + 1] for name, array in inputs.items()}
        body, headers = (_binary if index % 2 else _json)(one, datatypes)
        made.append(Request(body, headers, int(label)))
    return made


def _json(inputs: dict[str, Array], datatypes: dict[str, str]) -> tuple[bytes, dict[str, str]]:
    tensors = [
        {"name": name, "shape": list(array.shape), "datatype": datatypes[name], "data": array.reshape(-1).tolist()}
        for name, array in inputs.items()
    ]
    return json.dumps({"inputs": tensors}).encode(), {"Content-Type": "application/json"}


def _binary(inputs: dict[str, Array], datatypes: dict[str, str]) -> tuple[bytes, dict[str, str]]:
    tensors = [
        {
            "name": name,
            "shape": list(array.shape),
            "datatype": datatypes[name],
            "parameters": {"binary_data_size": array.nbytes},
        }
        for name, array in inputs.items()
    ]
    head = json.dumps({"inputs": tensors}).encode()
    headers = {"Content-Type": "application/octet-stream", "Inference-Header-Content-Length": str(len(head))}
    return head + b"".join(array.tobytes() for array in inputs.values()), headers


def prediction(body: bytes) -> int:
    """Read the class of a one-row answer: its integer output, else the largest of its only float output.

    Raises:
        ValueError: the answer has another shape; the text says which.
    """
    try:
        outputs = json.loads(body)["outputs"]
        integers = [one for one in outputs if one["datatype"].startswith(("INT", "UINT"))]
        floats = [one for one in outputs if one["datatype"].startswith("FP")]
        chosen = integers or floats
        if len(chosen) != 1 or chosen[0]["shape"][0] != 1:
            raise ValueError(f"expected one output of one row, got {[(one['name'], one['shape']) for one in outputs]}")
        data = [number for row in chosen[0]["data"] for number in (row if isinstance(row, list) else [row])]
        if not data or len(data) != math.prod(chosen[0]["shape"]) or not all(map(math.isfinite, data)):
            raise ValueError(f"output {chosen[0]['name']} has shape {chosen[0]['shape']} and data {data}")
    except (KeyError, TypeError, IndexError, AttributeError) as error:
        raise ValueError(f"not an answer of the inference protocol: {body[:200]!r}") from error
    return int(data[0]) if integers else data.index(max(data))
