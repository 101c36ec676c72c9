"""The types of `model.yaml`: what a bundle holds, what clients see of it, and how it shows that it works here.

Pydantic at the border: a manifest that parses is consistent in itself (names, shapes, paths, constants). Whether its
files are there and are the right ones is `verify`; whether the backend agrees with the interface is seen at load.
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, field_validator, model_validator

from luntra_serving.bundle.datatypes import FLOATS, Datatype
from luntra_serving.bundle.paths import check_distinct, check_path

if TYPE_CHECKING:
    from collections.abc import Sequence

MAX_FILES = 1000
MAX_FILE_BYTES = 64 * 2**30

Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9]([A-Za-z0-9._-]{0,126}[A-Za-z0-9])?$")]
TensorName = Annotated[str, StringConstraints(min_length=1, max_length=256, pattern=r"^[^\x00-\x1f\x7f]+$")]
Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
Finite = Annotated[float, Field(allow_inf_nan=False)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class TensorSpec(_Strict):
    """One tensor that a client sends or receives; -1 in `shape` stands for any size, the batch as a rule."""

    name: TensorName
    datatype: Datatype
    shape: tuple[Annotated[int, Field(ge=-1)], ...] = Field(max_length=16)

    def accepts(self, shape: Sequence[int]) -> bool:
        """Whether a tensor of `shape` fits this spec."""
        if len(shape) != len(self.shape):
            return False
        for want, have in zip(self.shape, shape, strict=True):  # noqa: SIM110 - a generator costs each request more than the loop
            if want != have and want != -1:
                return False
        return True


class Interface(_Strict):
    """What a client sees; candidate and stable version must agree in it."""

    inputs: tuple[TensorSpec, ...] = Field(min_length=1, max_length=256)
    outputs: tuple[TensorSpec, ...] = Field(min_length=1, max_length=256)
    labels: dict[TensorName, tuple[str, ...]] = Field(default_factory=dict)
    """Output name -> what the positions of its last axis mean, in order."""

    @cached_property
    def named_inputs(self) -> dict[str, TensorSpec]:
        """The inputs by name."""
        return {spec.name: spec for spec in self.inputs}

    @cached_property
    def named_outputs(self) -> dict[str, TensorSpec]:
        """The outputs by name."""
        return {spec.name: spec for spec in self.outputs}

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        for kind, specs in (("inputs", self.inputs), ("outputs", self.outputs)):
            names = [spec.name for spec in specs]
            repeated = sorted({name for name in names if names.count(name) > 1})
            if repeated:
                raise ValueError(f"{kind} repeat the name {repeated[0]!r}; every tensor needs a name of its own")
        unknown = sorted(set(self.labels) - {spec.name for spec in self.outputs})
        if unknown:
            raise ValueError(f"labels name {unknown[0]!r}, which is no output; use one of the output names")
        return self


class Normalisation(_Strict):
    """Turn a client's numbers into the model's: `value * scale + offset` in FP32, per last-axis position if lists."""

    input: TensorName
    scale: Finite | tuple[Finite, ...] = 1.0
    offset: Finite | tuple[Finite, ...] = 0.0


class OutputStep(_Strict):
    """Make one client output from one model output, along the last axis.

    softmax: scores to probabilities. argmax: INT64 position of the highest score. label: its entry in `labels`
    (BYTES). An output without a step is the model's output of the same name, untouched.
    """

    output: TensorName
    tensor: TensorName
    """Name of the model's own output that this is made from."""
    step: Literal["softmax", "argmax", "label"]
    labels: tuple[str, ...] | None = None

    @model_validator(mode="after")
    def _labels_go_with_label(self) -> Self:
        if (self.step == "label") != (self.labels is not None):
            raise ValueError(
                f"step {self.step!r} of output {self.output!r}: labels go with the step 'label', and only there"
            )
        return self


class Backend(_Strict):
    """What runs the model and which file it starts from."""

    name: Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,63}$")]
    entry: str

    @field_validator("entry")
    @classmethod
    def _entry_is_a_bundle_path(cls, value: str) -> str:
        return check_path(value)


class Tolerance(_Strict):
    """Largest difference that the self-test accepts: `absolute + relative * |expected|`, element by element."""

    absolute: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 1e-5
    relative: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 1e-3


class SelfTest(_Strict):
    """Recorded inputs and outputs that must come out the same where the bundle is served (see `samples`)."""

    samples: str
    tolerance: Tolerance = Tolerance()

    @field_validator("samples")
    @classmethod
    def _samples_are_a_bundle_path(cls, value: str) -> str:
        return check_path(value)


class FileEntry(_Strict):
    """One file of the bundle."""

    path: str
    size: Annotated[int, Field(ge=0, le=MAX_FILE_BYTES)]
    sha256: Sha256

    @field_validator("path")
    @classmethod
    def _path_is_safe(cls, value: str) -> str:
        return check_path(value)


class Draft(_Strict):
    """What an author writes: a manifest before `pack` has listed the files."""

    apiVersion: Literal["luntra.io/bundle/v1"] = "luntra.io/bundle/v1"  # noqa: N815 - the spelling of every other manifest
    name: Name
    version: Name
    backend: Backend
    interface: Interface
    preprocessing: tuple[Normalisation, ...] = ()
    postprocessing: tuple[OutputStep, ...] = ()
    selfTest: SelfTest  # noqa: N815

    @model_validator(mode="after")
    def _processing_fits_the_interface(self) -> Self:
        inputs, outputs = self.interface.named_inputs, self.interface.named_outputs
        _each_once("preprocessing", [step.input for step in self.preprocessing], set(inputs))
        _each_once("postprocessing", [step.output for step in self.postprocessing], set(outputs))
        for step in self.preprocessing:
            _check_normalisation(step, inputs[step.input])
        for made in self.postprocessing:
            _check_output_step(made, outputs[made.output])
        return self


class Manifest(Draft):
    """A packed bundle: the draft and every file with its size and sha256."""

    files: tuple[FileEntry, ...] = Field(min_length=1, max_length=MAX_FILES)

    @model_validator(mode="after")
    def _files_are_distinct_and_complete(self) -> Self:
        paths = [entry.path for entry in self.files]
        check_distinct(paths)
        for field, path in (("backend.entry", self.backend.entry), ("selfTest.samples", self.selfTest.samples)):
            if path not in paths:
                raise ValueError(f"{field} {path!r} is not among files; pack the bundle again with that file in it")
        return self

    @property
    def total_bytes(self) -> int:
        """Sum of the listed files' sizes."""
        return sum(entry.size for entry in self.files)


def _each_once(field: str, names: list[str], known: set[str]) -> None:
    for name in names:
        if name not in known:
            raise ValueError(f"{field} names {name!r}, which the interface lacks; it has {', '.join(sorted(known))}")
        if names.count(name) > 1:
            raise ValueError(f"{field} names {name!r} twice; write one step for each tensor")


def _check_normalisation(step: Normalisation, spec: TensorSpec) -> None:
    if spec.datatype in {"BYTES", "BOOL"}:
        raise ValueError(f"preprocessing of {step.input!r}: {spec.datatype} cannot be scaled; use a numeric datatype")
    for field, value in (("scale", step.scale), ("offset", step.offset)):
        if isinstance(value, tuple) and (not spec.shape or len(value) != spec.shape[-1]):
            last = spec.shape[-1] if spec.shape else "absent"
            raise ValueError(
                f"preprocessing of {step.input!r}: {field} has {len(value)} values, the last axis is {last}; "
                "give one number, or one for each position of a fixed last axis"
            )


def _check_output_step(step: OutputStep, spec: TensorSpec) -> None:
    wanted = {"softmax": FLOATS, "argmax": {"INT64"}, "label": {"BYTES"}}[step.step]
    if spec.datatype not in wanted:
        raise ValueError(
            f"postprocessing of {step.output!r}: {step.step} gives {' or '.join(sorted(wanted))}, "
            f"but the interface says {spec.datatype}"
        )
