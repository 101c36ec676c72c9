"""`status.history`: the last ten rollouts, newest first."""

from typing import Literal

from luntra_operator.api.status import HistoryEntry
from luntra_operator.api.vocabulary import Reason

from .turn import Turn

LENGTH = 10


def recorded(
    turn: Turn, outcome: Literal["Promoted", "RolledBack", "Superseded"], reason: Reason | str
) -> list[HistoryEntry]:
    """The history with the present candidate's rollout ended now."""
    entry = HistoryEntry(
        attempt=turn.status.attempt,
        revision=turn.candidate.revision,
        version=turn.candidate.version,
        outcome=outcome,
        reason=str(reason),
        started_at=turn.status.attempt_started_at or turn.now,
        finished_at=turn.now,
    )
    return [entry, *turn.status.history][:LENGTH]
