"""Self-test samples: recorded inputs and outputs in one `.npz` file, and how far an answer may differ from them.

The file holds the arrays `input.<name>` and `output.<name>`, as a client sees them. It is read without pickle; texts
(BYTES) are numpy byte strings. The self-test shows that loading and numerics work here, not that the model is good.
"""

from __future__ import annotations

import zipfile
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from luntra_serving.bundle.datatypes import DATATYPES, NUMPY_TYPES, Array
from luntra_serving.errors import PermanentLoadError, Reason

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from luntra_serving.bundle.manifest import Interface, TensorSpec, Tolerance


@dataclass(frozen=True, slots=True)
class Samples:
    """Inputs by name, and the outputs that they must give."""

    inputs: dict[str, Array]
    outputs: dict[str, Array]


def write_samples(path: Path, inputs: Mapping[str, Array], outputs: Mapping[str, Array]) -> None:
    """Write samples that `read_samples` reads back; the same arrays give the same bytes."""
    arrays = {f"input.{name}": array for name, array in inputs.items()}
    arrays |= {f"output.{name}": array for name, array in outputs.items()}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        for name, array in arrays.items():
            # numpy.savez stamps members with the current time, which would change the digest with every packing.
            member = zipfile.ZipInfo(f"{name}.npy", date_time=(1980, 1, 1, 0, 0, 0))
            with archive.open(member, "w", force_zip64=True) as file:
                plain = array.astype(np.bytes_) if array.dtype == np.object_ else array
                np.lib.format.write_array(file, np.ascontiguousarray(plain), allow_pickle=False)


def read_samples(path: Path, interface: Interface) -> Samples:
    """Return the samples in `path`, checked against the interface.

    Raises PermanentLoadError (InvalidBundle) if a tensor is absent, unknown, or of another datatype or shape.
    """
    try:
        with np.load(path, allow_pickle=False) as archive:
            arrays = {name: np.asarray(archive[name]) for name in archive.files}
    except (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile) as error:
        raise _invalid(f"cannot be read as .npz without pickle: {error}") from error
    known = {f"input.{spec.name}" for spec in interface.inputs} | {f"output.{spec.name}" for spec in interface.outputs}
    unknown = sorted(set(arrays) - known)
    if unknown:
        raise _invalid(f"holds {unknown[0]!r}, which the interface lacks; it has {', '.join(sorted(known))}")
    return Samples(
        {spec.name: _array(arrays, "input", spec) for spec in interface.inputs},
        {spec.name: _array(arrays, "output", spec) for spec in interface.outputs},
    )


def _array(arrays: Mapping[str, Array], kind: str, spec: TensorSpec) -> Array:
    name = f"{kind}.{spec.name}"
    if name not in arrays:
        raise _invalid(f"lacks the array {name!r}; record samples for every input and output")
    array = arrays[name]
    if spec.datatype == "BYTES" and array.dtype.kind in "SU":
        array = np.char.encode(array).astype(np.object_) if array.dtype.kind == "U" else array.astype(np.object_)
    if array.dtype != NUMPY_TYPES[spec.datatype] or not spec.accepts(array.shape):
        found = DATATYPES.get(array.dtype, str(array.dtype))
        wanted = f"{spec.datatype} {list(spec.shape)}"
        raise _invalid(f"array {name!r} is {found} {list(array.shape)}, but the interface says {wanted}")
    return array


def largest_excess(actual: Array, expected: Array, tolerance: Tolerance) -> str | None:
    """Return what is wrong with `actual`, with the value and the bound, or None if it is within the tolerance."""
    if actual.dtype != expected.dtype or actual.shape != expected.shape:
        return (
            f"is {DATATYPES.get(actual.dtype, str(actual.dtype))} {list(actual.shape)}, "
            f"expected {DATATYPES.get(expected.dtype, str(expected.dtype))} {list(expected.shape)}"
        )
    if actual.dtype.kind != "f":
        different = np.argwhere(actual != expected)
        if not len(different):
            return None
        place = tuple(int(index) for index in different[0])
        return f"at {list(place)} is {actual[place]}, expected {expected[place]} exactly"
    wide, want = actual.astype(np.float64), expected.astype(np.float64)
    bound = tolerance.absolute + tolerance.relative * np.abs(want)
    # Written so that NaN, which compares as false, counts as an excess.
    excess = np.argwhere(~(np.abs(wide - want) <= bound))
    if not len(excess):
        return None
    place = tuple(
        int(index) for index in excess[np.argmax(np.nan_to_num(np.abs(wide - want), nan=np.inf)[tuple(excess.T)])]
    )
    return (
        f"at {list(place)} is {wide[place]:.6g}, expected {want[place]:.6g} within {bound[place]:.3g} "
        f"({len(excess)} of {wide.size} elements differ by more)"
    )


def _invalid(problem: str) -> PermanentLoadError:
    return PermanentLoadError(Reason.INVALID_BUNDLE, f"the self-test samples: file {problem}")
