"""The two models that every server answers with, as one ONNX file per version, and what their right answers are.

`points` is next to nothing (a 3x2 matrix product and a softmax), so that it shows the server alone; `digits` is the CNN
of the digits example. Normalisation and softmax are inside the graphs, so that no server does more than another. The
versions of a model differ in their constants, and so in their answers: whoever asks can tell which one replied.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
import onnxruntime as ort
from onnx import TensorProto, helper, numpy_helper

from e2e.demo.models import trained
from luntra_serving.bundle.manifest import Backend, Draft, Interface, SelfTest, TensorSpec
from luntra_serving.bundle.pack import pack
from luntra_serving.bundle.samples import write_samples

if TYPE_CHECKING:
    from pathlib import Path

    from e2e.kind.progress import Progress

VERSIONS = ("v1", "v2")
OUTPUT = "probabilities"
TOLERANCE = 1e-4
"""Largest absolute difference at which two answers count as the same probabilities."""

_OPSET = helper.make_opsetid("", 20)
_IR_VERSION = 10
_POINTS = {
    "v1": [[1.0, -1.0], [0.5, 2.0], [-1.5, 0.25]],
    "v2": [[-1.0, 1.0], [2.0, 0.5], [0.25, -1.5]],
}
_NORMALISATIONS = {"v1": (0.166, -0.81), "v2": (0.02, 0.0)}


@dataclass(frozen=True)
class Version:
    """One version: a packed bundle, the ONNX file in it, and the answer to the model's question, float32 [outputs]."""

    name: str
    folder: Path
    onnx: Path
    digest: str
    expected: tuple[float, ...]


@dataclass(frozen=True)
class Model:
    """A model with one input, float32 [-1, n], and one output `OUTPUT`; `row` is the question that is always asked."""

    name: str
    input: str
    row: tuple[float, ...]
    versions: dict[str, Version]

    @property
    def outputs(self) -> int:
        """How many numbers one answer has."""
        return len(self.versions["v1"].expected)

    def version_of(self, answer: list[float]) -> str | None:
        """The version that gave this answer, None if no version gives such a one."""
        for version in self.versions.values():
            if len(answer) == len(version.expected) and np.allclose(answer, version.expected, rtol=0, atol=TOLERANCE):
                return version.name
        return None


def points(folder: Path) -> Model:
    """Write the trivial model's versions below `folder`."""
    graphs = {
        version: _graph(
            "points",
            [
                helper.make_node("MatMul", ["points", "weights"], ["scores"]),
                helper.make_node("Softmax", ["scores"], [OUTPUT]),
            ],
            ("points", 3),
            2,
            [numpy_helper.from_array(np.array(weights, dtype=np.float32), "weights")],
        )
        for version, weights in _POINTS.items()
    }
    return _packed(folder, "points", "points", np.array([[0.5, 1.0, 2.0]], dtype=np.float32), graphs)


def digits(folder: Path, progress: Progress) -> Model:
    """Write the CNN's versions below `folder`, training it if that has not been done on this machine."""
    models = trained(progress)
    bundle, _ = models.bundle("v2")
    network = onnx.load(bundle / "model.onnx").graph
    with np.load(models.evaluation) as labelled:
        row = labelled["pixels"][:1].astype(np.float32)
    graphs = {version: _whole(network, *constants) for version, constants in _NORMALISATIONS.items()}
    return _packed(folder, "digits", "pixels", row, graphs)


def _whole(network: onnx.GraphProto, scale: float, offset: float) -> onnx.ModelProto:
    """The network with normalisation before it and softmax after it."""
    nodes = [
        helper.make_node("Mul", ["pixels", "norm_scale"], ["norm_scaled"]),
        helper.make_node("Add", ["norm_scaled", "norm_offset"], ["norm_pixels"]),
    ]
    for node in network.node:
        copy = onnx.NodeProto()
        copy.CopyFrom(node)
        copy.input[:] = ["norm_pixels" if name == "pixels" else name for name in node.input]
        nodes.append(copy)
    nodes.append(helper.make_node("Softmax", ["logits"], [OUTPUT]))
    constants = {"norm_scale": scale, "norm_offset": offset}
    weights = [numpy_helper.from_array(np.array(value, dtype=np.float32), name) for name, value in constants.items()]
    return _graph("digits", nodes, ("pixels", 64), 10, [*weights, *network.initializer])


def _graph(name: str, nodes: list[Any], source: tuple[str, int], outputs: int, weights: list[Any]) -> onnx.ModelProto:
    tensor = helper.make_tensor_value_info
    graph = helper.make_graph(
        nodes,
        name,
        [tensor(source[0], TensorProto.FLOAT, ["batch", source[1]])],
        [tensor(OUTPUT, TensorProto.FLOAT, ["batch", outputs])],
        weights,
    )
    model = helper.make_model(graph, opset_imports=[_OPSET], ir_version=_IR_VERSION)
    onnx.checker.check_model(model)
    return model


def _packed(
    folder: Path, name: str, source: str, row: np.ndarray[Any, Any], graphs: dict[str, onnx.ModelProto]
) -> Model:
    versions = {
        version: _pack(folder / name / version, name, version, source, row, graphs[version]) for version in graphs
    }
    return Model(name, source, tuple(float(value) for value in row[0]), versions)


def _pack(
    folder: Path, name: str, version: str, source: str, row: np.ndarray[Any, Any], graph: onnx.ModelProto
) -> Version:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "model.onnx"
    path.write_bytes(graph.SerializeToString(deterministic=True))
    session = ort.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    expected = session.run([OUTPUT], {source: row})[0]
    write_samples(folder / "samples.npz", {source: row}, {OUTPUT: expected})
    draft = Draft(
        name=name,
        version=version,
        backend=Backend(name="onnx", entry="model.onnx"),
        interface=Interface(
            inputs=(TensorSpec(name=source, datatype="FP32", shape=(-1, row.shape[1])),),
            outputs=(TensorSpec(name=OUTPUT, datatype="FP32", shape=(-1, expected.shape[1])),),
        ),
        selfTest=SelfTest(samples="samples.npz"),
    )
    bundle = pack(folder, draft)
    return Version(version, folder, path, bundle.digest, tuple(float(value) for value in expected[0]))
