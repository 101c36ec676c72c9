"""The closed loops of all servers, taking turns within each repeat, so that what disturbs this machine disturbs all."""

from __future__ import annotations

import tempfile
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeVar

from benchmarks.serving.closed_loop import CONNECTIONS, ENCODINGS, Measured, measure
from benchmarks.serving.grpc_loop import measure_grpc
from benchmarks.serving.process import cores
from benchmarks.serving.results import Throughput

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from benchmarks.serving.models import Model
    from benchmarks.serving.peers.protocol import Server
    from benchmarks.serving.plan import Plan
    from benchmarks.serving.wire import Encoding
    from e2e.kind.progress import Progress
    from e2e.perf_analyzer import PerfAnalyzer

Turn = TypeVar("Turn")
Cell = tuple[str, str, "Encoding | Literal['grpc']", int]
"""Server, model, encoding (gRPC has but one), connections."""


def throughput(
    servers: Sequence[Server], models: Sequence[Model], plan: Plan, work: Path, tool: PerfAnalyzer, progress: Progress
) -> tuple[Throughput, ...]:
    """Measure every combination, each server in a process of its own for each model. Raises HarnessError."""
    found: dict[Cell, list[Measured]] = defaultdict(list)
    for repeat in range(plan.repeats):
        for model in models:
            for server in turns(servers, repeat):
                with progress.step(f"throughput of {server.name}, {model.name}, {repeat + 1} of {plan.repeats}"):
                    for cell, measured in _measure(server, model, plan, work, tool):
                        found[cell].append(measured)
    return tuple(_summary(cell, measured) for cell, measured in found.items())


def turns(servers: Sequence[Turn], repeat: int) -> list[Turn]:
    """The servers, beginning with another one at each repeat."""
    begin = repeat % len(servers)
    return [*servers[begin:], *servers[:begin]]


def _measure(
    server: Server, model: Model, plan: Plan, work: Path, tool: PerfAnalyzer
) -> Iterator[tuple[Cell, Measured]]:
    client, core = cores()
    with tempfile.TemporaryDirectory(dir=work) as name:
        folder = Path(name)
        running = server.start(model, folder, core)
        try:
            for encoding in ENCODINGS if server.binary else ENCODINGS[:1]:
                for connections in CONNECTIONS:
                    measured = measure(running, model, encoding, connections, plan.closed_seconds, client, folder)
                    yield (server.name, model.name, encoding, connections), measured
            if running.grpc_port is not None:
                for connections in CONNECTIONS:
                    measured = measure_grpc(tool, running, model, connections, plan.closed_seconds, client, folder)
                    yield (server.name, model.name, "grpc", connections), measured
        finally:
            running.process.stop()


def _summary(cell: Cell, measured: list[Measured]) -> Throughput:
    rates = tuple(round(one.rate, 1) for one in measured)
    costs = tuple(round(one.cost, 9) for one in measured)
    return Throughput(*cell, rates=rates, costs=costs, bad=sum(one.refused + one.broken for one in measured))
