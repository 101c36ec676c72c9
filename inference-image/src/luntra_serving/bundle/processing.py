"""What a bundle does to tensors before and after its model: normalisation, softmax, argmax, labels. Pure numpy.

The constants live in the bundle, so that a client sends raw values and a version can never meet another version's
constants.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from luntra_serving.bundle.datatypes import Array
    from luntra_serving.bundle.manifest import Draft, OutputStep


class Pipeline:
    """A bundle's steps with their constants made ready once; each request only computes."""

    __slots__ = ("_before", "_outputs")

    def __init__(self, manifest: Draft) -> None:
        self._before = [
            (step.input, np.asarray(step.scale, dtype=np.float32), np.asarray(step.offset, dtype=np.float32))
            for step in manifest.preprocessing
        ]
        steps = {step.output: step for step in manifest.postprocessing}
        self._outputs: list[tuple[str, str, Callable[[Array], Array] | None]] = []
        for spec in manifest.interface.outputs:
            step = steps.get(spec.name)
            self._outputs.append((spec.name, step.tensor if step else spec.name, _function(step) if step else None))

    def before(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """Return the model's own inputs for a client's; normalised ones are FP32, the others are passed through."""
        ready = dict(inputs)
        for name, scale, offset in self._before:
            ready[name] = ready[name].astype(np.float32) * scale + offset
        return ready

    def after(self, tensors: Mapping[str, Array]) -> dict[str, Array]:
        """Return the client's outputs, in the interface's order, for the model's own.

        Raises KeyError if the model did not give a tensor that an output needs.
        """
        return {
            name: tensors[tensor] if function is None else function(tensors[tensor])
            for name, tensor, function in self._outputs
        }


def model_tensors(manifest: Draft) -> set[str]:
    """Return the names of the model's own outputs that the bundle's outputs are made from."""
    steps = {step.output: step.tensor for step in manifest.postprocessing}
    return {steps.get(spec.name, spec.name) for spec in manifest.interface.outputs}


def _function(step: OutputStep) -> Callable[[Array], Array]:
    if step.step == "softmax":
        return softmax
    if step.labels is None:
        return _best
    names = np.array([label.encode() for label in step.labels], dtype=np.object_)
    return lambda scores: np.asarray(names[_best(scores)], dtype=np.object_)


def _best(scores: Array) -> Array:
    return np.asarray(np.argmax(scores, axis=-1), dtype=np.int64)


def softmax(scores: Array) -> Array:
    """Return probabilities along the last axis of `scores`, in its own datatype, safe for large scores."""
    # The ufuncs themselves: for a small tensor, what numpy wraps around them costs more than they do.
    powers = np.exp(scores - np.maximum.reduce(scores, axis=-1, keepdims=True))
    return np.asarray(powers / np.add.reduce(powers, axis=-1, keepdims=True), dtype=scores.dtype)
