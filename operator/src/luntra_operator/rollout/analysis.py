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
        known[judgement.metric] = MetricStatus(
            name=judgement.metric, verdict=judgement.verdict, message=judgement.message[:1024], since=since
        )
    return list(known.values())


def failing(turn: Turn) -> Problem | None:
    """Why the candidate is to be taken back: a metric that fails, or one that was silent for so long that it counts as failed."""
    for judgement in turn.seen.judgements:
        if judgement.verdict == "Fail":
            return Problem(Reason.METRIC_FAILED, f"{judgement.metric}: {judgement.message}")
        if judgement.otherwise == "Fail" and _overdue(turn, judgement):
            told = f"{judgement.metric}: {judgement.message}; given up after {judgement.patience:g} s"
            return Problem(_SILENCES[judgement.verdict], told)
    return None


def silence(turn: Turn) -> Problem | None:
    """Why the candidate may not go on yet although nothing speaks against it."""
    for judgement in turn.seen.judgements:
        if judgement.verdict in _SILENCES and not (judgement.otherwise == "Pass" and _overdue(turn, judgement)):
            return Problem(_SILENCES[judgement.verdict], f"{judgement.metric}: {judgement.message}")
    return None


def _overdue(turn: Turn, judgement: Judgement) -> bool:
    known = next((entry for entry in turn.status.metrics if entry.name == judgement.metric), None)
    silent = known is not None and known.verdict == judgement.verdict and judgement.verdict in _SILENCES
    return silent and known is not None and turn.since(known.since) >= judgement.patience
