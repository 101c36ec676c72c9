"""Before traffic: wait for the candidate's pods, then run its checks one after the other."""

from luntra_operator.api.status import CheckStatus
from luntra_operator.api.vocabulary import Condition, Phase, Reason

from .actions import Event
from .evidence import death, obstacle, restarts
from .observed import CheckRun, Problem
from .shift import first_step
from .turn import Decision, Turn
from .withdraw import withdraw

_FAILED = {"evaluation": Reason.EVALUATION_FAILED, "benchmark": Reason.BENCHMARK_FAILED}


def declared_checks(turn: Turn) -> list[str]:
    """Names of the declared checks, in the order in which they run."""
    checks = turn.spec.checks
    return [name for name in ("evaluation", "benchmark") if getattr(checks, name) is not None]


def await_ready(turn: Turn) -> Decision:
    """Preparing: every replica must be ready before anything is checked.

    With a stable version, a hopeless or late candidate is given up. Without one there is nothing to
    protect: the pods may still come up, so the object only says that it is stalled.
    """
    problem = obstacle(turn.candidate_workload, turn.spec.replicas)
    if problem is None:
        return _ready(turn)
    waited, deadline = turn.since(turn.status.phase_started_at), turn.spec.ready_deadline
    refused = _refused_write(turn)
    if refused is not None and (waited < deadline or not turn.status.stable):
        return Decision(turn.status, waiting=refused, wake=5)  # it is tried all the time: quotas and permissions change
    problem = refused or problem
    if turn.status.stable and problem.permanent:
        return withdraw(turn, problem.reason, problem.message)
    if waited < deadline:
        return Decision(turn.status, waiting=problem, wake=deadline - waited)
    late = f"not ready within {deadline:g} s: {problem.message}"
    if turn.status.stable:
        reason = Reason.DEADLINE_EXCEEDED if problem.reason is Reason.PODS_NOT_READY else problem.reason
        return withdraw(turn, reason, late)
    return Decision(turn.status, waiting=Problem(problem.reason, late, permanent=True))


def _refused_write(turn: Turn) -> Problem | None:
    """Why the API server refused an object of the candidate, as an earlier turn had to say in the conditions."""
    if turn.candidate_workload.complete:
        return None
    refusals = {str(reason): reason for reason in (Reason.QUOTA_EXCEEDED, Reason.INVALID_SPEC)}
    told = next((one for one in turn.status.conditions if one.type == Condition.READY), None)
    if told is None or told.reason not in refusals or told.observed_generation != turn.seen.generation:
        return None
    return Problem(refusals[told.reason], told.message, permanent=True)


def _ready(turn: Turn) -> Decision:
    baseline = restarts(turn.candidate_workload)
    names = declared_checks(turn)
    if not names:
        return first_step(turn, restarts=baseline)
    event = Event(Reason.CHECKS_STARTED, f"{turn.candidate.version} is ready; checks: {', '.join(names)}")
    return Decision(turn.update(Phase.CHECKING, restarts=baseline), (event,))


def check(turn: Turn) -> Decision:
    """Checking: one Job at a time; the first verdict that is not a pass ends the rollout."""
    dead = death(turn.candidate_workload, turn.status.restarts)
    if dead:
        return withdraw(turn, Reason.CANDIDATE_DIED, dead)
    results = {entry.name: entry for entry in turn.status.checks}
    for name in declared_checks(turn):
        entry = results.get(name)
        if entry is None:
            started = CheckStatus(name=name, revision=turn.candidate.revision, started_at=turn.now)
            return Decision(turn.update(checks=[*turn.status.checks, started]))
        if entry.verdict is None:
            return _running(turn, entry)
    return first_step(turn)


def _running(turn: Turn, entry: CheckStatus) -> Decision:
    run = turn.seen.checks.get((entry.name, turn.candidate.workload), CheckRun(None))
    if run.verdict is None:
        return Decision(
            turn.status,
            waiting=Problem(Reason.PROGRESSING, f"{entry.name} of {turn.candidate.version} is running"),
            wake=30,
        )
    finished = entry.model_copy(
        update={"verdict": run.verdict, "reason": run.reason, "message": run.message, "finished_at": turn.now}
    )
    checked = turn.update(checks=[finished if known.name == entry.name else known for known in turn.status.checks])
    if run.verdict == "Pass":
        return Decision(checked)
    reason = _FAILED[entry.name] if run.verdict == "Fail" else Reason.CHECK_ERROR
    return withdraw(turn, reason, f"{entry.name}: {run.message or run.reason}", checks=checked.checks)
