"""How much memory this process may use: what the container is allowed, else what the machine has."""

from __future__ import annotations

import os
from pathlib import Path

_CGROUP = Path("/sys/fs/cgroup")


def usable_memory(cgroup: Path = _CGROUP) -> int:
    """Return the smaller of the machine's memory and the cgroup's limit (v2 or v1), in bytes."""
    machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    for limit in (cgroup / "memory.max", cgroup / "memory/memory.limit_in_bytes"):
        try:
            text = limit.read_text().strip()
        except OSError:
            continue
        return machine if text == "max" else min(machine, int(text))
    return machine
