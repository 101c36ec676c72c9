"""What this machine is, and how fast at nothing in particular: figures of two machines are not to be compared."""

from __future__ import annotations

import os
import platform
import timeit
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from statistics import median

from benchmarks.serving.results import Calibration, Machine

_CALLS = 100_000
_REPEATS = 15
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
    names: dict[str, object] = {"source": bytearray(_BLOCK), "target": bytearray(_BLOCK)}
    return Calibration(empty_call(), _BLOCK / seconds_of("target[:] = source", names, 1))


def empty_call() -> float:
    """Seconds of a call of a function that does nothing."""
    return seconds_of("nothing()", {"nothing": _nothing}, _CALLS)


def seconds_of(statement: str, names: dict[str, object], times: int) -> float:
    """Median seconds of one run of `statement`, of repeats of so many runs each, without those of the loop around it."""
    return max(_median(statement, names, times) - _median("pass", names, times), 0.0)


def _median(statement: str, names: dict[str, object], times: int) -> float:
    return median(timeit.repeat(statement, globals=names, number=times, repeat=_REPEATS)) / times


def _nothing() -> None:
    """What the cost of a call is."""
