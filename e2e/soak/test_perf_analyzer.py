"""NVIDIA's load generator, unchanged, against our server: over HTTP and over gRPC."""

import csv
import subprocess
from pathlib import Path

import pytest

from e2e.kind.progress import Progress
from e2e.perf_analyzer import PerfAnalyzer, ensure_perf_analyzer
from tests.serving.bundles import points_bundle
from tests.serving.processes import ServerProcess


@pytest.fixture(scope="module")
def perf_analyzer() -> PerfAnalyzer:
    """The program, installed if it may be."""
    return ensure_perf_analyzer(Progress())


@pytest.mark.parametrize("protocol", ["http", "grpc"])
def test_perf_analyzer_measures_us_without_an_error(perf_analyzer: PerfAnalyzer, protocol: str, tmp_path: Path) -> None:
    """Breaks if configuration, statistics or the binary tensor form differ from what Triton's tools expect."""
    bundle = points_bundle(tmp_path / "points")
    with ServerProcess(bundle.folder, "--grpc-port", "0") as server:
        server.wait_ready()
        address = server.address if protocol == "http" else server.grpc
        figures = tmp_path / "figures.csv"
        command: list[str | Path] = [
            perf_analyzer.program,
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
        ended = subprocess.run(
            command, env=perf_analyzer.environment, capture_output=True, text=True, timeout=120, check=False
        )
        assert ended.returncode == 0, ended.stdout + ended.stderr
        code = 'luntra_inference_requests_total{code="%s",model="points",version="v1"}'
        assert server.metric(code % 200) > 100
        assert server.metric(code % 400) == 0
    [row] = csv.DictReader(figures.read_text().splitlines())
    assert float(row["Inferences/Second"]) > 0
