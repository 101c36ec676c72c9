"""Run an evaluation: send the labelled set in batches, and measure the answers against the labels.

The candidate first; then the stable version over the same rows, which is waited for only where a bound compares them.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import numpy as np

from luntra_operator.checks.dataset import LabelledSet, fit
from luntra_operator.checks.errors import CheckError, Refused, ServerError
from luntra_operator.checks.metrics import METRICS
from luntra_operator.checks.patience import Progress, insistently
from luntra_operator.checks.predictions import reading
from luntra_operator.checks.verdict import Evaluated, Unmeasured, Verdict, judge_evaluation

if TYPE_CHECKING:
    from collections.abc import Mapping

    from luntra_operator.api.checks import EvaluationCheck
    from luntra_operator.checks.interface import Array, Connect, ModelServer

_STABLE_ASIDE = 5.0
"""Seconds to wait for a stable version whose figure is only for information."""


async def evaluate(
    check: EvaluationCheck,
    dataset: LabelledSet,
    candidate: Connect,
    stable: Connect | None,
    *,
    time_left: float,
    progress: Progress,
) -> Verdict:
    """Measure both versions and judge the candidate; `time_left` s bounds the whole.

    Raises:
        CheckError: the set does not fit the candidate, or no output of it stands out.
        TimeoutError: the candidate was not measured in time.
    """
    end = asyncio.get_running_loop().time() + time_left
    try:
        async with asyncio.timeout_at(end):
            figures = await _measure(check, dataset, candidate, "candidate", progress)
    except Refused as error:
        message = f"candidate {error} ({progress.doing})"
        return Verdict("evaluation", "Fail", "RequestsFailed", message, len(dataset))
    other: Evaluated | Unmeasured | None = None
    if stable is not None:
        other = await _measure_stable(check, dataset, stable, end, progress)
    return judge_evaluation(check, figures, other)


async def _measure_stable(
    check: EvaluationCheck, dataset: LabelledSet, stable: Connect, end: float, progress: Progress
) -> Evaluated | Unmeasured:
    if check.max_regression is None:
        end = min(end, asyncio.get_running_loop().time() + _STABLE_ASIDE)
    try:
        async with asyncio.timeout_at(end):
            return await _measure(check, dataset, stable, "stable", progress)
    except TimeoutError:
        away = progress.waiting.removeprefix("stable ")
        return Unmeasured(away or "did not answer all samples in time", failed=bool(away))
    except (ServerError, CheckError) as error:
        return Unmeasured(f"cannot be evaluated: {error}", failed=isinstance(error, ServerError))


async def _measure(
    check: EvaluationCheck, dataset: LabelledSet, connect: Connect, who: str, progress: Progress
) -> Evaluated:
    async with connect() as server:
        progress.doing = f"asking {who} for the model's metadata"
        interface = await insistently(server.interface, who, progress)
        inputs = fit(dataset, interface)
        output = reading(interface, dataset.labels, check.metric)
        size = interface.batch(check.batch_size)
        values: list[Array] = []
        finite: list[Array] = []
        for start in range(0, len(dataset), size):
            batch = {name: rows[start : start + size] for name, rows in inputs.items()}
            count = min(size, len(dataset) - start)
            progress.doing = f"{who} at sample {start} of {len(dataset)}"
            answer = await _ask(server, batch, who, progress)
            predicted, is_finite = output.predictions(answer, count)
            values.append(predicted)
            finite.append(is_finite)
    seen = _figures(check.metric, np.concatenate(values), np.concatenate(finite), dataset.labels)
    progress.note(f"{who}: {check.metric} {seen.value:.4g} of {seen.samples} samples, {seen.non_finite} not finite")
    return seen


async def _ask(server: ModelServer, batch: Mapping[str, Array], who: str, progress: Progress) -> dict[str, Array]:
    return await insistently(lambda: server.infer(batch), who, progress)


def _figures(metric: str, predictions: Array, finite: Array, labels: Array) -> Evaluated:
    """Compute the metric; the labels are brought to the predictions' form first.

    Raises:
        CheckError: predictions and labels have different shapes.
    """
    labels = labels.reshape(predictions.shape) if labels.size == predictions.size else labels
    if labels.shape != predictions.shape:
        raise CheckError(
            "DatasetMismatch",
            f"labels have shape {list(labels.shape)}, the model's predictions {list(predictions.shape)}",
        )
    if labels.dtype.kind == "S":
        labels = np.char.decode(labels, "utf-8")
    return Evaluated(METRICS[metric](predictions, labels), len(labels), int(np.sum(~finite)))
