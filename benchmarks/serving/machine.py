"""What this machine is, and how fast at nothing in particular: figures of two machines are not to be compared."""

from __future__ import annotations

import os
import platform
import time
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

from benchmarks.serving.results import Calibration, Machine

if TYPE_CHECKING:
    from collections.abc import Callable

_CALLS = 100_000
_REPEATS = 9
_BLOCK = 64 << 20


def machine() -> Machine:
    """Describe this machine as it is now."""
    models = [line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")]
    return Machine(
        processor=models[0].partition(":")[2].strip() if models else platform.machine(),
        cores=len(os.sched_getaffinity(0)),
        memory_bytes=os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"),
        system=f"{platform.system()} {platform.release().partition('-')[0]}",
        python=platform.python_version(),
        onnxruntime=version("onnxruntime"),
        date=datetime.now(UTC).date().isoformat(),
        load_before=round(os.getloadavg()[0], 2),
    )


def calibrate() -> Calibration:
    """Time an empty call and the copying of 64 MiB."""
    source, target = bytearray(_BLOCK), bytearray(_BLOCK)

    def copy() -> None:
        target[:] = source

    return Calibration(seconds_of(_nothing, _CALLS), _BLOCK / seconds_of(copy, 1))


def seconds_of(call: Callable[[], object], times: int) -> float:
    """Median seconds of one call, of repeats of so many calls each, without what the loop around them takes."""
    return max(_per_call(call, times) - (_per_call(None, times) if times > 1 else 0.0), 0.0)


def _per_call(call: Callable[[], object] | None, times: int) -> float:
    found = []
    for _ in range(_REPEATS):
        began = time.perf_counter()
        if call is None:
            for _ in range(times):
                pass
        else:
            for _ in range(times):
                call()
        found.append((time.perf_counter() - began) / times)
    return median(found)


def _nothing() -> None:
    """What the cost of a call is."""
