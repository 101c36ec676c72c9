"""`luntra-check`: run the check that the environment describes, leave its verdict, and exit 0 or 1.

Exit code 0 says that a verdict Pass or Fail was reached, 1 that none was (Error, NoData) and another try may help.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
import time
import traceback
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from luntra_operator.api.checks import BenchmarkCheck
from luntra_operator.checks import report
from luntra_operator.checks.benchmark import Benchmark, Rows
from luntra_operator.checks.config import VARIABLE, CheckConfig, read
from luntra_operator.checks.dataset import LabelledSet, fetch, fit, generate, load
from luntra_operator.checks.errors import CheckError
from luntra_operator.checks.evaluation import evaluate
from luntra_operator.checks.patience import Progress
from luntra_operator.checks.triton import connect
from luntra_operator.checks.verdict import Verdict

if TYPE_CHECKING:
    from luntra_operator.checks.interface import Connect, ModelInterface

REQUEST_TIMEOUT = 10.0
"""Seconds for one request; a server that is slower has failed it."""
DIFFERENT_REQUESTS = 256
"""How many different requests a benchmark sends in turn."""


async def run(config: CheckConfig) -> Verdict:
    """Run one check to its verdict; never raises for anything that the check's subjects do."""
    progress = Progress("fetching the dataset")
    verdict = await _run(config, progress)
    return verdict if verdict.verdict == "Pass" else replace(verdict, log=tuple(progress.log))


async def _run(config: CheckConfig, progress: Progress) -> Verdict:
    end = time.monotonic() + config.timeout
    try:
        dataset = await _dataset(config, end)
        return await _check(config, dataset, end, progress)
    except CheckError as error:
        return Verdict(config.kind, "Error", error.reason, str(error))
    except TimeoutError:
        reason = "CandidateUnavailable" if progress.waiting.startswith("candidate") else "TimedOut"
        where = "; ".join(filter(None, (progress.doing, progress.waiting)))
        return Verdict(config.kind, "Error", reason, f"not finished within timeout {config.timeout:g} s: {where}")


async def _check(config: CheckConfig, dataset: LabelledSet | None, end: float, progress: Progress) -> Verdict:
    candidate, stable = _connect(config, config.candidate), None
    if config.stable is not None:
        stable = _connect(config, config.stable)
    time_left = end - time.monotonic()
    if isinstance(config.block, BenchmarkCheck):
        benchmark = Benchmark(config.block, partial(_requests, dataset), candidate, stable, progress)
        return await benchmark.run(time_left)
    if dataset is None:
        raise CheckError("InvalidConfiguration", "an evaluation needs a dataset: give evaluation.dataset")
    return await evaluate(config.block, dataset, candidate, stable, time_left=time_left, progress=progress)


def _connect(config: CheckConfig, base_url: str) -> Connect:
    connections = config.benchmark.concurrency if config.benchmark is not None else 1
    return partial(connect, base_url, config.model, request_timeout=REQUEST_TIMEOUT, connections=connections)


async def _dataset(config: CheckConfig, end: float) -> LabelledSet | None:
    if config.evaluation is None:
        return None
    pinned = config.evaluation.dataset
    timeout = max(end - time.monotonic(), 0.001)
    content = await asyncio.to_thread(fetch, pinned.uri, pinned.digest, timeout=timeout)
    return load(content)


def _requests(dataset: LabelledSet | None, interface: ModelInterface) -> Rows:
    """Make requests of one sample each: real ones where there is a set, else made up from the metadata."""
    interface.batch(1)
    if dataset is None:
        inputs, count = generate(interface, DIFFERENT_REQUESTS), DIFFERENT_REQUESTS
    else:
        inputs, count = fit(dataset, interface), min(len(dataset), DIFFERENT_REQUESTS)
    return [{name: rows[index : index + 1] for name, rows in inputs.items()} for index in range(count)]


def main(arguments: list[str] | None = None) -> int:
    """Run `luntra-check`; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="luntra-check", description=f"Run the check that the environment variable {VARIABLE} describes as JSON."
    )
    parser.parse_args(arguments)
    environment = dict(os.environ)
    kind = "check"
    try:
        config = read(environment)
        kind = config.kind
        verdict = asyncio.run(run(config))
    except CheckError as error:
        verdict = Verdict(kind, "Error", error.reason, str(error))
    except Exception as error:  # noqa: BLE001 - the operator must learn of a bug of ours as well; the log has the trace
        traceback.print_exc()
        verdict = Verdict(kind, "Error", "InternalError", f"{type(error).__name__}: {error}")
    print(report.document(verdict), flush=True)
    report.leave(verdict, environment)
    return report.exit_code(verdict)


if __name__ == "__main__":
    sys.exit(main())
