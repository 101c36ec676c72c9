"""The labelled set: bounds, digest, what is refused, and how it is fitted to a model."""

from __future__ import annotations

import hashlib
import io
import pickle
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from luntra_operator.checks.dataset import fetch, fit, generate, load
from luntra_operator.checks.errors import CheckError
from luntra_operator.checks.interface import ModelInterface, TensorSpec

if TYPE_CHECKING:
    from pathlib import Path

Npz = Callable[..., bytes]


def digest(content: bytes) -> str:
    return "sha256:" + hashlib.sha256(content).hexdigest()


def takes(*inputs: tuple[str, str, tuple[int, ...]]) -> ModelInterface:
    return ModelInterface(tuple(TensorSpec(*one) for one in inputs), ())


def reason_of(call: Callable[[], object]) -> tuple[str, str]:
    with pytest.raises(CheckError) as caught:
        call()
    return caught.value.reason, str(caught.value)


def test_a_file_is_fetched_and_its_digest_verified(tmp_path: Path) -> None:
    (tmp_path / "a.npz").write_bytes(b"content")
    assert fetch(f"file://{tmp_path}/a.npz", digest(b"content"), timeout=5) == b"content"


def test_other_bytes_than_the_digest_names_are_refused_with_both_digests(tmp_path: Path) -> None:
    (tmp_path / "a.npz").write_bytes(b"content")
    reason, text = reason_of(lambda: fetch(f"file://{tmp_path}/a.npz", digest(b"other"), timeout=5))
    assert reason == "DatasetDigestMismatch"
    assert digest(b"content") in text
    assert digest(b"other") in text


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    reason, text = reason_of(lambda: fetch(f"file://{tmp_path}/a.npz", digest(b""), timeout=5))
    assert reason == "DatasetUnreachable"
    assert "a.npz" in text


@pytest.mark.parametrize(("size", "accepted"), [(64, True), (65, False)])
def test_no_more_is_read_than_the_bound_allows(tmp_path: Path, size: int, accepted: bool) -> None:
    content = b"x" * size
    (tmp_path / "a.npz").write_bytes(content)
    uri = f"file://{tmp_path}/a.npz"
    if accepted:
        assert fetch(uri, digest(content), timeout=5, largest=64) == content
    else:
        assert reason_of(lambda: fetch(uri, digest(content), timeout=5, largest=64))[0] == "DatasetTooLarge"


def test_rows_and_labels_are_told_apart(npz_bytes: Npz) -> None:
    loaded = load(npz_bytes(x=np.zeros((3, 2)), labels=np.array([0, 1, 2])))
    assert len(loaded) == 3
    assert loaded.rows.keys() == {"x"}


class Bomb:
    def __reduce__(self) -> tuple[Any, ...]:
        return (pytest.fail, ("the pickle was executed",))


def pickled_npz() -> bytes:
    file = io.BytesIO()
    np.savez(file, x=np.zeros(1), labels=np.array([Bomb()], dtype=object))
    return file.getvalue()


def npy() -> bytes:
    file = io.BytesIO()
    np.save(file, np.zeros(3))
    return file.getvalue()


@pytest.mark.parametrize(
    "content",
    [b"", b"not a zip", npy(), pickle.dumps(Bomb()), pickled_npz()],
    ids=["empty", "text", "npy", "pkl", "obj"],
)
def test_anything_but_plain_arrays_is_refused_and_nothing_is_executed(content: bytes) -> None:
    assert reason_of(lambda: load(content))[0] == "InvalidDataset"


@pytest.mark.parametrize(
    ("arrays", "text"),
    [
        ({"x": np.zeros((3, 2))}, "no array 'labels'"),
        ({"x": np.zeros((3, 2)), "labels": np.zeros(2)}, "same number of rows"),
        ({"x": np.zeros((0, 2)), "labels": np.zeros(0)}, "at least one"),
        ({"x": np.array(1.0), "labels": np.array(1.0)}, "same number of rows"),
        ({"x": np.zeros((1, 2)), "labels": np.array([np.nan])}, "NaN"),
    ],
)
def test_a_set_without_one_label_per_row_is_refused(npz_bytes: Npz, arrays: Any, text: str) -> None:
    reason, message = reason_of(lambda: load(npz_bytes(**arrays)))
    assert reason == "InvalidDataset"
    assert text in message


@pytest.mark.parametrize(
    ("array", "datatype"),
    [
        (np.ones((2, 3), np.float64), "FP32"),
        (np.ones((2, 3), np.uint8), "FP32"),
        (np.ones((2, 3), np.int64), "INT32"),
        (np.ones((2, 3), np.int64), "UINT8"),
        (np.ones((2, 3), np.bool_), "BOOL"),
        (np.full((2, 3), "é"), "BYTES"),
        (np.full((2, 3), b"x"), "BYTES"),
    ],
)
def test_arrays_become_the_datatype_that_the_model_takes(npz_bytes: Npz, array: Any, datatype: str) -> None:
    loaded = load(npz_bytes(x=array, labels=np.zeros(2)))
    fitted = fit(loaded, takes(("x", datatype, (-1, 3))))["x"]
    assert fitted.shape == (2, 3)
    if datatype == "BYTES":
        assert all(isinstance(one, bytes) for one in fitted.reshape(-1))
    else:
        assert (fitted == array).all()


@pytest.mark.parametrize(
    ("array", "spec"),
    [
        (np.ones((2, 3)), ("y", "FP32", (-1, 3))),
        (np.ones((2, 3)), ("x", "FP32", (-1, 4))),
        (np.ones((2, 3)), ("x", "FP32", (-1, 3, 1))),
        (np.ones((2, 3)), ("x", "INT64", (-1, 3))),
        (np.full((2, 3), 300), ("x", "UINT8", (-1, 3))),
        (np.full((2, 3), -1), ("x", "UINT64", (-1, 3))),
        (np.ones((2, 3)), ("x", "BYTES", (-1, 3))),
        (np.full((2, 3), "a"), ("x", "FP32", (-1, 3))),
        (np.ones((2, 3)), ("x", "BF16", (-1, 3))),
    ],
)
def test_a_set_that_does_not_fit_the_model_is_refused_with_the_input(npz_bytes: Npz, array: Any, spec: Any) -> None:
    loaded = load(npz_bytes(x=array, labels=np.zeros(2)))
    reason, message = reason_of(lambda: fit(loaded, takes(spec)))
    assert reason == "DatasetMismatch"
    assert f"{spec[0]} ({spec[1]}" in message


def test_made_up_samples_are_the_same_for_the_same_seed_and_differ_among_themselves() -> None:
    interface = takes(("x", "FP32", (-1, 3)), ("n", "INT64", (-1, -1)), ("t", "BYTES", (-1,)), ("b", "BOOL", (-1, 2)))
    first, again = generate(interface, 5), generate(interface, 5)
    assert all((first[name] == again[name]).all() for name in first)
    assert first["x"].dtype == np.float32
    assert first["n"].shape == (5, 8)
    assert len(np.unique(first["x"])) == 15
    assert not (first["x"] == generate(interface, 5, seed=1)["x"]).all()


def test_samples_of_an_unknown_datatype_cannot_be_made_up() -> None:
    reason, message = reason_of(lambda: generate(takes(("x", "BF16", (-1,))), 1))
    assert reason == "UnsupportedInput"
    assert "give checks.evaluation" in message


@pytest.mark.parametrize(("first", "size"), [(-1, 32), (1, 1)])
def test_a_model_that_takes_one_sample_gets_one_at_a_time(first: int, size: int) -> None:
    assert takes(("x", "FP32", (first, 3))).batch(32) == size


def test_a_model_of_another_fixed_batch_is_refused() -> None:
    assert reason_of(lambda: takes(("x", "FP32", (8, 3))).batch(32))[0] == "UnsupportedInput"
