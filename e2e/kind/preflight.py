"""What this machine can do: container engine, capabilities, and whether images can be pulled.

Looks and decides; it installs nothing (`debian`) and starts nothing (`engine`).
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING

from e2e.kind import cache, versions

if TYPE_CHECKING:
    from e2e.kind.engine import Engine
    from e2e.kind.progress import Progress

CAP_SYS_RESOURCE = 24
PULL_PATIENCE = 10.0
PULL_DECISION_HOLDS = 24 * 3600.0


def has_capability(number: int, status: str) -> bool:
    """Tell from the text of /proc/self/status whether a capability is in the bounding set."""
    for line in status.splitlines():
        if line.startswith("CapBnd:"):
            return bool(int(line.split()[1], 16) >> number & 1)
    return True


def lacks_sys_resource() -> bool:
    """Tell whether even root may not raise limits here, so that `--privileged` containers cannot be started as is."""
    return not has_capability(CAP_SYS_RESOURCE, Path("/proc/self/status").read_text())


def docker_answers(host: str | None) -> bool:
    """Tell whether a docker daemon answers, at `host` or where the docker command looks by itself."""
    if shutil.which("docker") is None:
        return False
    env = {**os.environ, **({"DOCKER_HOST": host} if host else {})}
    try:
        done = subprocess.run(
            ["docker", "version", "--format", "{{.Server.Version}}"],
            env=env,
            capture_output=True,
            check=False,
            timeout=10,
        )
    except subprocess.TimeoutExpired:
        return False
    return done.returncode == 0


def decision_is_fresh(decided: float, now: float) -> bool:
    """Tell whether a decision made at the Unix time `decided` still holds at `now`; one from the future does not."""
    return 0 <= now - decided < PULL_DECISION_HOLDS


def can_pull(engine: Engine, progress: Progress) -> bool:
    """Tell whether published images can be pulled, by starting to pull the node image; remembered for a day.

    LUNTRA_IMAGES=build or LUNTRA_IMAGES=pull decides without trying.
    """
    if chosen := os.environ.get("LUNTRA_IMAGES"):
        return chosen == "pull"
    if engine.has_image(versions.PUBLISHED_NODE):
        return True
    memory = cache.root() / "can-pull.json"
    if memory.exists():
        known = json.loads(memory.read_text())
        if decision_is_fresh(known["decided"], time.time()):
            return bool(known["can_pull"])
    with progress.step("find out whether images can be pulled"):
        answer = _try(engine)
    half = memory.with_suffix(f".{os.getpid()}")
    half.write_text(json.dumps({"can_pull": answer, "decided": time.time()}))
    half.replace(memory)
    return answer


def _try(engine: Engine) -> bool:
    child = subprocess.Popen(
        ["docker", "pull", versions.PUBLISHED_NODE],
        env=engine.env,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    # A pull that is still running after the patience is over is downloading: that is a yes, and it is left to `up`.
    try:
        child.communicate(timeout=PULL_PATIENCE)
    except subprocess.TimeoutExpired:
        child.kill()
        output, _ = child.communicate()
        return "Pulling fs layer" in output or "Downloading" in output
    return child.returncode == 0
