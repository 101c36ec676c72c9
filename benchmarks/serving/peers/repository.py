"""The model repository extension as the peers that follow Triton have it: a new file, then a load request."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

from benchmarks.serving.process import ask
from e2e.kind.errors import HarnessError

if TYPE_CHECKING:
    from pathlib import Path

    from benchmarks.serving.models import Model


def place(model: Model, version: str, path: Path) -> None:
    """Put a version's ONNX file at `path`, in one step."""
    fresh = path.with_name(path.name + ".new")
    shutil.copyfile(model.versions[version].onnx, fresh)
    fresh.rename(path)


def load(model: Model, port: int) -> None:
    """Have the server load its file again; returns when the server says that it has. Raises HarnessError if it refuses."""
    reply = ask(port, "POST", f"/v2/repository/models/{model.name}/load", b"{}")
    if reply.status != 200:
        raise HarnessError(f"loading {model.name} was refused with {reply.status}: {reply.body[:300]!r}")
