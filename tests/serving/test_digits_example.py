"""The digits example, trained for real: two versions are good, one is wrong, one slow and one fragile, as its README says."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from luntra_serving.backends.registry import loader_of
from luntra_serving.bundle.samples import read_samples
from luntra_serving.bundle.verify import verify_folder
from luntra_serving.errors import RequestError
from luntra_serving.server.model import ReadyModel

TRAIN = Path(__file__).parents[2] / "examples" / "digits" / "train.py"

pytestmark = pytest.mark.skipif(
    any(importlib.util.find_spec(name) is None for name in ("torch", "sklearn", "onnxscript")),
    reason="torch (5 GB), scikit-learn and onnxscript are not in this environment: uv sync --group demo",
)


def trained(out: Path, hash_seed: str) -> dict[str, Any]:
    environment = {**os.environ, "PYTHONHASHSEED": hash_seed}
    subprocess.run([sys.executable, str(TRAIN), "--out", str(out)], check=True, capture_output=True, env=environment)
    manifest: dict[str, Any] = json.loads((out / "manifest.json").read_text())
    return manifest


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("digits")


@pytest.fixture(scope="module")
def manifest(out: Path) -> dict[str, Any]:
    return trained(out, "1")


def model_of(out: Path, manifest: dict[str, Any], version: str) -> ReadyModel:
    entry = manifest["versions"][version]
    bundle = verify_folder(out / entry["folder"], entry["digest"])
    model = ReadyModel(bundle.manifest, loader_of(bundle.manifest.backend.name)(bundle, threads=1))
    model.self_test(read_samples(bundle.samples, bundle.manifest.interface))
    return model


@pytest.mark.parametrize("version", ["v1", "v2", "v3", "v4", "v5", "v2-torchscript"])
def test_every_bundle_passes_its_self_test_and_is_as_accurate_as_it_says(
    out: Path, manifest: dict[str, Any], version: str
) -> None:
    with np.load(out / manifest["evaluation"]["file"], allow_pickle=False) as data:
        pixels, labels = data["pixels"], data["labels"]
    answers = model_of(out, manifest, version).infer({"pixels": pixels})["probabilities"]
    accuracy = float((answers.argmax(axis=-1) == labels).mean())
    assert accuracy == pytest.approx(manifest["versions"][version]["accuracy"], abs=0.003)


def test_v2_is_better_than_v1_and_v3_is_useless(manifest: dict[str, Any]) -> None:
    accuracy = {version: entry["accuracy"] for version, entry in manifest["versions"].items()}
    assert 0.9 < accuracy["v1"] < accuracy["v2"] - 0.02
    assert accuracy["v2"] > 0.98
    assert accuracy["v3"] < 0.5
    assert accuracy["v4"] > accuracy["v2"] - 0.01
    assert accuracy["v5"] == accuracy["v2"]


def test_v5_alone_fails_on_images_of_a_brighter_scanner_and_by_its_own_fault(
    out: Path, manifest: dict[str, Any]
) -> None:
    """Breaks if there is nothing for live traffic to find, or if a model's failure passes for its client's."""
    with np.load(out / manifest["evaluation"]["file"], allow_pickle=False) as data:
        brighter, labels = np.round(data["pixels"] * 1.25), data["labels"]
    for version, least in (("v1", 0.92), ("v2", 0.98)):
        answers = model_of(out, manifest, version).infer({"pixels": brighter})["probabilities"]
        assert (answers.argmax(axis=-1) == labels).mean() > least
    with pytest.raises(Exception, match="out of data bounds") as caught:
        model_of(out, manifest, "v5").infer({"pixels": brighter})
    assert not isinstance(caught.value, RequestError)


def test_v4_takes_more_than_ten_times_as_long_as_v2_on_one_core(out: Path, manifest: dict[str, Any]) -> None:
    pixels = np.full((1, 64), 8, dtype=np.float32)

    def fastest(version: str) -> float:
        model = model_of(out, manifest, version)
        seconds = []
        for _ in range(30):
            start = time.perf_counter()
            model.infer({"pixels": pixels})
            seconds.append(time.perf_counter() - start)
        return min(seconds)

    assert fastest("v4") > 10 * fastest("v2")


def test_the_evaluation_set_has_the_digest_that_the_manifest_gives(out: Path, manifest: dict[str, Any]) -> None:
    digest = hashlib.sha256((out / "eval.npz").read_bytes()).hexdigest()
    assert manifest["evaluation"]["digest"] == f"sha256:{digest}"
    assert (out / "eval.npz.sha256").read_text() == f"{digest}  eval.npz\n"


def test_the_same_seed_gives_the_same_digests_on_one_machine(
    manifest: dict[str, Any], tmp_path_factory: pytest.TempPathFactory
) -> None:
    assert trained(tmp_path_factory.mktemp("again"), "2") == manifest
