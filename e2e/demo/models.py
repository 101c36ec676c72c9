"""The demo's models: trained once, kept in the cache by the content of what determines them."""

import json
import sys
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from e2e.kind import cache
from e2e.kind.progress import Progress

REPOSITORY = Path(__file__).parents[2]
EXAMPLE = REPOSITORY / "examples" / "digits"
LIBRARIES = frozenset(
    {"numpy", "onnx", "onnx-ir", "onnxscript", "protobuf", "pydantic", "pyyaml", "scikit-learn", "torch"}
)
"""What the training and the packing of bundles use: another release may write other bytes."""


@dataclass(frozen=True)
class Models:
    """Bundles and evaluation set in `folder`, as its manifest.json describes them."""

    folder: Path
    manifest: dict[str, Any]

    @property
    def evaluation(self) -> Path:
        """The labelled set: .npz with the model's input and `labels`."""
        return self.folder / str(self.manifest["evaluation"]["file"])

    def bundle(self, version: str) -> tuple[Path, str]:
        """Folder and digest of a version's bundle."""
        entry = self.manifest["versions"][version]
        return self.folder / entry["folder"], entry["digest"]


def training_key(repository: Path = REPOSITORY) -> str:
    """Return the content key of what determines the models: the code that trains and packs them, and its libraries.

    The server's other code is left out: it changes daily, and no byte of a bundle with it.
    """
    scripts = sorted((repository / "examples" / "digits").glob("*.py"))
    code = cache.tree_key(*scripts, repository / "inference-image" / "src" / "luntra_serving" / "bundle")
    locked = tomllib.loads((repository / "uv.lock").read_text())["package"]
    libraries = sorted(f"{one['name']}=={one['version']}" for one in locked if one["name"] in LIBRARIES)
    return cache.content_key("digits", code, *libraries)


def trained(progress: Progress) -> Models:
    """The models, trained now if the cache has none of this code."""

    def train(target: Path) -> None:
        progress.run([sys.executable, str(EXAMPLE / "train.py"), "--out", str(target)], "train-digits")

    with progress.step("train the digits models (v1 softmax, v2 CNN, v3 with wrong constants, v4 slow, v5 fragile)"):
        folder = cache.ensure("models", "digits", training_key(), train, progress)
    return Models(folder, json.loads((folder / "manifest.json").read_text()))
