"""Somebody re-applies an adopted route again and again: after three repairs within a minute it is left as it is.

Each repair would send a part of the users to the candidate and back. So the candidate gets nothing, the rollout holds and says
which field is to be ignored, until the spec changes or a person asks for a retry or an abort.
"""

from datetime import datetime, timedelta

from luntra_operator.api.status import ModelDeploymentStatus, TrafficStatus
from luntra_operator.api.vocabulary import Phase, Reason

from .actions import Event
from .intents import asked, handled
from .observed import Problem
from .settle import intent, shares, target_weights
from .turn import Decision, Turn

REPAIRS = 3
WINDOW = timedelta(seconds=60)


def repairs(turn: Turn) -> list[datetime]:
    """`status.repairs`, with this turn if somebody has undone a write that had been seen in the route.

    Weights that carry an older decision of ours are our own unfinished work, as where a version that was superseded serves on
    for a stable one that cannot.
    """
    status, traffic, route = turn.status, turn.status.traffic, turn.seen.route
    if turn.spec.adopted is None or status.candidate is None or status.observed_generation != turn.seen.generation:
        return []
    if contended(status) or route is None or traffic is None or traffic.written != traffic.desired:
        return status.repairs
    if route.intent not in (None, intent(turn)):
        return status.repairs
    target = target_weights(turn) or {}
    missing = traffic.workload in target and traffic.workload not in route.weights
    if not missing and shares(target) == shares(route.weights):
        return status.repairs
    return [*status.repairs, turn.now][-REPAIRS:]


def contended(status: ModelDeploymentStatus) -> bool:
    """Whether a route is not worth repairing any more."""
    return len(status.repairs) == REPAIRS and status.repairs[-1] - status.repairs[0] <= WINDOW


def yielded(turn: Turn) -> bool:
    """Whether the route is contended and gives the candidate nothing: then it is left to whoever writes it."""
    route, traffic = turn.seen.route, turn.status.traffic
    if not contended(turn.status) or route is None or traffic is None or turn.status.candidate is None:
        return False
    return traffic.desired == 0 and not route.weights.get(traffic.workload)


def hold(turn: Turn) -> Decision:
    """The candidate at 0 and back before its first step, and what a person can do."""
    candidate, traffic, adopted = turn.candidate, turn.status.traffic, turn.spec.adopted
    retry = asked(turn, "retry", candidate)
    if retry is not None:
        return Decision(turn.update(repairs=[], **handled(turn, "retry", retry)))
    message = (
        f"HTTPRoute {adopted.name if adopted else ''} was written {REPAIRS} times within {WINDOW.seconds} s by somebody who undoes "
        f"the weights; {candidate.version} gets no traffic. Let that tool ignore /spec/rules/*/backendRefs of it, then "
        f"luntra retry {turn.seen.name}; or luntra abort {turn.seen.name}"
    )
    waiting = Problem(Reason.ROUTE_CONTENDED, message, permanent=True)
    if traffic is not None and traffic.desired == 0 and turn.status.step is None:
        return Decision(turn.status, waiting=waiting)
    nothing = TrafficStatus(workload=candidate.workload, desired=0, decided_at=turn.now)
    held = turn.update(Phase.SHIFTING, step=None, traffic=nothing)
    return Decision(held, (Event(Reason.ROUTE_CONTENDED, message, "Warning"),), waiting, urgent=True)
