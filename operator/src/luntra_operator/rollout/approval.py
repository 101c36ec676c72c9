"""Approval: a person says whether a version may have its first request, or all of them, or which of two is to stay.

A first version needs none: there is nothing to protect. Where the traffic cannot be divided, or no step divides it, the first
request and all of them are one and the same.
"""

from dataclasses import replace
from typing import Any

from luntra_operator.api.vocabulary import Phase, Reason

from .actions import Event
from .analysis import outcome
from .intents import asked, handled
from .observed import Problem
from .turn import Decision, Turn
from .withdraw import withdraw


def due(turn: Turn, weight: int) -> bool:
    """Whether somebody must approve before the candidate, which has nothing yet or the last declared step, gets `weight` percent."""
    if turn.status.stable is None:
        return False
    first = turn.status.step is None
    return (
        (turn.spec.approval == "BeforeTraffic" and first)
        or (turn.spec.approval == "BeforePromotion" and weight == 100)
        or compared(turn) is not None
    )


def compared(turn: Turn) -> str | None:
    """For how long both versions are compared at the present step; None where nothing was asked but to hold."""
    step = turn.status.step
    return next((one.compare for one in turn.spec.steps if step and one.weight == step.weight), None)


def ask(turn: Turn, **changes: Any) -> Decision:
    """Enter AwaitingApproval; traffic stays as it is, but for `changes`."""
    waiting = replace(turn, status=turn.update(Phase.AWAITING_APPROVAL, **changes))
    message = f"{turn.candidate.version} {_stage(waiting)}; approve it: luntra approve {turn.seen.name}"
    return Decision(waiting.status, (Event(Reason.AWAITING_APPROVAL, message),))


def answer(turn: Turn) -> Decision | dict[str, Any]:
    """What to remember of the approval, or the decision to go on waiting or to give up."""
    value = asked(turn, "approve", turn.candidate)
    if value is not None:
        return handled(turn, "approve", value)
    remaining = turn.spec.approval_deadline - turn.since(turn.status.phase_started_at)
    if remaining <= 0:
        message = f"nobody approved it within {turn.spec.approval_deadline:g} s"
        return withdraw(turn, Reason.APPROVAL_TIMED_OUT, message)
    message = f"{turn.candidate.version} {_stage(turn)} and waits: luntra approve {turn.seen.name}, or luntra abort {turn.seen.name}"
    return Decision(turn.status, waiting=Problem(Reason.AWAITING_APPROVAL, message), wake=remaining)


def _stage(turn: Turn) -> str:
    step, span = turn.status.step, compared(turn)
    if step and span:
        return f"was compared for {span} at {step.weight} % of the traffic: {outcome(turn.status.metrics)}"
    return f"has {step.weight} % of the traffic" if step else "has passed its checks and has no traffic yet"
