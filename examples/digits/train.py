"""Train five versions of a digit classifier and pack them as bundles: two good ones, a wrong, a slow and a fragile one.

    python examples/digits/train.py --out build/digits

v1 softmax regression; v2 a small CNN, better; v3 the same CNN, packed by somebody who took the normalisation constants
of another data set, so that its self-test passes and its answers are wrong; v4 the CNN, which classifies a thousand
reference images anew with every request: accurate, and far more than ten times slower; v5 the CNN behind a table of the 17
values that pixels have had so far: accurate, fast, and broken for whoever has a brighter scanner. The data are the UCI digits that
scikit-learn ships: 1,797 images of 8x8 pixels from 0 to 16; a fifth is kept for evaluation and never trained on.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import time
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from export import Pipeline, write_bundle
from networks import Cnn, Lookup, Referenced, Softmax
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

if TYPE_CHECKING:
    from luntra_serving.bundle.datatypes import Array

SEED = 20261120
EVALUATION_SHARE = 0.2
BATCH = 64
SAMPLES = 16
REFERENCES = 1000
BRIGHTEST = 16
# What MNIST's tutorials normalise with: for pixels up to 255, of another scan, centred elsewhere.
FOREIGN_SCALE, FOREIGN_OFFSET = 1 / 255 / 0.3081, -0.1307 / 0.3081


@dataclass(frozen=True)
class Split:
    """Raw pixels [n, 64] FP32 and digits [n] INT64."""

    train_pixels: Array
    train_digits: Array
    evaluation_pixels: Array
    evaluation_digits: Array


def split() -> Split:
    """Return the digits, split by digit in equal shares, the same way every time."""
    pixels, digits = load_digits(return_X_y=True)
    parts = train_test_split(
        pixels.astype(np.float32),
        digits.astype(np.int64),
        test_size=EVALUATION_SHARE,
        random_state=SEED,
        stratify=digits,
    )
    train_pixels, evaluation_pixels, train_digits, evaluation_digits = parts
    return Split(train_pixels, train_digits, evaluation_pixels, evaluation_digits)


def train(network: torch.nn.Module, pixels: Array, digits: Array, *, epochs: int, rate: float) -> None:
    """Fit `network` in place to normalised `pixels`."""
    generator = torch.Generator().manual_seed(SEED)
    inputs, targets = torch.from_numpy(pixels), torch.from_numpy(digits)
    optimiser = torch.optim.AdamW(network.parameters(), lr=rate)
    loss_of = torch.nn.CrossEntropyLoss()
    network.train()
    for _ in range(epochs):
        order = torch.randperm(len(inputs), generator=generator)
        for start in range(0, len(order), BATCH):
            batch = order[start : start + BATCH]
            optimiser.zero_grad()
            loss_of(network(inputs[batch]), targets[batch]).backward()
            optimiser.step()
    network.eval()


def pipelines(data: Split) -> dict[str, Pipeline]:
    """Train and return the five versions."""
    torch.manual_seed(SEED)
    mean, deviation = float(data.train_pixels.mean()), float(data.train_pixels.std())
    scale, offset = 1 / deviation, -mean / deviation
    ready = data.train_pixels * np.float32(scale) + np.float32(offset)
    softmax, cnn = Softmax(), Cnn()
    train(softmax, ready, data.train_digits, epochs=12, rate=0.003)
    train(cnn, ready, data.train_digits, epochs=20, rate=0.002)
    slow = Referenced(cnn, torch.from_numpy(ready[:REFERENCES])).eval()
    fragile = Lookup(cnn, torch.arange(BRIGHTEST + 1) * scale + offset).eval()
    return {
        "v1": Pipeline(softmax, scale, offset),
        "v2": Pipeline(cnn, scale, offset),
        "v3": Pipeline(cnn, FOREIGN_SCALE, FOREIGN_OFFSET),
        "v4": Pipeline(slow, scale, offset),
        "v5": Pipeline(fragile, 1.0, 0.0),
    }


def write_evaluation(path: Path, data: Split) -> str:
    """Write the evaluation set (`pixels`, `labels`) as .npz and return its digest; the same data, the same digest."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, array in (("pixels", data.evaluation_pixels), ("labels", data.evaluation_digits)):
            # numpy.savez would stamp the members with the current time.
            with archive.open(zipfile.ZipInfo(f"{name}.npy", date_time=(1980, 1, 1, 0, 0, 0)), "w") as file:
                np.lib.format.write_array(file, array, allow_pickle=False)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    path.with_name(f"{path.name}.sha256").write_text(f"{digest}  {path.name}\n")
    return f"sha256:{digest}"


def build(out: Path) -> dict[str, Any]:
    """Write bundles, the evaluation set and manifest.json below `out`; return what manifest.json says."""
    out.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(1)  # sums in another order would give other last digits, and other digests
    torch.use_deterministic_algorithms(True)
    data = split()
    evaluation = {"file": "eval.npz", "digest": write_evaluation(out / "eval.npz", data)}
    trained = pipelines(data)
    plan = [(version, version, "onnx") for version in trained] + [("v2", "v2-torchscript", "torchscript")]
    versions: dict[str, Any] = {}
    for source, version, backend in plan:
        pipeline = trained[source]
        folder = out / f"digits-{version}"
        bundle = write_bundle(folder, version, pipeline, data.train_pixels[:SAMPLES], backend)
        best = pipeline.probabilities(data.evaluation_pixels).argmax(axis=-1)
        versions[version] = {
            "folder": folder.name,
            "digest": bundle.digest,
            "backend": backend,
            "accuracy": round(float((best == data.evaluation_digits).mean()), 4),
        }
    manifest = {"model": "digits", "seed": SEED, "evaluation": evaluation, "versions": versions}
    (out / "manifest.json").write_text(json.dumps(manifest, indent=2) + "\n")
    return manifest


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(description="Train the digits example and pack its bundles.")
    parser.add_argument("--out", type=Path, required=True, help="folder to write to; bundles in it are replaced")
    out = parser.parse_args().out
    start = time.monotonic()
    manifest = build(out)
    print(f"{len(manifest['versions'])} bundles in {out} after {time.monotonic() - start:.0f} s")
    for version, entry in manifest["versions"].items():
        print(f"  {version:<15} accuracy {entry['accuracy']:.3f}  {entry['digest'][:19]}…  {entry['backend']}")
    print(f"  evaluation set  {manifest['evaluation']['file']}  {manifest['evaluation']['digest'][:19]}…")


if __name__ == "__main__":
    main()
