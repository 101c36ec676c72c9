"""Before anything else: wait until all of the candidate's pods are ready."""

from luntra_operator.api.vocabulary import Phase, Reason

from .actions import Event
from .checking import declared_checks
from .conditions import refused_write
from .evidence import obstacle, restarts
from .observed import Problem
from .shift import first_step
from .turn import Decision, Turn
from .withdraw import withdraw


def await_ready(turn: Turn) -> Decision:
    """Preparing: every replica that it may have must be ready before anything is checked.

    With a stable version, a hopeless or late candidate is given up. Without one there is nothing to
    protect: the pods may still come up, so the object only says that it is stalled.
    """
    replicas = turn.replicas(turn.candidate_workload)
    if replicas == 0:
        known = turn.candidate.revision in turn.seen.revisions  # until it is stored nothing can be asked for
        return Decision(turn.status, waiting=turn.seen.grants.waiting, wake=None if known else 0.1)
    problem = obstacle(turn.candidate_workload, replicas)
    if problem is None:
        return _ready(turn)
    waited, deadline = _waited(turn), turn.spec.ready_deadline
    refused = None if turn.candidate_workload.complete else refused_write(turn)
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


def _waited(turn: Turn) -> float:
    """Seconds for which the candidate could have been at work: its wait for accelerators does not count."""
    since = turn.since(turn.status.phase_started_at)
    granted = [turn.since(one.since) for one in turn.status.grants if one.workload == turn.candidate.workload]
    return min([since, *granted])


def _ready(turn: Turn) -> Decision:
    baseline = restarts(turn.candidate_workload)
    names = declared_checks(turn)
    if not names:
        return first_step(turn, restarts=baseline)
    event = Event(Reason.CHECKS_STARTED, f"{turn.candidate.version} is ready; checks: {', '.join(names)}")
    return Decision(turn.update(Phase.CHECKING, restarts=baseline), (event,))
