"""Latency while the model is changed again and again under a constant rate, and while it is not.

Each change is ordered as the server wants it and over when a request of our own is answered by the new version. The null
control comes first and has windows as long as one change without load takes, in which nothing is changed: what differs
there is noise.
"""

from __future__ import annotations

import gc
import os
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

from benchmarks.serving.constant_rate import PATIENCE_SECONDS, ConstantRate, Record
from benchmarks.serving.models import VERSIONS
from benchmarks.serving.process import ask, cores
from benchmarks.serving.results import Swaps
from benchmarks.serving.windows import BEFORE_SECONDS, Span, windows
from benchmarks.serving.wire import answer, question
from e2e.kind.errors import HarnessError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from benchmarks.serving.models import Model
    from benchmarks.serving.peers.protocol import Running, Server
    from benchmarks.serving.plan import Plan
    from e2e.kind.progress import Progress

_SWAP_SECONDS = 30.0
_LOOK_SECONDS = 0.02
_WARM_SECONDS = 2.0
_AT_ITS_LIMIT = 0.05
"""Median seconds of a server at rest above which a queue of requests is what is measured."""


def swap_latencies(
    servers: Sequence[Server], model: Model, plan: Plan, work: Path, progress: Progress
) -> tuple[Swaps, ...]:
    """Measure each server at each rate of the plan. Raises HarnessError."""
    found = []
    client, core = cores()
    usable = os.sched_getaffinity(0)
    for rate in plan.rates:
        for server in servers:
            with (
                progress.step(f"swaps of {server.name} at {rate} requests/s"),
                tempfile.TemporaryDirectory(dir=work) as name,
            ):
                running = server.start(model, Path(name), core)
                os.sched_setaffinity(0, {client})
                try:
                    found.append(_measure(server.name, running, model, rate, plan))
                finally:
                    os.sched_setaffinity(0, usable)
                    running.process.stop()
    return tuple(found)


def _measure(name: str, running: Running, model: Model, rate: int, plan: Plan) -> Swaps:
    if running.reload is None:
        return Swaps(name, rate, saturated=False)
    reload, turns = running.reload, iter(range(1, 10**6))

    def swap() -> None:
        version = VERSIONS[next(turns) % len(VERSIONS)]
        reload(version)
        _wait_for(running, model, version)

    swap()
    began = time.perf_counter()
    swap()
    length = time.perf_counter() - began
    calm = _under_load(running, model, rate, plan, lambda: time.sleep(length))
    if calm.record.saturated or median(calm.record.latencies) > _AT_ITS_LIMIT:
        return Swaps(name, rate, saturated=True)
    before = running.process.resident_bytes
    moved = _under_load(running, model, rate, plan, swap)
    growth = running.process.resident_bytes - before
    if not moved.changes:
        raise HarnessError(f"{name} did not change its model at {rate} requests/s: {moved.broken_off}")
    lengths = [end - begin for begin, end in moved.changes]
    records = (calm.record, moved.record)
    answers = [model.version_of(answer(body, {})) for record in records for body in record.kept]
    return Swaps(
        server=name,
        rate=rate,
        saturated=False,
        broken_off=moved.broken_off,
        swaps=len(lengths),
        swap_median_seconds=round(median(lengths), 6),
        swap_max_seconds=round(max(lengths), 6),
        windows=windows(moved.record.due, moved.record.latencies, moved.changes),
        control=windows(calm.record.due, calm.record.latencies, calm.changes),
        requests=sum(len(record.due) for record in records),
        errors=sum(record.errors for record in records),
        resets=sum(record.resets for record in records),
        checked=len(answers),
        wrong=answers.count(None),
        bytes_per_swap=round(growth / len(lengths), 1),
    )


@dataclass(frozen=True)
class _Phase:
    """What the client recorded, the span of each change, and why there were fewer changes than planned, if there were."""

    record: Record
    changes: list[Span]
    broken_off: str


def _under_load(running: Running, model: Model, rate: int, plan: Plan, change: Callable[[], None]) -> _Phase:
    """Make the plan's changes under its rate, until the server stands still for too long or refuses."""
    request = question(model, "json").to_bytes(f"127.0.0.1:{running.port}", running.path)
    load = ConstantRate(running.port, request, rate)
    changes: list[Span] = []
    problems: list[str] = []

    def work() -> None:
        try:
            time.sleep(_WARM_SECONDS)
            for _ in range(plan.swaps):
                time.sleep(max(plan.calm, BEFORE_SECONDS))
                if load.record.saturated:
                    problems.append(f"{PATIENCE_SECONDS:g} seconds' worth of requests were waiting")
                    return
                begin = time.perf_counter()
                change()
                changes.append((begin, time.perf_counter()))
                _wait_until_caught_up(load)
            time.sleep(plan.calm)
        except (HarnessError, OSError, ValueError) as problem:
            problems.append(str(problem))

    thread = threading.Thread(target=work)
    gc.disable()  # its pauses would be taken for the server's
    try:
        thread.start()
        record = load.run(lambda: not thread.is_alive())
    finally:
        gc.enable()
        thread.join()
    return _Phase(record, changes, "; ".join(problems))


def _wait_until_caught_up(load: ConstantRate) -> None:
    """Wait until the requests that a change has kept waiting are sent: they are not what is before the next one."""
    limit = time.monotonic() + _SWAP_SECONDS
    while load.behind and not load.record.saturated and time.monotonic() < limit:
        time.sleep(_LOOK_SECONDS)


def _wait_for(running: Running, model: Model, version: str) -> None:
    asked = question(model, "json")
    limit = time.monotonic() + _SWAP_SECONDS
    while time.monotonic() < limit:
        reply = ask(running.port, "POST", running.path, asked.body, asked.headers)
        if reply.status == 200 and model.version_of(answer(reply.body, reply.headers)) == version:
            return
        time.sleep(_LOOK_SECONDS)
    raise HarnessError(
        f"{model.name} {version} did not answer within {_SWAP_SECONDS:g} s of the order; last: {reply.status}"
    )
