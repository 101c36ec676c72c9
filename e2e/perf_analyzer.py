"""NVIDIA's load generator for the protocol, as the tritonclient wheel brought it: the program, and what it needs to start."""

import ctypes.util
import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from e2e.kind.errors import HarnessError
from e2e.kind.gobuild import python_wheel
from e2e.kind.progress import Progress

LAST_WITH_BINARY = "2.50.0"
"""Release of tritonclient that is the last one to carry the program."""
CUDA_RUNTIME = "12.9.79"
"""It is linked against this library and asks nothing of it where there is no GPU."""


@dataclass(frozen=True)
class PerfAnalyzer:
    """The program and its environment variables."""

    program: Path
    environment: dict[str, str]


def ensure_perf_analyzer(progress: Progress) -> PerfAnalyzer:
    """Return the program, installing what it needs.

    Raises:
        HarnessError: a Debian package is missing; the message has the command.
    """
    if ctypes.util.find_library("b64") is None:
        if os.geteuid() != 0 or shutil.which("apt-get") is None:
            raise HarnessError("perf_analyzer needs libb64; type: sudo apt-get install -y libb64-0d")
        progress.run(["apt-get", "install", "-y", "-qq", "libb64-0d"], "perf-analyzer")
    program = next(python_wheel("tritonclient", LAST_WITH_BINARY, progress).rglob("perf_analyzer"))
    program.chmod(0o755)
    libraries = python_wheel("nvidia-cuda-runtime-cu12", CUDA_RUNTIME, progress) / "nvidia" / "cuda_runtime" / "lib"
    return PerfAnalyzer(program, {**os.environ, "LD_LIBRARY_PATH": str(libraries)})
