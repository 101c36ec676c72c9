"""Write the digits networks as bundles: ONNX or TorchScript, with normalisation constants and self-test samples.

Exports are stripped of what differs from one checkout to the next (stack traces with file names), so that the same
weights give the same digest wherever they are packed.
"""

from __future__ import annotations

import logging
import shutil
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING

import onnx
import torch

from luntra_serving.bundle.manifest import Backend, Draft, Interface, Normalisation, OutputStep, SelfTest, TensorSpec
from luntra_serving.bundle.pack import pack
from luntra_serving.bundle.samples import write_samples

if TYPE_CHECKING:
    from pathlib import Path

    from luntra_serving.bundle.datatypes import Array
    from luntra_serving.bundle.verify import Bundle

DIGITS = tuple("0123456789")
_ENTRIES = {"onnx": "model.onnx", "torchscript": "model.pt"}


@dataclass(frozen=True)
class Pipeline:
    """A network and the constants that its inputs are normalised with: `pixels * scale + offset`."""

    network: torch.nn.Module
    scale: float
    offset: float

    def probabilities(self, pixels: Array) -> Array:
        """Return [n, 10] probabilities for raw pixels [n, 64], computed by torch."""
        self.network.eval()
        with torch.inference_mode():
            logits = self.network(torch.from_numpy(pixels) * self.scale + self.offset)
            result: Array = torch.softmax(logits, dim=-1).numpy()
        return result


def write_bundle(folder: Path, version: str, pipeline: Pipeline, samples: Array, backend: str = "onnx") -> Bundle:
    """Write and pack the bundle of `pipeline` in `folder`, which is replaced; `samples` are raw pixels [n, 64].

    The recorded outputs are torch's, so the self-test compares two implementations of the network.
    """
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    entry = _ENTRIES[backend]
    export = {"onnx": _write_onnx, "torchscript": _write_torchscript}[backend]
    export(pipeline.network.eval(), folder / entry)
    write_samples(folder / "samples.npz", {"pixels": samples}, {"probabilities": pipeline.probabilities(samples)})
    draft = Draft(
        name="digits",
        version=version,
        backend=Backend(name=backend, entry=entry),
        interface=Interface(
            inputs=(TensorSpec(name="pixels", datatype="FP32", shape=(-1, 64)),),
            outputs=(TensorSpec(name="probabilities", datatype="FP32", shape=(-1, 10)),),
            labels={"probabilities": DIGITS},
        ),
        preprocessing=(Normalisation(input="pixels", scale=pipeline.scale, offset=pipeline.offset),),
        postprocessing=(OutputStep(output="probabilities", tensor="logits", step="softmax"),),
        selfTest=SelfTest(samples="samples.npz"),
    )
    return pack(folder, draft)


def _write_onnx(network: torch.nn.Module, path: Path) -> None:
    # The exporter lists every optional library that it does without.
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    program = torch.onnx.export(
        network,
        (torch.zeros(2, 64),),
        input_names=["pixels"],
        output_names=["logits"],
        dynamic_shapes=({0: torch.export.Dim("batch")},),
        dynamo=True,
        verbose=False,
    )
    if program is None:
        raise RuntimeError("torch.onnx.export returned no program; it needs dynamo=True and onnxscript")
    model = program.model_proto
    for part in (model, model.graph, *model.graph.node, *model.graph.input, *model.graph.output):
        part.ClearField("metadata_props")
    for value in (*model.graph.value_info, *model.graph.initializer):
        value.ClearField("metadata_props")
    for node in model.graph.node:
        node.ClearField("doc_string")
    onnx.checker.check_model(model)
    path.write_bytes(model.SerializeToString(deterministic=True))


def _write_torchscript(network: torch.nn.Module, path: Path) -> None:
    with warnings.catch_warnings():
        # torch announces the end of torch.jit; the TorchScript bundle is here to show that such models are served.
        warnings.filterwarnings("ignore", message="`torch.jit", category=FutureWarning)
        warnings.filterwarnings("ignore", message="`torch.jit", category=DeprecationWarning)
        # Frozen, because the submodules' attributes are otherwise written in an order that changes from run to run.
        torch.jit.save(torch.jit.freeze(torch.jit.script(network)), str(path))
