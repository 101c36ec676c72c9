"""What the metrics of live traffic say of the candidate: a fail takes it back, silence holds it where it is.

The figures and their judgement come from outside (`Observed.judgements`), in four verdicts. No data and a source that does not
answer are neither good nor bad: they hold the rollout, and only after a while count for what was declared.
"""

from luntra_operator.api.status import MetricStatus
from luntra_operator.api.vocabulary import Reason

from .observed import Judgement, Problem
from .turn import Turn

_SILENCES = {"NoData": Reason.NO_DATA, "Error": Reason.METRIC_SOURCE_UNAVAILABLE}


def recorded(turn: Turn) -> list[MetricStatus]:
    """`status.metrics` with what is judged now; a metric that is not judged in this turn keeps its last verdict."""
    known = {entry.name: entry for entry in turn.status.metrics}
    for judgement in turn.seen.judgements:
        before = known.get(judgement.metric)
        since = before.since if before and before.verdict == judgement.verdict else turn.now
        figures = judgement.figures
        known[judgement.metric] = MetricStatus(
            name=judgement.metric,
            verdict=judgement.verdict,
            message=judgement.message[:1024],
            since=since,
            dry_run=judgement.dry_run,
            value=figures.value,
            samples=figures.samples,
            stable_value=figures.stable_value,
            stable_samples=figures.stable_samples,
            evidence=list(figures.evidence),
            interval=_ends(figures.interval),
            stable_interval=_ends(figures.stable_interval),
            better=figures.better,
        )
    return list(known.values())


def _ends(interval: tuple[float, float] | None) -> list[float] | None:
    return list(interval) if interval else None


def outcome(metrics: list[MetricStatus]) -> str:
    """What a comparison of both versions came to, metric by metric."""
    found = (f"{metric.name}: {_winner(metric)}" for metric in metrics)
    return "; ".join(found) or "no metric has said anything"


def _winner(metric: MetricStatus) -> str:
    if metric.better is None:
        return "too little was seen to compare"
    figures = (
        f"{_figure(metric.value, metric.interval)} and {_figure(metric.stable_value, metric.stable_interval)} on stable"
    )
    if metric.better == "Neither":
        return f"no difference ({figures})"
    return f"{'the candidate' if metric.better == 'Candidate' else 'stable'} is better ({figures})"


def _figure(value: float | None, interval: list[float] | None) -> str:
    low, high = interval or (0.0, 1.0)
    return f"{low if value is None else value:.4g} [{low:.4g} to {high:.4g}]"


def _binding(turn: Turn) -> list[Judgement]:
    """The judgements that decide something."""
    return [judgement for judgement in turn.seen.judgements if not judgement.dry_run]


def failing(turn: Turn) -> Problem | None:
    """Why the candidate is to be taken back: a metric that fails, or one that was silent for so long that it counts as failed."""
    for judgement in _binding(turn):
        if judgement.verdict == "Fail":
            return Problem(Reason.METRIC_FAILED, f"{judgement.metric}: {judgement.message}")
        if _counts_as(turn, judgement) == "Fail":
            told = f"{judgement.metric}: {judgement.message}; given up after {judgement.patience:g} s"
            return Problem(_SILENCES[judgement.verdict], told)
    return None


def silence(turn: Turn) -> Problem | None:
    """Why the candidate may not go on yet although nothing speaks against it."""
    for judgement in _binding(turn):
        if _counts_as(turn, judgement) == "Hold":
            return Problem(_SILENCES[judgement.verdict], f"{judgement.metric}: {judgement.message}")
    return None


def _counts_as(turn: Turn, judgement: Judgement) -> str | None:
    """What a silent metric counts as now, given that its verdict is recorded; None for one that says something."""
    if judgement.verdict not in _SILENCES:
        return None
    since = next(entry.since for entry in turn.status.metrics if entry.name == judgement.metric)
    return judgement.otherwise if turn.since(since) >= judgement.patience else "Hold"
