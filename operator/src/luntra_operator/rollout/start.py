"""At rest: begin a rollout when the spec asks for a revision that is neither stable nor refused."""

from luntra_operator.api.status import StepStatus, TrafficStatus, VersionStatus
from luntra_operator.api.vocabulary import Phase, Reason

from .actions import Event
from .evidence import restarts
from .intents import asked, handled
from .observed import Problem
from .turn import Decision, Turn


def at_rest(turn: Turn) -> Decision:
    """What to do without a candidate: nothing, return to warm pods, or begin."""
    status = turn.status
    retry = _retry(turn)
    if status.stable and turn.revision == status.stable.revision:
        cleared = {"rejected_revision": None, "rejected_reason": None, "rejected_message": None}
        missing = turn.seen.missing
        return Decision(
            turn.update(Phase.STABLE, **cleared),
            waiting=missing or turn.seen.unkept or turn.seen.postponed,
            wake=10 if missing else None,  # nobody tells that a kind has appeared
        )
    if turn.revision == status.rejected_revision and not retry:
        return Decision(turn.update(Phase.ROLLED_BACK))
    if turn.spec.adopted is not None and status.stable and turn.seen.missing is not None:
        return Decision(status, waiting=turn.seen.missing, wake=10)
    if turn.spec.replicas == 0:
        waiting = Problem(
            Reason.SCALED_TO_ZERO, "spec.replicas is 0; set it to at least 1 to roll out a version", permanent=True
        )
        return Decision(status, waiting=waiting)
    return begin(turn)


def begin(turn: Turn) -> Decision:
    """Number a new attempt and a new workload, and start preparing it."""
    status, model = turn.status, turn.spec.model
    if turn.seen.refusal is not None:
        return Decision(status, waiting=Problem(Reason.INVALID_SPEC, turn.seen.refusal, permanent=True))
    if turn.seen.unkept is not None:
        return Decision(status, waiting=turn.seen.unkept)
    retry = _retry(turn)
    before = status.traffic
    settled = before is None or before.observed == before.desired
    ordinal = status.next_ordinal
    candidate = VersionStatus(
        revision=turn.revision, version=model.version, digest=model.digest, workload=f"{turn.seen.name}-w{ordinal}"
    )
    nothing = TrafficStatus(
        workload=candidate.workload,
        desired=0,
        written=0,
        observed=0 if settled else None,
        decided_at=turn.now,
        accepted_at=before.accepted_at if before and settled else None,  # nobody is moved: the same delay goes on
    )
    started = turn.update(
        Phase.PREPARING,
        phase_started_at=turn.now,
        candidate=candidate,
        attempt=status.attempt + 1,
        attempt_started_at=turn.now,
        next_ordinal=ordinal + 1,
        traffic=nothing if status.stable else status.traffic,
        step=None,
        checks=[],
        metrics=[],
        restarts={},
        rejected_revision=None,
        rejected_reason=None,
        rejected_message=None,
        **(handled(turn, "retry", retry) if retry else {}),
    )
    meanwhile = f"; {status.stable.version} keeps serving" if status.stable else ""
    event = Event(Reason.ROLLOUT_STARTED, f"preparing {model.version} as {candidate.workload}{meanwhile}")
    return Decision(started, (event,))


def return_to_previous(turn: Turn) -> Decision:
    """The spec names the version before, whose pods are still warm: all traffic goes back in one write, unchecked."""
    previous = turn.status.previous
    if previous is None:
        raise LookupError("there is no previous version to return to")
    back = turn.update(
        Phase.SHIFTING,
        candidate=previous,
        previous=None,
        attempt=turn.status.attempt + 1,
        attempt_started_at=turn.now,
        traffic=TrafficStatus(workload=previous.workload, desired=100, decided_at=turn.now),
        step=StepStatus(index=len(turn.spec.steps), weight=100),
        checks=[],
        metrics=[],
        restarts=restarts(turn.seen.workload(previous.workload)),
    )
    event = Event(Reason.TRAFFIC_SHIFTING, f"returning all traffic to {previous.version}, whose pods are still warm")
    return Decision(back, (event,))


def rebuilt(turn: Turn) -> Decision | None:
    """The status of an object that has lost it while its workloads live on; None where nothing is lost.

    The stable version is the one that the route gives everything to. Where somebody has edited it, it is the one to which its
    intent gives 100 %, and else the one of which its intent does not speak: an unfinished candidate is never taken for stable.
    Where that cannot be told, nothing is touched and the condition says what a person has to decide.
    """
    if turn.status.attempt or not turn.seen.versions:
        return None
    named = _named(turn)
    stable = turn.seen.versions.get(named or "")
    if stable is None:
        found = ", ".join(sorted(turn.seen.versions))
        return Decision(turn.status).because(
            Problem(
                Reason.NEEDS_DECISION,
                f"status is empty but workloads exist ({found}) and neither route nor Service tells which one is stable; "
                "nothing is changed: delete the ones that must not serve",
                permanent=True,
            )
        )
    status = turn.update(
        Phase.STABLE,
        stable=stable,
        attempt=1,
        attempt_started_at=turn.now,
        traffic=TrafficStatus(workload=stable.workload, desired=100, decided_at=turn.now),
    )
    return Decision(
        status, (Event(Reason.STABLE, f"status was lost; {stable.version} ({stable.workload}) found serving"),)
    )


def _named(turn: Turn) -> str | None:
    route = turn.seen.route
    if route is None or not (route.weights or turn.spec.divides):
        return turn.seen.service if not turn.spec.divides or len(turn.seen.versions) == 1 else None
    whole = [name for name, weight in route.weights.items() if weight == 100]
    if len(whole) == 1:
        return whole[0]
    said = (route.intent or "").split("/")
    if len(said) != 3:
        return None
    _, revision, weight = said
    known = {name: turn.seen.versions[name].revision for name in route.weights if name in turn.seen.versions}
    named = [name for name, its in known.items() if (its == revision) == (weight == "100")]
    return named[0] if len(named) == 1 else None


def _retry(turn: Turn) -> str | None:
    """The retry annotation, if it asks for today's revision and was not acted on before."""
    if turn.revision != turn.status.rejected_revision:
        return None
    model = turn.spec.model
    return asked(
        turn, "retry", VersionStatus(revision=turn.revision, version=model.version, digest=model.digest, workload="")
    )
