"""The demo's models: trained once, kept in the cache by the content of the code and the lock file that make them."""

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from e2e.kind import cache
from e2e.kind.progress import Progress

REPOSITORY = Path(__file__).parents[2]
EXAMPLE = REPOSITORY / "examples" / "digits"


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


def trained(progress: Progress) -> Models:
    """The models, trained now if the cache has none of this code."""
    code = cache.tree_key(EXAMPLE, REPOSITORY / "inference-image" / "src")
    key = cache.content_key("digits", code, (REPOSITORY / "uv.lock").read_text())

    def train(target: Path) -> None:
        progress.run([sys.executable, str(EXAMPLE / "train.py"), "--out", str(target)], "train-digits")

    with progress.step("train the digits models (v1 softmax, v2 CNN, v3 with wrong constants, v4 slow)"):
        folder = cache.ensure("models", "digits", key, train, progress)
    return Models(folder, json.loads((folder / "manifest.json").read_text()))
