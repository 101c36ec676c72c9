"""What a version takes in memory: measured while it is loaded, and expected of the next one by what was measured.

The process's resident memory grows by what a load brings in, and by whatever else happens meanwhile. So two loads at a time are
not measured at all, and a version never counts for less than its files.
"""

from __future__ import annotations

import contextlib
import os
import threading
from pathlib import Path
from typing import TYPE_CHECKING

from luntra_serving.swap.budget import Size

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_STATM = Path("/proc/self/statm")


def resident_memory() -> int | None:
    """Return the bytes of this process in memory, or None where the system does not say (it is Linux that does)."""
    try:
        pages = int(_STATM.read_text().split()[1])
    except OSError:
        return None
    return pages * os.sysconf("SC_PAGE_SIZE")


class Footprints:
    """One for all models of a process; `resident` returns its bytes in memory. Safe to use from any thread."""

    def __init__(self, resident: Callable[[], int | None] = resident_memory) -> None:
        self._resident = resident
        self._beyond_files: dict[str, int] = {}
        self._lock = threading.Lock()
        self._begun = self._running = 0

    def expected(self, model: str, files: int) -> Size:
        """What a version with so many bytes of files takes: as much beyond them as the version measured last."""
        return Size(host=files + self._beyond_files.get(model, 0))

    @contextlib.contextmanager
    def measure(self, model: str, files: int) -> Iterator[None]:
        """Learn from a load what the model takes beyond its files, unless the load fails or another one runs beside it."""
        with self._lock:
            self._running += 1
            self._begun += 1
            alone, mine = self._running == 1, self._begun
        before = self._resident()
        try:
            yield
            now = self._resident()
            if alone and self._begun == mine and now is not None and before is not None:
                self._beyond_files[model] = max(0, now - before - files)
        finally:
            with self._lock:
                self._running -= 1
