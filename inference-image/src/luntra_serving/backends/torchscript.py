"""TorchScript models through `torch.jit`, on the CPU. The only importer of torch.

`torch.jit.load` reads its archive with torch's own C++ unpickler, which runs no Python; `torch.load` would. What is
not recognisably a TorchScript archive (a bare pickle, the zip of `torch.save`) is refused before torch is handed the
file: see `archive`.
"""

from __future__ import annotations

import threading
import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from luntra_serving.backends.archive import refuse_disguised_pickle
from luntra_serving.errors import PermanentLoadError, Reason

if TYPE_CHECKING:
    from collections.abc import Mapping

    from luntra_serving.bundle.datatypes import Array
    from luntra_serving.bundle.verify import Bundle

# torch leaves torch.jit without types; where torch is not installed all of it is Any.
_jit: Any = torch.jit
_threads_set = threading.Event()


class TorchScriptModel:
    """A scripted or traced module. Inputs go in by position in the interface's order, since tracing loses names."""

    platform = "pytorch_torchscript"
    device = "cpu"

    def __init__(self, module: Any, inputs: list[str], outputs: list[str]) -> None:
        self._module = module
        self._inputs = inputs
        self._outputs = outputs

    def infer(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """See `LoadedModel.infer`."""
        # A request's tensors may be views of its body, which is read-only; torch wants memory that it could write.
        tensors = [torch.from_numpy(np.require(inputs[name], requirements=["C", "W"])) for name in self._inputs]
        with torch.inference_mode():
            return self._named(self._module(*tensors))

    def _named(self, result: Any) -> dict[str, Array]:
        if isinstance(result, dict):
            return {name: result[name].numpy() for name in self._outputs}
        results = result if isinstance(result, tuple | list) else (result,)
        if len(results) != len(self._outputs):
            raise RuntimeError(f"the module returns {len(results)} tensors, the bundle names {len(self._outputs)}")
        return {name: tensor.numpy() for name, tensor in zip(self._outputs, results, strict=True)}

    def close(self) -> None:
        """Drop the module, and with it the weights."""
        self._module = None


def load(bundle: Bundle, *, threads: int) -> TorchScriptModel:
    """Load the bundle's entry file. Raises PermanentLoadError: UnsafeModel, LoadFailed or InvalidBundle."""
    texts = [spec.name for spec in bundle.manifest.interface.inputs if spec.datatype == "BYTES"]
    if texts:
        problem = f"input {texts[0]!r} is BYTES, which TorchScript cannot take; tokenise before, or use another backend"
        raise PermanentLoadError(Reason.INVALID_BUNDLE, problem)
    refuse_disguised_pickle(bundle.entry)
    if not _threads_set.is_set():
        torch.set_num_threads(threads)
        _threads_set.set()
    try:
        with warnings.catch_warnings():
            # torch announces the end of torch.jit in favour of torch.export at every load. Bundles that users have
            # packed are TorchScript until then, and a person reading a pod's log can do nothing about it.
            warnings.filterwarnings("ignore", message="`torch.jit.load` is deprecated", category=FutureWarning)
            warnings.filterwarnings("ignore", message="`torch.jit.load` is deprecated", category=DeprecationWarning)
            module = _jit.load(str(bundle.entry), map_location="cpu")
    except (RuntimeError, ValueError) as error:
        last_line = str(error).strip().splitlines()[-1]
        problem = f"torch {torch.__version__} cannot load {bundle.manifest.backend.entry!r}: {last_line}"
        raise PermanentLoadError(Reason.LOAD_FAILED, problem) from error
    inputs = [spec.name for spec in bundle.manifest.interface.inputs]
    return TorchScriptModel(module.eval(), inputs, _output_names(bundle))


def _output_names(bundle: Bundle) -> list[str]:
    """Return the model's own output names in the order in which the interface first needs them."""
    steps = {step.output: step.tensor for step in bundle.manifest.postprocessing}
    names = dict.fromkeys(steps.get(spec.name, spec.name) for spec in bundle.manifest.interface.outputs)
    return list(names)
