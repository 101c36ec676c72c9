"""`plan()`: from what is wanted, remembered and seen to what is remembered next and what is done.

Pure and level-triggered: one transition a turn, decided from the status and the snapshot alone, so an
operator that is killed and restarted at any point continues where it was. The caller writes the status
first, then carries out the actions, then comes back.
"""

from dataclasses import replace

from luntra_operator.api.quantities import seconds
from luntra_operator.api.spec import ModelDeploymentSpec
from luntra_operator.api.status import ModelDeploymentStatus, VersionStatus
from luntra_operator.api.vocabulary import LABEL_WORKLOAD, Phase, Reason

from .actions import Action, Event, Plan, WriteRoute
from .analysis import recorded
from .checking import check
from .conditions import conditions
from .contention import contended, hold, repairs, yielded
from .converge import converge, next_leftover
from .intents import asked, handled
from .lending import adopted, followed_service, held_first, resting, returnable
from .observed import Problem
from .parking import followed_parking, next_parking
from .prepare import await_ready
from .settle import follow, next_look, shares, target_weights
from .shift import await_approval, shift, soak, speaks_against
from .start import at_rest, rebuilt
from .turn import Decision, Timers, Turn
from .withdraw import roll_back, supersede, withdraw


def timers(spec: ModelDeploymentSpec) -> Timers:
    """The engine's durations for a spec: requests in flight get their deadline, at most 30 s, to end."""
    runtime = spec.serving.runtime if spec.serving else None
    return Timers(drain=min(30.0, seconds((runtime and runtime.deadline) or "30s")))


def plan(turn: Turn) -> Plan:
    """One turn of the engine."""
    if turn.spec.paused:
        return Plan(_reported(turn, None))
    conflict = _conflict(turn)
    if conflict is not None:
        return Plan(_reported(turn, conflict), requeue_after=30)
    limits = timers(turn.spec)
    grants = turn.seen.grants
    held = {"grants": list(grants.held), "waiting_for": list(grants.asked)}
    seen = {
        "traffic": follow(turn, limits),
        "metrics": recorded(turn),
        "repairs": repairs(turn),
        "service": followed_service(turn),
        "parked": followed_parking(turn),
        "next_ordinal": max(turn.status.next_ordinal, turn.seen.highest_ordinal + 1),
        **held,
    }
    followed = replace(turn, status=turn.status.model_copy(update=seen))
    decision = retreat_only(followed, decide(followed, limits))
    if decision.waiting is not None and decision.waiting.reason is Reason.NEEDS_DECISION:
        return Plan(_reported(turn, decision.waiting))
    decided = replace(turn, status=decision.status)
    actions = held_first(decided, converge(decided))
    moved = decision.status != followed.status
    lent = decided.status.model_copy(update={"adopted": adopted(decided, actions)})
    return Plan(
        status=_reported(replace(decided, status=lent), decision.waiting),
        actions=actions,
        events=(*_repair(turn, actions), *decision.events),
        requeue_after=0 if moved else _wake(decided, decision, limits, actions),
        urgent=decision.urgent,
    )


def decide(turn: Turn, limits: Timers) -> Decision:
    """The transition to make now, by phase."""
    status = turn.status
    lost = rebuilt(turn)
    if lost is not None:
        return lost
    if status.withdrawal is not None:
        return roll_back(turn, limits)
    if status.candidate is not None:
        return _roll_out(turn)
    if status.phase is Phase.SOAKING:
        return soak(turn, limits)
    return at_rest(turn)


def retreat_only(turn: Turn, decision: Decision) -> Decision:
    """With a spec that cannot be read only what takes traffic from a version is decided; all else stays where it is."""
    if turn.seen.invalid is None:
        return decision
    waiting = Problem(Reason.INVALID_SPEC, turn.seen.invalid, permanent=True)
    if turn.status.withdrawal is not None or decision.status.withdrawal is not None:
        return decision.because(waiting)
    return Decision(turn.status, waiting=waiting, wake=decision.wake)


def _roll_out(turn: Turn) -> Decision:
    if turn.candidate.revision != turn.revision:
        return supersede(turn)
    if turn.spec.replicas == 0:
        return withdraw(
            turn, Reason.SCALED_TO_ZERO, "spec.replicas is 0; it is tried again from the start", rejected=False
        )
    abort = asked(turn, "abort", turn.candidate)
    if abort and turn.status.stable:
        return withdraw(turn, Reason.ABORTED, f"luntra.io/abort: {abort}", **handled(turn, "abort", abort))
    if turn.status.phase in (Phase.SHIFTING, Phase.AWAITING_APPROVAL) and contended(turn.status):
        bad = speaks_against(turn)
        return withdraw(turn, bad.reason, bad.message) if bad else hold(turn)
    if turn.status.phase is Phase.CHECKING:
        return check(turn)
    if turn.status.phase is Phase.SHIFTING:
        return shift(turn)
    if turn.status.phase is Phase.AWAITING_APPROVAL:
        return await_approval(turn)
    return await_ready(turn)


def _wake(turn: Turn, decision: Decision, limits: Timers, actions: tuple[Action, ...]) -> float | None:
    """When to look again; at rest too while the data plane is not seen to follow, ever more seldom.

    After a write too: the kind may be watched only later, where it has just been installed.
    """
    traffic, route = turn.status.traffic, turn.seen.route
    told = route is not None and route.current if turn.spec.divides else turn.seen.service is not None
    told |= any(isinstance(action, WriteRoute) for action in actions)
    lent = turn.seen.borrowed and (resting(turn) or (route and route.widened)) and not returnable(turn)
    ends = [decision.wake] if decision.wake is not None else []
    ends += [limits.settle_fallback] if lent else []
    ends += next_parking(turn, limits, actions) + next_leftover(turn)
    if traffic is None or traffic.observed == traffic.desired or not told or yielded(turn):
        return min(ends, default=None)
    waited = turn.since(traffic.accepted_at)
    poll = min(60.0, max(next_look(turn, limits), waited / 2))
    return min([poll, *ends])


def _conflict(turn: Turn) -> Problem | None:
    """Objects of our names that are not ours are never overwritten."""
    if turn.seen.conflict is not None:
        return turn.seen.conflict
    if not turn.seen.service_owned:
        message = f"a Service {turn.seen.name} exists that this object does not own; delete or rename it"
        return Problem(Reason.NAME_CONFLICT, message, permanent=True)
    return None


def _repair(turn: Turn, actions: tuple[object, ...]) -> tuple[Event, ...]:
    """An Event if somebody else has changed our weights.

    They were seen in the route before (`traffic.written`), so a route that differs now is not our own
    unfinished work. Backends at 0 come and go by our own doing.
    """
    route, traffic = turn.seen.route, turn.status.traffic
    writes = [action for action in actions if isinstance(action, WriteRoute)]
    if not writes or not turn.spec.divides or route is None or traffic is None or traffic.written != traffic.desired:
        return ()
    if route.agreed and shares(target_weights(turn) or {}) == shares(route.weights):
        return ()
    found = ", ".join(f"{name}={weight}" for name, weight in route.weights.items())
    message = f"weights were changed by somebody else ({found or 'none left'}) and are restored"
    return (Event(Reason.ROUTE_REPAIRED, message, "Warning"),)


def _reported(turn: Turn, waiting: Problem | None) -> ModelDeploymentStatus:
    """The status with what is only reported: readiness, the scale subresource's fields, conditions."""
    status = turn.status
    serving = status.stable or status.candidate
    return status.model_copy(
        update={
            "observed_generation": turn.seen.generation,
            "stable": _counted(turn, status.stable),
            "candidate": _counted(turn, status.candidate),
            "previous": _counted(turn, status.previous),
            "conditions": conditions(turn, waiting),
            "replicas": len(turn.seen.workload(serving.workload).pods) if serving else 0,
            "selector": f"{LABEL_WORKLOAD}={serving.workload}" if serving else "",
        }
    )


def _counted(turn: Turn, version: VersionStatus | None) -> VersionStatus | None:
    ready = turn.seen.workload(version.workload).ready_pods if version else 0
    if version is None or version.ready_replicas == ready:
        return version
    return version.model_copy(update={"ready_replicas": ready})
