"""`python -m benchmarks.analysis`: simulate rollouts and write what becomes of them to build/bench."""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from time import process_time
from typing import TYPE_CHECKING

from benchmarks.analysis.plan import QUICK, WHOLE
from benchmarks.analysis.plot import draw
from benchmarks.analysis.report import render
from benchmarks.analysis.results import Results, write
from benchmarks.analysis.simulate import (
    all_bad,
    costs,
    delays,
    false_rollbacks,
    look_microseconds,
    series_false_rollbacks,
)
from benchmarks.serving.machine import machine
from benchmarks.serving.publish import OUTPUT
from e2e.kind.progress import Progress

if TYPE_CHECKING:
    from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.analysis", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="half a minute: shows that it works, proves nothing")
    results = run(parser.parse_args(arguments).quick, Progress())
    OUTPUT.mkdir(parents=True, exist_ok=True)
    (OUTPUT / "analysis.json").write_bytes(write(results))
    (OUTPUT / "analysis.svg").write_text(draw(results))
    (OUTPUT / "analysis.md").write_text(render(results, "analysis.svg"))
    print(f"the whole: {OUTPUT / 'analysis.md'}")
    return 0


def run(quick: bool, progress: Progress) -> Results:
    """Simulate everything."""
    plan = QUICK if quick else WHOLE
    results = Results(machine(), quick, plan.runs, plan.looks, plan.delay_runs, plan.windows, plan.series_runs)
    began = process_time()
    with progress.step("cost of a look, and a version that fails each request"):
        results = replace(results, look_microseconds=look_microseconds(), all_bad=all_bad())
    with progress.step("false rollbacks"):
        results = replace(results, refused=tuple(false_rollbacks(plan)))
    with progress.step("delays"):
        results = replace(results, delays=tuple(delays(plan)))
    with progress.step("what they cost"):
        results = replace(results, costs=tuple(costs(plan)))
    with progress.step("series"):
        results = replace(results, series=tuple(series_false_rollbacks(plan)))
    return replace(results, seconds=round(process_time() - began, 1))


if __name__ == "__main__":
    sys.exit(main())
