"""NVIDIA's load generator, unchanged, against our server: over HTTP and over gRPC."""

import csv
import ctypes.util
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from e2e.kind.gobuild import python_wheel
from e2e.kind.progress import Progress
from tests.serving.bundles import points_bundle
from tests.serving.processes import ServerProcess

LAST_WITH_BINARY = "2.50.0"
"""Release of tritonclient that is the last one to carry the program."""
CUDA_RUNTIME = "12.9.79"
"""It is linked against this library and asks nothing of it where there is no GPU."""


@pytest.fixture(scope="module")
def perf_analyzer() -> tuple[Path, dict[str, str]]:
    """The program and the environment that it needs."""
    if ctypes.util.find_library("b64") is None:
        if os.geteuid() or not shutil.which("apt-get"):
            pytest.skip("perf_analyzer needs libb64: sudo apt-get install libb64-0d")
        subprocess.run(["apt-get", "install", "-y", "-qq", "libb64-0d"], check=True, capture_output=True)
    progress = Progress()
    program = next(python_wheel("tritonclient", LAST_WITH_BINARY, progress).rglob("perf_analyzer"))
    program.chmod(0o755)
    libraries = python_wheel("nvidia-cuda-runtime-cu12", CUDA_RUNTIME, progress) / "nvidia" / "cuda_runtime" / "lib"
    return program, {**os.environ, "LD_LIBRARY_PATH": str(libraries)}


@pytest.mark.parametrize("protocol", ["http", "grpc"])
def test_perf_analyzer_measures_us_without_an_error(
    perf_analyzer: tuple[Path, dict[str, str]], protocol: str, tmp_path: Path
) -> None:
    """Breaks if configuration, statistics or the binary tensor form differ from what Triton's tools expect."""
    program, environment = perf_analyzer
    bundle = points_bundle(tmp_path / "points")
    with ServerProcess(bundle.folder, "--grpc-port", "0") as server:
        server.wait_ready()
        address = server.address if protocol == "http" else server.grpc
        figures = tmp_path / "figures.csv"
        command: list[str | Path] = [
            program,
            "-m",
            "points",
            "-u",
            address,
            "-i",
            protocol,
            "--shape",
            "points:1,3",
            "-f",
            figures,
        ]
        command += ["--concurrency-range", "4", "--measurement-mode", "count_windows"]
        ended = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)
        assert ended.returncode == 0, ended.stdout + ended.stderr
        code = 'luntra_inference_requests_total{code="%s",model="points",version="v1"}'
        assert server.metric(code % 200) > 100
        assert server.metric(code % 400) == 0
    [row] = csv.DictReader(figures.read_text().splitlines())
    assert float(row["Inferences/Second"]) > 0
