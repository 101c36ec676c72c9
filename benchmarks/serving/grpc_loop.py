"""Throughput over gRPC: as many requests at once as asked for, each followed by the next when its answer has come.

The client is perf_analyzer, NVIDIA's own, in C++. It reports a rate; how many requests were answered, and how many failed, the
server's own statistics say, by the protocol's statistics extension. That the answers are right is checked with requests of
our own, before and after.
"""

from __future__ import annotations

import csv
import json
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING

import grpc
import numpy as np

from benchmarks.serving.closed_loop import SAMPLE, Measured
from benchmarks.serving.process import ask
from e2e.kind.errors import HarnessError
from luntra_serving.server.grpc import messages

if TYPE_CHECKING:
    from pathlib import Path

    from benchmarks.serving.models import Model
    from benchmarks.serving.peers.protocol import Running
    from e2e.perf_analyzer import PerfAnalyzer

_WINDOWS = 3
"""Time windows that perf_analyzer wants at least; their average is what it reports."""


@dataclass(frozen=True)
class Counts:
    """What a server has answered so far."""

    good: int
    bad: int


def measure_grpc(
    tool: PerfAnalyzer, server: Running, model: Model, connections: int, seconds: float, core: int, work: Path
) -> Measured:
    """Ask the server for about `seconds` from `core`.

    Raises:
        HarnessError: perf_analyzer failed, or an answer was not the model's.
    """
    _verify(server, model)
    data, figures = work / "grpc-input.json", work / "grpc-figures.csv"
    row = {"content": list(model.row), "shape": [1, len(model.row)]}
    data.write_text(json.dumps({"data": [{model.input: row}]}))
    command = [
        *("taskset", "--cpu-list", str(core), str(tool.program), "-m", model.name),
        *("-u", f"127.0.0.1:{server.grpc_port}", "-i", "grpc", "--async", "--input-data", str(data)),
        *("--concurrency-range", str(connections), "--measurement-interval", str(int(seconds * 1000 / _WINDOWS))),
        *("--max-trials", str(_WINDOWS), "--stability-percentage", "999", "-f", str(figures)),
    ]
    before, computed = counts(server, model), server.process.processor_seconds
    done = subprocess.run(
        command, env=tool.environment, capture_output=True, text=True, check=False, timeout=seconds + 120
    )
    if done.returncode != 0:
        raise HarnessError(f"perf_analyzer failed with {done.returncode}: {(done.stderr or done.stdout)[-1000:]}")
    computed = server.process.processor_seconds - computed
    after = counts(server, model)
    _verify(server, model)
    rate = reported_rate(figures.read_text())
    good = after.good - before.good  # of the whole of it; the rate is that of the windows
    return Measured(good, good / rate, computed, refused=after.bad - before.bad, broken=0)


def reported_rate(figures: str) -> float:
    """Answers in a second, from the CSV that perf_analyzer writes.

    Raises:
        HarnessError: it has no such figure.
    """
    rows = list(csv.DictReader(figures.splitlines()))
    if len(rows) != 1 or not rows[0].get("Inferences/Second"):
        raise HarnessError(f"perf_analyzer reported no result: {figures[-500:]!r}")
    return float(rows[0]["Inferences/Second"])


def counts(server: Running, model: Model) -> Counts:
    """Read the server's statistics of all versions of a model. Raises HarnessError if it has none."""
    reply = ask(server.port, "GET", f"/v2/models/{model.name}/stats")
    if reply.status != 200:
        raise HarnessError(f"the statistics of {model.name} were answered with {reply.status}: {reply.body[:300]!r}")
    found = [one["inference_stats"] for one in json.loads(reply.body)["model_stats"]]
    good, bad = (sum(one[kind]["count"] for one in found) for kind in ("success", "fail"))
    return Counts(good, bad)


def _verify(server: Running, model: Model) -> None:
    request = messages.REQUESTS["ModelInfer"](
        model_name=model.name,
        inputs=[{"name": model.input, "datatype": "FP32", "shape": [1, len(model.row)]}],
        raw_input_contents=[np.array(model.row, dtype="<f4").tobytes()],
    ).SerializeToString()
    with grpc.insecure_channel(f"127.0.0.1:{server.grpc_port}") as channel:
        infer = channel.unary_unary(f"/{messages.SERVICE}/ModelInfer")
        for _ in range(SAMPLE):
            response = messages.ModelInferResponse.FromString(infer(request, timeout=60))
            values = [float(value) for value in np.frombuffer(response.raw_output_contents[0], "<f4")]
            if model.version_of(values) is None:
                raise HarnessError(f"{model.name} answered wrongly over gRPC: {values}")
