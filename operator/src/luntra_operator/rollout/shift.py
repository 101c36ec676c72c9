"""Traffic: step by step to 100, then promotion, then the soak beside the old version."""

from typing import Any

from luntra_operator.api.rollout import Step
from luntra_operator.api.status import StepStatus, TrafficStatus, VersionStatus
from luntra_operator.api.vocabulary import Phase, Reason

from . import approval
from .actions import Event
from .analysis import failing, silence
from .evidence import death, obstacle
from .history import recorded
from .intents import asked, handled
from .observed import Problem
from .settle import introducing, next_look, taken_back
from .start import begin, return_to_previous
from .turn import Decision, Timers, Turn
from .withdraw import give_back, withdraw


def next_weight(steps: list[Step], current: int) -> int:
    """The lowest declared weight above `current`, else 100.

    Going by weight and not by position, an edit of the plan in mid-rollout neither repeats a step nor jumps back.
    """
    return min((step.weight for step in steps if step.weight > current), default=100)


def hold(steps: list[Step], weight: int) -> float:
    """Seconds to stay at `weight`; 0 for a weight that is not declared."""
    return next((step.seconds for step in steps if step.weight == weight), 0.0)


def first_step(turn: Turn, **changes: Any) -> Decision:
    """Begin with the traffic, once somebody has approved it where that is wanted."""
    weight = next_weight(turn.spec.steps, 0) if turn.spec.divides else 100
    return approval.ask(turn, **changes) if approval.due(turn, weight) else introduce(turn, **changes)


def introduce(turn: Turn, **changes: Any) -> Decision:
    """Enter Shifting by introducing the candidate to the gateway; at 100 without a stable version or where nothing divides the traffic."""
    missing = turn.seen.missing or turn.seen.unkept
    if turn.spec.divides and missing is not None:
        return Decision(turn.update(**changes), waiting=missing, wake=10)
    if turn.status.stable is None or not turn.spec.divides:
        return _step(turn, 100, **changes)
    traffic = TrafficStatus(workload=turn.candidate.workload, desired=0, decided_at=turn.now)
    return Decision(turn.update(Phase.SHIFTING, step=None, traffic=traffic, **changes))


def _step(turn: Turn, weight: int, **changes: Any) -> Decision:
    steps, candidate = turn.spec.steps, turn.candidate
    index = next((i for i, step in enumerate(steps) if step.weight == weight), len(steps))
    shifted = turn.update(
        Phase.SHIFTING,
        step=StepStatus(index=index, weight=weight),
        traffic=TrafficStatus(workload=candidate.workload, desired=weight, decided_at=turn.now),
        **changes,
    )
    return Decision(shifted, (Event(Reason.WEIGHT_CHANGED, f"{candidate.version} gets {weight} % of the traffic"),))


def shift(turn: Turn) -> Decision:
    """Shifting: a step's clock runs from when the data plane follows; then the next weight, or promotion."""
    status, step, traffic = turn.status, turn.status.step, turn.status.traffic
    if traffic is None:
        return first_step(turn)
    bad = speaks_against(turn)
    if bad and status.stable:
        return _away(turn, bad)
    if not turn.spec.divides and traffic.desired < 100:
        return _undivided(turn)
    if step is None and not turn.stable_serves:
        return _step(turn, next_weight(turn.spec.steps, 0))  # nobody would lose an answer
    if traffic.observed != traffic.desired:
        return _unsettled(turn, traffic)
    if step is None:
        return _first_share(turn)
    if step.started_at is None:
        return Decision(turn.update(step=step.model_copy(update={"started_at": turn.now})))
    remaining = hold(turn.spec.steps, step.weight) - turn.since(step.started_at)
    if remaining > 0:
        return Decision(
            status,
            waiting=Problem(Reason.PROGRESSING, f"holding {turn.candidate.version} at {step.weight} %"),
            wake=remaining,
        )
    missing = _lacking(turn, step.weight)
    if missing:
        return Decision(status, waiting=missing, wake=5)
    return promote(turn) if step.weight == 100 else _next(turn, next_weight(turn.spec.steps, step.weight))


def _first_share(turn: Turn) -> Decision:
    if turn.seen.unkept is not None:
        return Decision(turn.status, waiting=turn.seen.unkept)
    return _step(turn, next_weight(turn.spec.steps, 0))


def _next(turn: Turn, weight: int) -> Decision:
    return approval.ask(turn) if approval.due(turn, weight) else _step(turn, weight)


def _undivided(turn: Turn) -> Decision:
    """spec.traffic was taken away in mid-run: the candidate gets all, or none until that is approved, for a Service holds no part.

    What metrics said of its share is not known of anything else.
    """
    if not approval.due(turn, 100):
        return _step(turn, 100, metrics=[])
    traffic = TrafficStatus(workload=turn.candidate.workload, desired=0, decided_at=turn.now)
    return approval.ask(turn, step=None, traffic=traffic, metrics=[])


def await_approval(turn: Turn) -> Decision:
    """AwaitingApproval: the candidate is watched as it is in a step; once approved it goes on, and where none is wanted any more back."""
    step = turn.status.step
    bad = speaks_against(turn)
    if bad:
        return _away(turn, bad) if step else withdraw(turn, bad.reason, bad.message)
    weight = next_weight(turn.spec.steps, step.weight if step else 0) if turn.spec.divides else 100
    if step and not turn.spec.divides:
        return _undivided(turn)
    approved: dict[str, Any] = {}
    if approval.due(turn, weight):
        answer = approval.answer(turn)
        if isinstance(answer, Decision):
            return answer
        approved = answer
    elif step:
        return Decision(turn.update(Phase.SHIFTING))  # the plan was edited: the step may have to be held longer
    missing = _lacking(turn, step.weight if step else 0)
    if missing:
        return Decision(turn.status, waiting=missing, wake=5)
    return _step(turn, weight, **approved) if step else introduce(turn, **approved)


def _lacking(turn: Turn, weight: int) -> Problem | None:
    """Why a candidate that nothing speaks against stays at `weight`; with all traffic no session is divided any more."""
    unkept = turn.seen.unkept if weight < 100 else None
    candidate = turn.candidate_workload
    return obstacle(candidate, turn.replicas(candidate)) or silence(turn) or unkept


def speaks_against(turn: Turn) -> Problem | None:
    """Why the candidate may not keep its traffic: what its pods say, then what its metrics say."""
    begun = turn.status.step is not None or turn.status.phase is Phase.SHIFTING
    dead = (begun and taken_back(turn, turn.candidate)) or death(turn.candidate_workload, turn.status.restarts)
    return Problem(Reason.CANDIDATE_DIED, dead) if dead else failing(turn)


def _away(turn: Turn, bad: Problem) -> Decision:
    if not turn.stable_serves and turn.candidate_workload.endpoints > 0:
        message = f"{bad.message}; it keeps its traffic only because no pod of the stable version is ready"
        return Decision(turn.status, waiting=Problem(bad.reason, message), wake=1)
    return withdraw(turn, bad.reason, _explained(turn, bad))


def _explained(turn: Turn, bad: Problem) -> str:
    """What metrics found has its figures with it; where the rollout stood belongs to them."""
    traffic = turn.status.traffic
    if bad.reason is not Reason.METRIC_FAILED or traffic is None:
        return bad.message
    return f"{bad.message} → rolled back at {traffic.desired} %"


def _unsettled(turn: Turn, traffic: TrafficStatus) -> Decision:
    # Not from the decision: a weight may be changed by somebody else and restored late in a long hold.
    waited, deadline = turn.since(traffic.settling_since or traffic.decided_at), turn.spec.step_deadline
    told = turn.seen.route.message if turn.seen.route else ""
    short = "know" if introducing(turn) else f"follow {traffic.desired} % for"
    message = f"the gateway does not {short} {turn.candidate.version} yet{': ' + told if told else ''}"
    if waited >= deadline and turn.status.stable:
        return withdraw(turn, Reason.STEP_DEADLINE_EXCEEDED, f"{message}; given up after {deadline:g} s")
    late = waited >= deadline
    return Decision(
        turn.status, waiting=Problem(Reason.ROUTE_NOT_ACCEPTED, message, permanent=late), wake=next_look(turn, Timers())
    )


def promote(turn: Turn) -> Decision:
    """The candidate has all traffic and held: it is the stable version now; the old one stays warm."""
    status, candidate = turn.status, turn.candidate
    promoted = turn.update(
        Phase.SOAKING if status.stable else Phase.STABLE,
        stable=candidate,
        candidate=None,
        previous=status.stable,
        step=None,
        history=recorded(turn, "Promoted", Reason.PROMOTED),
    )
    return Decision(promoted, (Event(Reason.PROMOTED, f"{candidate.version} is the stable version"),))


def soak(turn: Turn, timers: Timers) -> Decision:
    """Soaking: the old version is warm; a dead new one gives everything back, a new spec ends the soak."""
    status, stable, previous = turn.status, turn.status.stable, turn.status.previous
    if stable is None or previous is None:
        return Decision(turn.update(Phase.STABLE, previous=None))
    dead = taken_back(turn, stable) or death(turn.seen.workload(stable.workload), status.restarts)
    bad = Problem(Reason.CANDIDATE_DIED, dead) if dead else failing(turn)
    warm = turn.seen.workload(previous.workload).endpoints > 0
    abort = asked(turn, "abort", stable)
    if abort and warm:
        return give_back(turn, Reason.ABORTED, f"luntra.io/abort: {abort}", **handled(turn, "abort", abort))
    if bad and warm and (turn.spec.replicas or taken_back(turn, stable)):
        return give_back(turn, bad.reason, _explained(turn, bad))
    if turn.spec.replicas == 0:
        return _release(turn, stable, previous)  # that there is no pod says nothing about either version
    if turn.revision == previous.revision and warm:
        return return_to_previous(turn)
    over = max(turn.spec.soak, timers.drain) if turn.revision == stable.revision else timers.drain
    remaining = over - turn.since(status.phase_started_at)
    if remaining > 0:
        return Decision(status, wake=remaining)
    return _release(turn, stable, previous)


def _release(turn: Turn, stable: VersionStatus, previous: VersionStatus) -> Decision:
    event = Event(Reason.RELEASED, f"{previous.version} is released; {stable.version} serves alone")
    if turn.revision == stable.revision or turn.spec.replicas == 0:
        return Decision(turn.update(Phase.STABLE, previous=None), (event,))
    started = begin(turn)
    return Decision(started.status.model_copy(update={"previous": None}), (event, *started.events))
