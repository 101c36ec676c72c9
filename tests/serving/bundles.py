"""Small real bundles for the tests of the serving side: ONNX graphs made on the spot."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from luntra_serving.backends.registry import loader_of
from luntra_serving.bundle.manifest import Draft
from luntra_serving.bundle.pack import pack
from luntra_serving.bundle.paths import MANIFEST
from luntra_serving.bundle.samples import write_samples

if TYPE_CHECKING:
    from pathlib import Path

    from luntra_serving.backends.protocol import LoadedModel
    from luntra_serving.bundle.verify import Bundle

WEIGHTS = np.array([[1.0, -1.0], [0.5, 2.0], [-1.5, 0.25]], dtype=np.float32)
SCALE, OFFSET = 0.5, -1.0
POINTS = np.array([[0.0, 1.0, 2.0], [3.0, -1.0, 0.5]], dtype=np.float32)


def load_model(bundle: Bundle, *, threads: int) -> LoadedModel:
    """Load a bundle with the backend that it names."""
    return loader_of(bundle.manifest.backend.name)(bundle, threads=threads)


def expected(points: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Return what the points bundle answers: softmax((points * SCALE + OFFSET) @ WEIGHTS)."""
    scores = (points * np.float32(SCALE) + np.float32(OFFSET)) @ WEIGHTS
    powers = np.exp(scores - scores.max(axis=-1, keepdims=True))
    result: np.ndarray[Any, Any] = (powers / powers.sum(axis=-1, keepdims=True)).astype(np.float32)
    return result


def points_draft(**changes: Any) -> dict[str, Any]:
    """Return the draft of the points bundle as plain data, with `changes` on top."""
    return {
        "name": "points",
        "version": "v1",
        "backend": {"name": "onnx", "entry": "model.onnx"},
        "interface": {
            "inputs": [{"name": "points", "datatype": "FP32", "shape": [-1, 3]}],
            "outputs": [{"name": "probabilities", "datatype": "FP32", "shape": [-1, 2]}],
            "labels": {"probabilities": ["left", "right"]},
        },
        "preprocessing": [{"input": "points", "scale": SCALE, "offset": OFFSET}],
        "postprocessing": [{"output": "probabilities", "tensor": "scores", "step": "softmax"}],
        "selfTest": {"samples": "samples.npz"},
        **changes,
    }


def points_files(folder: Path, samples: np.ndarray[Any, Any] | None = None) -> None:
    """Write the points bundle's files, unpacked; `samples` replaces the right recorded outputs."""
    folder.mkdir(parents=True, exist_ok=True)
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["points", "weights"], ["scores"])],
        "points",
        [helper.make_tensor_value_info("points", TensorProto.FLOAT, ["batch", 3])],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["batch", 2])],
        [numpy_helper.from_array(WEIGHTS, "weights")],
    )
    save(graph, folder / "model.onnx")
    outputs = expected(POINTS) if samples is None else samples
    write_samples(folder / "samples.npz", {"points": POINTS}, {"probabilities": outputs})


def points_bundle(folder: Path, *, samples: np.ndarray[Any, Any] | None = None, **changes: Any) -> Bundle:
    """Write and pack the points bundle."""
    points_files(folder, samples)
    return pack(folder, Draft.model_validate(points_draft(**changes)))


def spinner_bundle(folder: Path, *, version: str = "v1", sample: int = 2) -> Bundle:
    """Write and pack a model that multiplies matrices for `rounds` (INT64 [1]) rounds: slow exactly when asked to be.

    Its self-test asks for `sample` rounds.
    """
    folder.mkdir(parents=True, exist_ok=True)
    side = 160
    body = helper.make_graph(
        [
            helper.make_node("Identity", ["going"], ["still"]),
            helper.make_node("MatMul", ["state", "turn"], ["turned"]),
        ],
        "body",
        [
            helper.make_tensor_value_info("round", TensorProto.INT64, []),
            helper.make_tensor_value_info("going", TensorProto.BOOL, []),
            helper.make_tensor_value_info("state", TensorProto.FLOAT, [side, side]),
        ],
        [
            helper.make_tensor_value_info("still", TensorProto.BOOL, []),
            helper.make_tensor_value_info("turned", TensorProto.FLOAT, [side, side]),
        ],
    )
    graph = helper.make_graph(
        [
            helper.make_node("Squeeze", ["rounds"], ["count"]),
            helper.make_node("Loop", ["count", "", "turn"], ["final"], body=body),
            helper.make_node("ReduceMax", ["final"], ["top"], keepdims=0),
            helper.make_node("Unsqueeze", ["top", "axis"], ["result"]),
        ],
        "spinner",
        [helper.make_tensor_value_info("rounds", TensorProto.INT64, [1])],
        [helper.make_tensor_value_info("result", TensorProto.FLOAT, [1])],
        [
            numpy_helper.from_array(np.eye(side, dtype=np.float32), "turn"),
            numpy_helper.from_array(np.array([0], dtype=np.int64), "axis"),
        ],
    )
    save(graph, folder / "model.onnx")
    one = np.ones(1, dtype=np.float32)
    write_samples(folder / "samples.npz", {"rounds": np.array([sample], dtype=np.int64)}, {"result": one})
    draft = {
        "name": "spinner",
        "version": version,
        "backend": {"name": "onnx", "entry": "model.onnx"},
        "interface": {
            "inputs": [{"name": "rounds", "datatype": "INT64", "shape": [1]}],
            "outputs": [{"name": "result", "datatype": "FP32", "shape": [1]}],
        },
        "selfTest": {"samples": "samples.npz"},
    }
    return pack(folder, Draft.model_validate(draft))


def echo_bundle(folder: Path) -> Bundle:
    """Write and pack a model that returns its texts (BYTES), flags (BOOL) and large counts (UINT64) as they came."""
    folder.mkdir(parents=True, exist_ok=True)
    kinds = {
        "texts": ("BYTES", TensorProto.STRING),
        "flags": ("BOOL", TensorProto.BOOL),
        "counts": ("UINT64", TensorProto.UINT64),
    }
    graph = helper.make_graph(
        [helper.make_node("Identity", [name], [f"{name}_out"]) for name in kinds],
        "echo",
        [helper.make_tensor_value_info(name, code, ["n"]) for name, (_, code) in kinds.items()],
        [helper.make_tensor_value_info(f"{name}_out", code, ["n"]) for name, (_, code) in kinds.items()],
    )
    save(graph, folder / "model.onnx")
    arrays = {
        "texts": np.array([b"one", "zwölf".encode()], dtype=np.object_),
        "flags": np.array([True, False]),
        "counts": np.array([0, 2**64 - 1], dtype=np.uint64),
    }
    write_samples(folder / "samples.npz", arrays, {f"{name}_out": array for name, array in arrays.items()})
    draft = {
        "name": "echo",
        "version": "v7",
        "backend": {"name": "onnx", "entry": "model.onnx"},
        "interface": {
            "inputs": [{"name": name, "datatype": kind, "shape": [-1]} for name, (kind, _) in kinds.items()],
            "outputs": [{"name": f"{name}_out", "datatype": kind, "shape": [-1]} for name, (kind, _) in kinds.items()],
        },
        "selfTest": {"samples": "samples.npz"},
    }
    return pack(folder, Draft.model_validate(draft))


def target(bundle: Bundle, **more: Any) -> dict[str, Any]:
    """Return what a workload document says of a version, with `more` on top."""
    return {"version": bundle.manifest.version, "uri": bundle.folder.as_uri(), "digest": bundle.digest, **more}


def save(graph: onnx.GraphProto, path: Path) -> None:
    """Write `graph` as a checked ONNX file."""
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    onnx.checker.check_model(model)
    path.write_bytes(model.SerializeToString())


def replace_text(folder: Path, old: str, new: str) -> str:
    """Replace `old` by `new` in a packed folder's manifest, as an attacker would; return the digest of the result."""
    path = folder / MANIFEST
    content = path.read_text()
    assert old in content, f"{old!r} is not in the manifest"
    path.write_text(content.replace(old, new))
    return "sha256:" + hashlib.sha256(path.read_bytes()).hexdigest()
