"""Latency while the model is changed again and again under a constant rate, and while it is not.

Each change is ordered as the server wants it and over when a request of our own is answered by the new version. The null
control has windows of the same lengths in which nothing is changed: what differs there is noise.
"""

from __future__ import annotations

import gc
import os
import tempfile
import threading
import time
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

from benchmarks.serving.constant_rate import ConstantRate, Record
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

    before = running.process.resident_bytes
    record, changes = _under_load(running, model, rate, plan, swap)
    growth = running.process.resident_bytes - before
    if record.saturated or not changes:
        return Swaps(name, rate, saturated=True)
    lengths = [end - begin for begin, end in changes]
    calm, pauses = _under_load(running, model, rate, plan, lambda: time.sleep(median(lengths)))
    if calm.saturated or median(calm.latencies) > _AT_ITS_LIMIT:
        return Swaps(name, rate, saturated=True)
    answers = [model.version_of(answer(body, {})) for body in (*record.kept, *calm.kept)]
    return Swaps(
        server=name,
        rate=rate,
        saturated=False,
        swaps=len(changes),
        swap_median_seconds=round(median(lengths), 6),
        swap_max_seconds=round(max(lengths), 6),
        windows=windows(record.due, record.latencies, changes),
        control=windows(calm.due, calm.latencies, pauses),
        requests=len(record.due) + len(calm.due),
        errors=record.errors + calm.errors,
        resets=record.resets + calm.resets,
        checked=len(answers),
        wrong=answers.count(None),
        bytes_per_swap=round(growth / len(changes), 1),
    )


def _under_load(
    running: Running, model: Model, rate: int, plan: Plan, change: Callable[[], None]
) -> tuple[Record, list[Span]]:
    """Make the plan's changes under its rate; the record and the span of each change."""
    request = question(model, "json").to_bytes(f"127.0.0.1:{running.port}", running.path)
    load = ConstantRate(running.port, request, rate)
    changes: list[Span] = []
    problems: list[Exception] = []

    def work() -> None:
        try:
            time.sleep(_WARM_SECONDS)
            for _ in range(plan.swaps):
                time.sleep(max(plan.calm, BEFORE_SECONDS))
                if load.record.saturated:
                    return
                begin = time.perf_counter()
                change()
                changes.append((begin, time.perf_counter()))
            time.sleep(plan.calm)
        except (HarnessError, OSError, ValueError) as problem:
            problems.append(problem)

    thread = threading.Thread(target=work)
    gc.disable()  # its pauses would be taken for the server's
    try:
        thread.start()
        record = load.run(lambda: not thread.is_alive())
    finally:
        gc.enable()
        thread.join()
    if problems and not record.saturated:
        raise problems[0]
    return record, changes


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
