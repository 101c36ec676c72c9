"""A model as a check sees it: named tensors in, named tensors out, behind a narrow port.

Datatypes are those of the Open Inference Protocol v2 (https://github.com/kserve/open-inference-protocol).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from luntra_operator.checks.errors import CheckError

Array = npt.NDArray[Any]

INTEGERS = {f"{sign}INT{bits}": np.dtype(f"{sign.lower()}int{bits}") for sign in ("", "U") for bits in (8, 16, 32, 64)}
FLOATS = {f"FP{bits}": np.dtype(f"float{bits}") for bits in (16, 32, 64)}
DATATYPES: dict[str, np.dtype[Any]] = {
    "BOOL": np.dtype(np.bool_),
    **INTEGERS,
    **FLOATS,
    "BYTES": np.dtype(np.object_),
}


@dataclass(frozen=True)
class TensorSpec:
    """One input or output: its shape has -1 where any length goes; the first dimension counts the samples."""

    name: str
    datatype: str
    shape: tuple[int, ...]

    def __str__(self) -> str:
        return f"{self.name} ({self.datatype} {list(self.shape)})"


@dataclass(frozen=True)
class ModelInterface:
    """What the model says about itself in its metadata."""

    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]

    def batch(self, wanted: int) -> int:
        """Give how many samples to send at a time, at most `wanted`: 1 for a model that takes one sample.

        Raises:
            CheckError: the model takes only batches of another fixed size.
        """
        lengths = {spec.shape[0] if spec.shape else 1 for spec in self.inputs}
        if lengths == {-1}:
            return wanted
        if lengths == {1}:
            return 1
        raise CheckError(
            "UnsupportedInput",
            f"the inputs {', '.join(map(str, self.inputs))} have a fixed first dimension: checks need -1 (any number "
            "of samples) or 1 there",
        )


class ModelServer(Protocol):
    """One model on one server, over connections that are open for as long as the port is in use."""

    async def interface(self) -> ModelInterface:
        """Ask for the model's metadata. Raises ServerError."""
        ...

    async def infer(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """Ask for all outputs of a batch, by name. Raises ServerError."""
        ...


Connect = Callable[[], AbstractAsyncContextManager[ModelServer]]
"""Opens fresh connections to one server."""
