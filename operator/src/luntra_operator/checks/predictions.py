"""Which output of a model is its prediction, and how to read it. Pure.

For classes: an output of labels (BYTES) or class numbers (integers), else the largest along the last axis of the only
float output. For values: the only output of numbers.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from luntra_operator.api.checks import SCORES
from luntra_operator.checks.errors import CheckError, Refused
from luntra_operator.checks.interface import FLOATS, INTEGERS, Array, ModelInterface, TensorSpec

_USUAL_NAMES = ("label", "labels", "class", "classes", "prediction", "predictions")


@dataclass(frozen=True)
class Reading:
    """The output to read and how: as it is, or as the index of the largest along the last axis."""

    output: str
    how: Literal["text", "class", "argmax", "value"]

    def predictions(self, outputs: dict[str, Array], samples: int) -> tuple[Array, Array]:
        """Read one batch: predictions (shape [samples]; values may have more axes) and which rows are finite.

        Raises:
            Refused: the output is missing or has another number of rows.
        """
        array = outputs.get(self.output)
        if array is None or array.ndim == 0 or len(array) != samples:
            shape = None if array is None else list(array.shape)
            raise Refused(f"answered {samples} samples with the output {self.output} of shape {shape}")
        if self.how == "text":
            texts = [_text(one) for one in array.reshape(-1)]
            return _flat(np.array(texts, dtype=np.str_).reshape(array.shape)), np.ones(samples, dtype=np.bool_)
        finite = np.asarray(np.isfinite(array.reshape(samples, -1)).all(axis=1))
        return _flat(array.argmax(axis=-1) if self.how == "argmax" else array), finite


def _text(label: bytes | str) -> str:
    """Read one label; tritonclient gives text where the answer was JSON and bytes where it was binary."""
    return label if isinstance(label, str) else label.decode("utf-8", "replace")


def _flat(array: Array) -> Array:
    """Drop trailing axes of length 1: [n, 1] and [n] mean the same."""
    while array.ndim > 1 and array.shape[-1] == 1:
        array = array[..., 0]
    return array


def reading(interface: ModelInterface, labels: Array, metric: str) -> Reading:
    """Choose the output that predicts `labels`.

    Raises:
        CheckError: the labels are of the wrong kind for the metric, or no output stands out.
    """
    kind = labels.dtype.kind
    if metric in SCORES:
        if kind in "US":
            return Reading(_only([o for o in interface.outputs if o.datatype == "BYTES"], interface, "labels"), "text")
        if kind in "iub":
            return _classes(interface)
        raise _invalid_labels(labels, metric, "class numbers (integers) or class names (text)")
    if kind not in "fiu":
        raise _invalid_labels(labels, metric, "numbers")
    numbers = [o for o in interface.outputs if o.datatype in FLOATS or o.datatype in INTEGERS]
    floats = [o for o in numbers if o.datatype in FLOATS]
    return Reading(_only(floats or numbers, interface, "numbers"), "value")


def _classes(interface: ModelInterface) -> Reading:
    integers = [o for o in interface.outputs if o.datatype in INTEGERS]
    if integers:
        return Reading(_only(integers, interface, "class numbers"), "class")
    floats = [o for o in interface.outputs if o.datatype in FLOATS]
    name = _only(floats, interface, "class numbers or scores")
    spec = next(o for o in floats if o.name == name)
    if len(spec.shape) < 2 or spec.shape[-1] == 1:
        raise CheckError(
            "UnclearOutput",
            f"the output {spec} has one number per sample, not one per class: let the model give out the class number",
        )
    return Reading(name, "argmax")


def _only(found: list[TensorSpec], interface: ModelInterface, what: str) -> str:
    named = [spec for spec in found if spec.name.lower() in _USUAL_NAMES]
    if len(found) == 1 or len(named) == 1:
        return (named or found)[0].name
    outputs = ", ".join(str(spec) for spec in interface.outputs)
    raise CheckError(
        "UnclearOutput",
        f"the model has {len(found)} outputs of {what} among {outputs}: give it exactly one, or name one `label`",
    )


def _invalid_labels(labels: Array, metric: str, wanted: str) -> CheckError:
    return CheckError("InvalidDataset", f"labels are of type {labels.dtype}: {metric} needs {wanted}")
