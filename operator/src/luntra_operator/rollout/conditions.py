"""Ready, Reconciling, Stalled and Available, with the meaning that kstatus gives to the first three; and OverBudget.

The last one stands beside the others: who has more accelerators than there are today serves as well as before.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from luntra_operator.api.status import ConditionStatus
from luntra_operator.api.vocabulary import Condition, Phase, Reason

from .observed import Problem
from .turn import Turn

_AT_REST = (Phase.STABLE, Phase.SOAKING)
_NAMED = (Reason.AWAITING_ACCELERATORS, Reason.NO_DATA, Reason.METRIC_SOURCE_UNAVAILABLE)
"""What a rollout may wait for that has a name in its conditions: others can do something about it."""


@dataclass(frozen=True, slots=True)
class _State:
    """`moving`: the operator works towards the spec; `stalled`: only a change by a person helps."""

    reason: Reason
    message: str
    ready: bool = False
    moving: bool = False
    stalled: bool = False


def conditions(turn: Turn, waiting: Problem | None) -> list[ConditionStatus]:
    """All conditions for the turn's status; times are kept where nothing changed."""
    state = _state(turn, waiting)
    stable = turn.status.stable
    serving = Reason.SERVING if turn.stable_serves else Reason.NOT_SERVING
    available = _strength(turn, stable.version) if stable else "no version has a ready endpoint"
    excess = turn.seen.grants.excess
    over = [_condition(turn, Condition.OVER_BUDGET, True, Reason.ACCELERATORS_EXCEEDED, excess)] if excess else []
    return [
        _condition(turn, Condition.READY, state.ready, state.reason, state.message),
        _condition(turn, Condition.RECONCILING, state.moving, state.reason, state.message),
        _condition(turn, Condition.STALLED, state.stalled, state.reason, state.message),
        _condition(turn, Condition.AVAILABLE, turn.stable_serves, serving, available),
        *over,
    ]


def _state(turn: Turn, waiting: Problem | None) -> _State:
    status, spec = turn.status, turn.spec
    if spec.paused:
        return _State(
            Reason.PAUSED, "spec.rollout.paused is true: nothing is changed, repaired or rolled back", stalled=True
        )
    if waiting is not None and waiting.permanent:
        return _State(waiting.reason, waiting.message, stalled=True)
    if status.phase is Phase.ROLLED_BACK:
        serving = _strength(turn, status.stable.version) if status.stable else "no version serves"
        refused = f"{spec.model.version} was refused ({status.rejected_reason}): {status.rejected_message}; {serving}"
        return _State(Reason.ROLLED_BACK, refused, stalled=True)
    if status.phase in _AT_REST and status.stable and waiting is None:
        return _serving(turn, status.stable.version)
    message = waiting.message if waiting else f"{status.phase} {spec.model.version}"
    reason = waiting.reason if waiting and waiting.reason in _NAMED else Reason.PROGRESSING
    return _State(reason, message, moving=True)


def _strength(turn: Turn, version: str) -> str:
    """Whether the stable version serves, with how many pods where some are missing, and who keeps traffic where none is ready."""
    if turn.stable_serves:
        ready = turn.stable.ready_pods if turn.stable else 0
        short = f" with {ready} of {turn.spec.replicas} pods" if ready < turn.spec.replicas else ""
        return f"{version} serves{short}"
    shares = turn.seen.route.weights if turn.seen.route else {}
    others = [name for name, weight in shares.items() if weight and turn.seen.workload(name).endpoints]
    kept = f"; {others[0]} keeps {shares[others[0]]} % of the traffic until one is" if others else ""
    return f"no pod of {version} is ready{kept}"


def _serving(turn: Turn, version: str) -> _State:
    ready = turn.stable.ready_pods if turn.stable else 0
    if ready < turn.spec.replicas:
        message = f"{ready} of {turn.spec.replicas} pods of {version} are ready"
        short = turn.seen.grants.waiting
        if short is not None:
            return _State(
                short.reason, f"{message}; {short.message}", moving=not short.permanent, stalled=short.permanent
            )
        return _State(Reason.PODS_NOT_READY, message, moving=True)
    return _State(Reason.STABLE, f"{version} serves with {ready} pods", ready=True)


def refused(
    before: list[ConditionStatus], generation: int, reason: Reason, message: str, now: datetime
) -> list[ConditionStatus]:
    """Conditions of an object that cannot be acted on until a person changes something; Available and OverBudget stay."""
    others = [known for known in before if known.type in (Condition.AVAILABLE, Condition.OVER_BUDGET)]
    values = {Condition.READY: False, Condition.RECONCILING: False, Condition.STALLED: True}
    return [_built(before, generation, now, kind, value, reason, message) for kind, value in values.items()] + others


def refused_write(turn: Turn) -> Problem | None:
    """Why the API server refused an object of this generation, as an earlier turn had to say with `refused`."""
    refusals = {str(reason): reason for reason in (Reason.QUOTA_EXCEEDED, Reason.INVALID_SPEC)}
    told = next((one for one in turn.status.conditions if one.type == Condition.READY), None)
    if told is None or told.reason not in refusals or told.observed_generation != turn.seen.generation:
        return None
    return Problem(refusals[told.reason], told.message, permanent=True)


def _condition(turn: Turn, kind: Condition, value: bool, reason: Reason, message: str) -> ConditionStatus:
    return _built(turn.status.conditions, turn.seen.generation, turn.now, kind, value, reason, message)


def _built(
    before: list[ConditionStatus],
    generation: int,
    now: datetime,
    kind: Condition,
    value: bool,
    reason: Reason,
    message: str,
) -> ConditionStatus:
    status: Literal["True", "False"] = "True" if value else "False"
    known = next((one for one in before if one.type == kind), None)
    told = {"status": status, "reason": str(reason), "message": message[:1024], "observed_generation": generation}
    if known and all(getattr(known, name) == value for name, value in told.items()):
        return known
    return ConditionStatus(
        type=str(kind),
        status=status,
        reason=str(reason),
        message=message[:1024],
        last_transition_time=known.last_transition_time if known and known.status == status else now,
        observed_generation=generation,
    )
