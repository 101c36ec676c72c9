"""Write what the protocol answers: inference results, metadata, errors. Pure functions from values to bytes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import orjson

from luntra_serving.server.protocol import tensors

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from luntra_serving.bundle.datatypes import Array
    from luntra_serving.bundle.manifest import Interface, TensorSpec
    from luntra_serving.server.protocol.request import InferRequest
    from luntra_serving.telemetry.stats import Parts, VersionStats


class Body(NamedTuple):
    """A body and its content type; `json_length` is set if raw tensor bytes follow that many bytes of JSON."""

    content: bytes
    content_type: str = "application/json"
    json_length: int | None = None


def write_json(value: object) -> bytes:
    """Return `value` as compact JSON."""
    return orjson.dumps(value)


def encode(model: str, version: str, request: InferRequest, outputs: Mapping[str, Array]) -> Body:
    """Return the answer to `request`: the outputs it asked for, in its order and in the forms it asked for."""
    entries = []
    raw = []
    for wanted in request.outputs:
        tensor = outputs[wanted.name]
        entry: dict[str, Any] = {
            "name": wanted.name,
            "datatype": tensors.datatype_of(tensor),
            "shape": list(tensor.shape),
        }
        if wanted.binary:
            content = tensors.to_bytes(tensor)
            entry["parameters"] = {"binary_data_size": len(content)}
            raw.append(content)
        else:
            entry["data"] = tensors.to_json(wanted.name, tensor)
        entries.append(entry)
    document: dict[str, Any] = {"model_name": model, "model_version": version, "outputs": entries}
    if request.id is not None:
        document["id"] = request.id
    head = write_json(document)
    if not raw:
        return Body(head)
    return Body(b"".join([head, *raw]), "application/octet-stream", len(head))


def error_body(message: str) -> bytes:
    """Return the protocol's error object."""
    return write_json({"error": message})


def server_metadata(version: str) -> bytes:
    """Return the answer to GET /v2.

    Statistics are answered but not announced: who looks for the announcement (perf_analyzer) takes versions for numbers.
    """
    extensions = ["binary_tensor_data", "model_configuration"]
    return write_json({"name": "luntra", "version": version, "extensions": extensions})


def model_metadata(model: str, version: str, platform: str, interface: Interface) -> bytes:
    """Return the answer to GET /v2/models/{model}."""
    return write_json(
        {
            "name": model,
            "versions": [version],
            "platform": platform,
            "inputs": [_spec(spec) for spec in interface.inputs],
            "outputs": [_spec(spec) for spec in interface.outputs],
        }
    )


def model_config(model: str, platform: str, backend: str, interface: Interface) -> dict[str, Any]:
    """Return what Triton's model configuration extension has of a model.

    `max_batch_size` is 0: the shapes of the interface are whole, with the batch's dimension if there is one.
    """
    return {
        "name": model,
        "platform": platform,
        "backend": backend,
        "max_batch_size": 0,
        "input": [_configured(spec) for spec in interface.inputs],
        "output": [_configured(spec) for spec in interface.outputs],
    }


def _configured(spec: TensorSpec) -> dict[str, Any]:
    kind = "TYPE_STRING" if spec.datatype == "BYTES" else f"TYPE_{spec.datatype}"
    return {"name": spec.name, "data_type": kind, "dims": list(spec.shape)}


def model_statistics(versions: Iterable[tuple[str, str, VersionStats]]) -> dict[str, Any]:
    """Return what the statistics extension has of each model's version, in nanoseconds.

    `success` and `fail` are from a request's arrival to its answer. The parts of a success are those of the execution that
    it shared, so that they say what one request went through; `batch_stats` has each execution once. A batch's size is in requests.
    """
    return {"model_stats": [_statistics(*counted) for counted in versions]}


def _statistics(model: str, version: str, stats: VersionStats) -> dict[str, Any]:
    good = stats.codes.get(200, 0)
    bad_seconds = max(0.0, stats.seconds - stats.good_seconds)
    return {
        "name": model,
        "version": version,
        "inference_count": good,
        "execution_count": stats.executions,
        "batch_stats": [{"batch_size": size, **_parts(stats.batches[size])} for size in sorted(stats.batches)],
        "inference_stats": {
            "queue": _duration(stats.parts.count, stats.queue_seconds),
            **_parts(stats.parts),
            "success": _duration(good, stats.good_seconds),
            "fail": _duration(stats.ended - good, bad_seconds),
        },
    }


def _parts(parts: Parts) -> dict[str, Any]:
    return {
        "compute_input": _duration(parts.count, parts.input),
        "compute_infer": _duration(parts.count, parts.infer),
        "compute_output": _duration(parts.count, parts.output),
    }


def _duration(count: int, seconds: float) -> dict[str, int]:
    return {"count": count, "ns": int(seconds * 1e9)}


def _spec(spec: TensorSpec) -> dict[str, Any]:
    return {"name": spec.name, "datatype": spec.datatype, "shape": list(spec.shape)}
