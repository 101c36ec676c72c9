"""Install kinds, and wait until an API server serves them.

`kubectl wait` gives up at once on a CRD that it finds without any condition yet, so here they are read until all have it.
"""

from __future__ import annotations

import json
import subprocess
import time
from typing import TYPE_CHECKING, Any

from e2e.kind.errors import HarnessError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

SERVED_WITHIN = 60.0


def install(kubectl: Sequence[str], *sources: Path) -> None:
    """Apply the CRDs of files and folders with the command `kubectl` (which says to what server), and wait for them.

    Raises:
        HarnessError: one was refused, or is not served; the message says which.
    """
    files = [f"--filename={source}" for source in sources]
    _run([*kubectl, "apply", "--server-side", *files])
    until_served(kubectl)


def until_served(kubectl: Sequence[str]) -> None:
    """Wait until all CRDs of the server are established.

    Raises:
        HarnessError: one is not after a minute; the message names it.
    """
    deadline = time.monotonic() + SERVED_WITHIN
    while absent := [
        crd["metadata"]["name"]
        for crd in json.loads(_run([*kubectl, "get", "crd", "--output=json"]))["items"]
        if not _established(crd)
    ]:
        if time.monotonic() > deadline:
            raise HarnessError(f"not served after {SERVED_WITHIN:g} s: {', '.join(absent)}")
        time.sleep(0.2)


def _established(crd: dict[str, Any]) -> bool:
    conditions = crd.get("status", {}).get("conditions") or []
    return any(one["type"] == "Established" and one["status"] == "True" for one in conditions)


def _run(command: Sequence[str]) -> str:
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    if done.returncode != 0:
        raise HarnessError(f"{' '.join(command)}: {done.stderr.strip()}")
    return done.stdout
