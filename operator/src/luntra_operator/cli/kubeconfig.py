"""The namespace that a kubeconfig context names, as kubectl finds it.

Nothing but that: credentials and addresses are the business of `luntra_operator.kube`. A file that cannot be read names
no namespace; connecting will say what is wrong with it.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

if TYPE_CHECKING:
    from collections.abc import Mapping

DEFAULT = "default"


def namespace_of(context: str | None, kubeconfig: str | None, environment: Mapping[str, str]) -> str:
    """Give the context's namespace (None: of the current context), or `default`."""
    places = kubeconfig or environment.get("KUBECONFIG") or str(Path.home() / ".kube" / "config")
    files = [_read(Path(place)) for place in places.split(os.pathsep) if place]
    wanted = context or next((file["current-context"] for file in files if file.get("current-context")), None)
    for file in files:
        for entry in file.get("contexts") or []:
            if entry.get("name") == wanted:
                return (entry.get("context") or {}).get("namespace") or DEFAULT
    return DEFAULT


def _read(path: Path) -> dict[str, Any]:
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError):
        return {}
    return content if isinstance(content, dict) else {}
