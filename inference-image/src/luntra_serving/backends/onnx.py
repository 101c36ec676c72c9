"""ONNX models through onnxruntime, on the CPU. The only importer of onnxruntime.

Thread counts follow the cores that the container may use, not those of the machine, and idle threads do not spin: a
pod with half a core would otherwise burn its quota waiting.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import numpy as np

# onnxruntime reports its use to its maker, and keeps an identifier in the home folder, unless this is set before it is
# loaded. A server in somebody's cluster talks to nobody that it was not told to.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

import onnxruntime as ort

from luntra_serving.backends.archive import refuse_bare_pickle
from luntra_serving.bundle.processing import model_tensors
from luntra_serving.errors import PermanentLoadError, Reason, RequestError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from luntra_serving.bundle.datatypes import Array
    from luntra_serving.bundle.verify import Bundle

_FAULTS = (
    ort.capi.onnxruntime_pybind11_state.Fail,
    ort.capi.onnxruntime_pybind11_state.InvalidArgument,
    ort.capi.onnxruntime_pybind11_state.InvalidGraph,
    ort.capi.onnxruntime_pybind11_state.InvalidProtobuf,
    ort.capi.onnxruntime_pybind11_state.NoSuchFile,
    ort.capi.onnxruntime_pybind11_state.NotImplemented,
    ort.capi.onnxruntime_pybind11_state.RuntimeException,
    ort.capi.onnxruntime_pybind11_state.EPFail,
)
_ONLY_ERRORS = 3
_WITHIN = "while running"
"""In what onnxruntime says of a node that failed; what it refuses before it runs any has other words."""


class OnnxModel:
    """One inference session; onnxruntime allows concurrent runs of it."""

    platform = "onnxruntime_onnx"
    device = "cpu"

    def __init__(self, session: Any, outputs: list[str]) -> None:
        self._session = session
        self._outputs = outputs
        self._texts = {tensor.name for tensor in session.get_inputs() if tensor.type == "tensor(string)"}

    def infer(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """See `LoadedModel.infer`; batches of any size run unless the graph fixes one."""
        feed = {name: _texts(name, array) if name in self._texts else array for name, array in inputs.items()}
        try:
            results = self._session.run(self._outputs, feed)
        except ort.capi.onnxruntime_pybind11_state.InvalidArgument as error:
            if _WITHIN in str(error):
                raise  # a Gather beyond its table: what fits the interface and fails within is the model's fault
            raise RequestError(400, f"the model refuses these inputs: {error}") from error
        return {name: _bytes(array) for name, array in zip(self._outputs, results, strict=True)}

    def close(self) -> None:
        """Drop the session, and with it the weights."""
        self._session = None


def load(bundle: Bundle, *, threads: int) -> OnnxModel:
    """Load the bundle's entry file. Raises PermanentLoadError: UnsafeModel, LoadFailed, or InvalidBundle if names disagree."""
    refuse_bare_pickle(bundle.entry)
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = _ONLY_ERRORS
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    try:
        session = ort.InferenceSession(str(bundle.entry), sess_options=options, providers=["CPUExecutionProvider"])
    except _FAULTS as error:
        problem = f"onnxruntime {ort.__version__} cannot load {bundle.manifest.backend.entry!r}: {error}"
        raise PermanentLoadError(Reason.LOAD_FAILED, problem) from error
    wanted = model_tensors(bundle.manifest)
    _same_names("inputs", {tensor.name for tensor in session.get_inputs()}, _interface_inputs(bundle), exact=True)
    _same_names("outputs", {tensor.name for tensor in session.get_outputs()}, wanted, exact=False)
    return OnnxModel(session, sorted(wanted))


def _interface_inputs(bundle: Bundle) -> set[str]:
    return {spec.name for spec in bundle.manifest.interface.inputs}


def _same_names(kind: str, model: set[str], bundle: set[str], *, exact: bool) -> None:
    wrong = bundle - model or (model - bundle if exact else set())
    if wrong:
        raise PermanentLoadError(
            Reason.INVALID_BUNDLE,
            f"the {kind} of model.yaml and of the ONNX graph disagree about {', '.join(sorted(wrong))}: the graph has "
            f"{', '.join(sorted(model))}; use the graph's names in model.yaml",
        )


def _texts(name: str, array: Array) -> Array:
    """Return `array` of bytes as one of str, which is what onnxruntime takes for string tensors."""
    try:
        texts = [element.decode() for element in array.reshape(-1)]
    except UnicodeDecodeError as error:
        raise RequestError(
            400, f"input {name!r}: this model takes UTF-8 text, and an element is not: {error}"
        ) from error
    return np.array(texts, dtype=np.object_).reshape(array.shape)


def _bytes(array: Array) -> Array:
    if array.dtype != np.object_:
        return array
    encoded = [element.encode() if isinstance(element, str) else element for element in array.reshape(-1)]
    return np.array(encoded, dtype=np.object_).reshape(array.shape)
