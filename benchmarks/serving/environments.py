"""A Python environment per peer, installed once from PyPI and kept in the cache under its name and version."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from importlib.metadata import version
from typing import TYPE_CHECKING

from e2e.kind import cache

if TYPE_CHECKING:
    from pathlib import Path

    from e2e.kind.progress import Progress

_MARK = "installed"


@dataclass(frozen=True)
class Environment:
    """A virtual environment."""

    folder: Path

    @property
    def python(self) -> Path:
        """Its interpreter."""
        return self.folder / "bin" / "python"

    @property
    def packages(self) -> Path:
        """Its site-packages."""
        return self.folder / "lib" / f"python{sys.version_info.major}.{sys.version_info.minor}" / "site-packages"


def environment(package: str, release: str, progress: Progress) -> Environment:
    """The environment with `package` in the given release and the onnxruntime that our own server uses.

    It is written in place, for scripts of an environment name its folder: a mark says that it is complete.
    """
    folder = cache.folder("bench") / f"{package}-{release}"
    ready = folder / _MARK
    wanted = [f"{package}=={release}", f"onnxruntime=={version('onnxruntime')}"]
    if ready.exists() and ready.read_text().split() == wanted:
        return Environment(folder)
    with cache.lock(f"bench-{package}", progress), progress.step(f"install {package} {release}"):
        cache.discard(folder)
        progress.run(["uv", "venv", "--quiet", "--python", sys.executable, str(folder)], f"bench-{package}")
        install = ["uv", "pip", "install", "--quiet", "--python", str(folder / "bin" / "python"), *wanted]
        progress.run(install, f"bench-{package}")
        ready.write_text("\n".join(wanted))
    return Environment(folder)
