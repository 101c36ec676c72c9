"""A loaded version as the data plane sees it: client tensors in, client tensors out, and its self-test."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from luntra_serving.bundle.datatypes import NUMPY_TYPES, Array
from luntra_serving.bundle.processing import Pipeline
from luntra_serving.bundle.samples import Samples, largest_excess
from luntra_serving.errors import PermanentLoadError, Reason, RequestError
from luntra_serving.server.batching import joinable
from luntra_serving.server.pace import Pace

_log = logging.getLogger(__name__)

_WARM_UPS = 2

if TYPE_CHECKING:
    from collections.abc import Mapping

    from luntra_serving.backends.protocol import LoadedModel
    from luntra_serving.bundle.manifest import Manifest


class ReadyModel:
    """A backend's model between the bundle's pre- and post-processing. Safe to call from several threads."""

    __slots__ = ("_pipeline", "joinable", "loaded", "manifest", "pace")

    def __init__(self, manifest: Manifest, loaded: LoadedModel) -> None:
        self.manifest, self.loaded = manifest, loaded
        self.joinable = joinable(manifest.interface)
        self.pace = Pace()
        self._pipeline = Pipeline(manifest)

    def infer(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """Return the interface's outputs. Raises RequestError: 400 for unfit inputs, 500 if the model is at fault."""
        outputs = self._pipeline.after(self.loaded.infer(self._pipeline.before(inputs)))
        for spec in self.manifest.interface.outputs:
            output = outputs[spec.name]
            if output.dtype != NUMPY_TYPES[spec.datatype] or not spec.accepts(output.shape):
                raise RequestError(
                    500,
                    f"output {spec.name!r} came out as {output.dtype} {list(output.shape)}, but the bundle's interface "
                    f"says {spec.datatype} {list(spec.shape)}; correct model.yaml and pack the bundle again",
                )
        return outputs

    def warm_up(self, samples: Samples) -> None:
        """Run the samples a few times, so that no client pays for what happens on first runs (torch's compiler wants two).

        Raises PermanentLoadError (SelfTestFailed).
        """
        for _ in range(_WARM_UPS):
            self._try(samples)

    def self_test(self, samples: Samples) -> None:
        """Run the samples; raise PermanentLoadError (SelfTestFailed) with the value and the bound if they differ."""
        outputs = self._try(samples)
        problem = self._difference(outputs, samples.outputs)
        if problem:
            raise _failed(problem)
        if self.joinable and not self._rows_are_independent(samples):
            self.joinable = False
            fix = "requests run one by one; export the model so that a row's output does not depend on other rows"
            _log.warning("a row's output depends on its batch", extra={"model": self.manifest.name, "fix": fix})

    def _try(self, samples: Samples) -> dict[str, Array]:
        try:
            return self.infer(samples.inputs)
        except RequestError as error:
            raise _failed(error.message) from error
        except Exception as error:  # whatever a vendor library raises here says that the model does not work
            raise _failed(f"{type(error).__name__}: {error}") from error

    def _rows_are_independent(self, samples: Samples) -> bool:
        """Whether the first sample comes out the same alone as it does among the others."""
        try:
            alone = self.infer({name: tensor[:1] for name, tensor in samples.inputs.items()})
        except Exception:  # noqa: BLE001 - a model that takes no single row is not joined, and that is all
            return False
        return self._difference(alone, {name: tensor[:1] for name, tensor in samples.outputs.items()}) is None

    def _difference(self, outputs: Mapping[str, Array], expected: Mapping[str, Array]) -> str | None:
        for name, tensor in expected.items():
            problem = largest_excess(outputs[name], tensor, self.manifest.selfTest.tolerance)
            if problem:
                return f"output {name!r} {problem}"
        return None


def _failed(problem: str) -> PermanentLoadError:
    return PermanentLoadError(
        Reason.SELF_TEST_FAILED,
        f"{problem}; the bundle's own samples do not come out here: was it packed with other weights or constants?",
    )
