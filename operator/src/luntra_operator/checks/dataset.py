"""The labelled set: fetched within bounds, verified before it is opened, then fitted to a model's inputs.

A set is an .npz file with one array per model input, by the input's name, and an array `labels`, all with one row per
sample. It is read without pickle; arrays of Python objects are refused.
"""

from __future__ import annotations

import hashlib
import io
import zipfile
from dataclasses import dataclass
from typing import IO

import aiohttp
import fsspec
import numpy as np

from luntra_operator.checks.errors import CheckError
from luntra_operator.checks.interface import DATATYPES, FLOATS, INTEGERS, Array, ModelInterface, TensorSpec

LARGEST = 256 * 2**20
"""Bytes of a set's file. An evaluation is a sample of reality, not an archive of it."""
LARGEST_UNPACKED = 4 * LARGEST
LABELS = "labels"


@dataclass(frozen=True)
class LabelledSet:
    """Rows by input name and their labels; all arrays have the same first dimension, at least 1."""

    rows: dict[str, Array]
    labels: Array

    def __len__(self) -> int:
        return len(self.labels)


def fetch(uri: str, digest: str, *, timeout: float, largest: int = LARGEST) -> bytes:
    """Fetch `https://` or `file://` content of at most `largest` bytes and verify its digest (`sha256:<hex>`).

    Raises:
        CheckError: unreachable, too large, or not the bytes that the digest names.
    """
    try:
        content = _read(uri, largest, timeout)
    except (OSError, aiohttp.ClientError, TimeoutError) as error:
        text = str(error) or type(error).__name__
        raise CheckError("DatasetUnreachable", f"dataset {uri} cannot be fetched: {text}") from error
    if len(content) > largest:
        raise CheckError("DatasetTooLarge", f"dataset {uri} has more than {largest} bytes: evaluate on a sample of it")
    found = "sha256:" + hashlib.sha256(content).hexdigest()
    if found != digest:
        raise CheckError(
            "DatasetDigestMismatch",
            f"dataset {uri} has digest {found} but dataset.digest is {digest}: the file was changed or the "
            "digest is of another file",
        )
    return content


def _read(uri: str, largest: int, timeout: float) -> bytes:
    scheme = uri.partition("://")[0]
    if scheme == "https":
        session = {"timeout": aiohttp.ClientTimeout(total=timeout)}
        filesystem = fsspec.filesystem("https", client_kwargs=session, skip_instance_cache=True)
    else:
        filesystem = fsspec.filesystem("file")
    file: IO[bytes]
    with filesystem.open(uri, "rb", block_size=0) as file:
        pieces, size = [], 0
        while size <= largest and (piece := file.read(min(2**20, largest + 1 - size))):
            pieces.append(piece)
            size += len(piece)
    return b"".join(pieces)


def load(content: bytes) -> LabelledSet:
    """Open verified bytes as a labelled set.

    Raises:
        CheckError: not an .npz of plain arrays with one row per sample and `labels`.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            unpacked = sum(member.file_size for member in archive.infolist())
        if unpacked > LARGEST_UNPACKED:
            raise CheckError("DatasetTooLarge", f"dataset unpacks to {unpacked} bytes, more than {LARGEST_UNPACKED}")
        with np.load(io.BytesIO(content), allow_pickle=False) as opened:
            arrays = {name: opened[name] for name in opened.files}
    except (zipfile.BadZipFile, ValueError, KeyError, EOFError, OSError, NotImplementedError) as error:
        raise _invalid(f"is not an .npz file of plain arrays: {error}") from error
    labels = arrays.pop(LABELS, None)
    if labels is None:
        raise _invalid(f"has no array {LABELS!r}, only {sorted(arrays)}: add the labels, one row per sample")
    lengths = {name: len(array) if array.ndim else None for name, array in {LABELS: labels, **arrays}.items()}
    if len(set(lengths.values())) != 1 or not lengths[LABELS]:
        raise _invalid(f"needs the same number of rows in all arrays, at least one; it has {lengths}")
    if labels.dtype.kind == "f" and not np.isfinite(labels).all():
        raise _invalid("has labels that are NaN or infinite: leave those samples out")
    return LabelledSet(arrays, labels)


def _invalid(what: str) -> CheckError:
    return CheckError("InvalidDataset", f"dataset {what}")


def fit(dataset: LabelledSet, interface: ModelInterface) -> dict[str, Array]:
    """Give the set's rows as the model's inputs, in the datatypes that its metadata names.

    Raises:
        CheckError: an input has no array, or one of another shape or kind.
    """
    return {spec.name: _fit_one(spec, dataset.rows) for spec in interface.inputs}


def _fit_one(spec: TensorSpec, rows: dict[str, Array]) -> Array:
    array = rows.get(spec.name)
    if array is None:
        raise _mismatch(f"the model's input {spec} has no array in the dataset, which has {sorted(rows)}")
    fits = len(array.shape) == len(spec.shape) and all(
        want in (-1, have) for want, have in zip(spec.shape[1:], array.shape[1:], strict=True)
    )
    if not fits:
        raise _mismatch(f"the dataset's array {spec.name} has shape {list(array.shape)}, the model's input is {spec}")
    converted = _convert(array, spec.datatype)
    if converted is None:
        raise _mismatch(f"the dataset's array {spec.name} is of type {array.dtype}, the model's input is {spec}")
    return converted


def _convert(array: Array, datatype: str) -> Array | None:
    """Convert without losing meaning: numbers to floats, integers to integers that hold them, text to bytes."""
    kind = array.dtype.kind
    if datatype == "BYTES":
        if kind == "U":
            array = np.char.encode(array, "utf-8")
        return array.astype(np.object_) if kind in "SU" else None
    if datatype in FLOATS:
        return array.astype(FLOATS[datatype]) if kind in "fiub" else None
    if datatype in INTEGERS and kind in "iub":
        converted = array.astype(INTEGERS[datatype])
        return converted if bool((converted == array).all()) else None
    return array if datatype in DATATYPES and DATATYPES[datatype] == array.dtype else None


def _mismatch(what: str) -> CheckError:
    return CheckError("DatasetMismatch", what)


def generate(interface: ModelInterface, samples: int, seed: int = 0) -> dict[str, Array]:
    """Make inputs up from the metadata alone, the same for the same seed: floats in [0, 1), integers below 10.

    Lengths that the metadata leaves open are 8.

    Raises:
        CheckError: an input has a datatype that cannot be made up.
    """
    random = np.random.default_rng(seed)
    return {spec.name: _generate_one(spec, samples, random) for spec in interface.inputs}


def _generate_one(spec: TensorSpec, samples: int, random: np.random.Generator) -> Array:
    shape = (samples, *(8 if length == -1 else length for length in spec.shape[1:]))
    if spec.datatype == "BYTES":
        return np.full(shape, b"luntra", dtype=np.object_)
    if spec.datatype == "BOOL":
        return random.integers(0, 2, shape).astype(np.bool_)
    if spec.datatype in FLOATS:
        return random.random(shape).astype(FLOATS[spec.datatype])
    if spec.datatype in INTEGERS:
        return random.integers(0, 10, shape).astype(INTEGERS[spec.datatype])
    raise CheckError(
        "UnsupportedInput",
        f"samples for the input {spec} cannot be made up: give checks.evaluation, whose samples serve",
    )
