"""`python -m benchmarks.serving`: measure the servers side by side and write the results to build/bench."""

from __future__ import annotations

import argparse
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.serving.closed_loop import ensure_wrk
from benchmarks.serving.machine import calibrate, machine
from benchmarks.serving.models import digits, points
from benchmarks.serving.plan import QUICK, WHOLE
from benchmarks.serving.plot import draw
from benchmarks.serving.publish import OUTPUT
from benchmarks.serving.report import render
from benchmarks.serving.results import Named, Results, write
from benchmarks.serving.servers import NAMES, servers
from benchmarks.serving.swap_cost import swap_cost
from benchmarks.serving.swap_latency import swap_latencies
from benchmarks.serving.targets import targets
from benchmarks.serving.throughput import throughput
from e2e.kind.errors import HarnessError
from e2e.kind.progress import Progress
from e2e.perf_analyzer import ensure_perf_analyzer

if TYPE_CHECKING:
    from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; 1 with a message if something that it needs cannot be had."""
    options = _parser().parse_args(arguments)
    try:
        results = run(options.quick, options.server or NAMES, Progress())
    except HarnessError as error:
        print(f"bench-serving: {error}", file=sys.stderr)
        return 1
    OUTPUT.mkdir(parents=True, exist_ok=True)
    (OUTPUT / "serving.json").write_bytes(write(results))
    (OUTPUT / "serving.svg").write_text(draw(results))
    (OUTPUT / "serving.md").write_text(render(results, "serving.svg"))
    for target in targets(results):
        print(f"{target.verdict:9} {target.what}: {target.found} (target {target.wanted})")
    print(f"the whole: {OUTPUT / 'serving.md'}")
    return 0


def run(quick: bool, names: Sequence[str], progress: Progress) -> Results:
    """Measure everything. Raises HarnessError."""
    plan = QUICK if quick else WHOLE
    ensure_wrk(progress)
    tool = ensure_perf_analyzer(progress)
    compared = servers(names, progress)
    with tempfile.TemporaryDirectory(prefix="luntra-bench-") as name:
        work = Path(name)
        models = [points(work / "models"), digits(work / "models", progress)]
        results = Results(
            machine=machine(),
            calibration=calibrate(),
            servers=tuple(Named(one.name, one.title, one.reloading) for one in compared),
            quick=quick,
        )
        began = progress.elapsed
        closed = throughput(compared, models, plan, work, tool, progress)
        swaps = swap_latencies(compared, models[-1], plan, work, progress)
        with progress.step("cost of the swapper"):
            cost = swap_cost(models[0], work)
    seconds = round(progress.elapsed - began, 1)
    return replace(results, throughput=closed, swaps=swaps, swap_cost=cost, seconds=seconds)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.serving", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a few minutes: shows that it works, proves nothing")
    parser.add_argument("--server", action="append", choices=NAMES, help="only this one; may be given again")
    return parser


if __name__ == "__main__":
    sys.exit(main())
