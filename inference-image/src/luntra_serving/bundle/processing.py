"""What a bundle does to tensors before and after its model: normalisation, softmax, argmax, labels. Pure numpy.

The constants live in the bundle, so that a client sends raw values and a version can never meet another version's
constants.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping

    from luntra_serving.bundle.datatypes import Array
    from luntra_serving.bundle.manifest import Draft, Normalisation, OutputStep


def preprocess(manifest: Draft, inputs: Mapping[str, Array]) -> dict[str, Array]:
    """Return the model's own inputs for a client's; normalised ones are FP32, the others are passed through."""
    ready = dict(inputs)
    for step in manifest.preprocessing:
        ready[step.input] = _normalise(step, ready[step.input])
    return ready


def postprocess(manifest: Draft, tensors: Mapping[str, Array]) -> dict[str, Array]:
    """Return the client's outputs, in the interface's order, for the model's own.

    Raises KeyError if the model did not give a tensor that an output needs.
    """
    steps = {step.output: step for step in manifest.postprocessing}
    outputs = {}
    for spec in manifest.interface.outputs:
        step = steps.get(spec.name)
        outputs[spec.name] = tensors[spec.name] if step is None else _apply(step, tensors[step.tensor])
    return outputs


def model_tensors(manifest: Draft) -> set[str]:
    """Return the names of the model's own outputs that the bundle's outputs are made from."""
    steps = {step.output: step.tensor for step in manifest.postprocessing}
    return {steps.get(spec.name, spec.name) for spec in manifest.interface.outputs}


def _normalise(step: Normalisation, values: Array) -> Array:
    scale = np.asarray(step.scale, dtype=np.float32)
    offset = np.asarray(step.offset, dtype=np.float32)
    return values.astype(np.float32) * scale + offset


def _apply(step: OutputStep, scores: Array) -> Array:
    if step.step == "softmax":
        return softmax(scores)
    best = np.asarray(np.argmax(scores, axis=-1), dtype=np.int64)
    if step.labels is None:
        return best
    names = np.array([label.encode() for label in step.labels], dtype=np.object_)
    return np.asarray(names[best], dtype=np.object_)


def softmax(scores: Array) -> Array:
    """Return probabilities along the last axis of `scores`, in its own datatype, safe for large scores."""
    powers = np.exp(scores - scores.max(axis=-1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=-1, keepdims=True), dtype=scores.dtype)
