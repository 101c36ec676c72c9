"""Rollback: one write takes the traffic away; the rest is tidying up."""

from typing import Any

from luntra_operator.api.status import TrafficStatus, Withdrawal
from luntra_operator.api.vocabulary import Phase, Reason

from .actions import Event
from .history import recorded
from .observed import Problem
from .turn import Decision, Timers, Turn


def withdraw(turn: Turn, reason: Reason, message: str, *, rejected: bool = True, **changes: Any) -> Decision:
    """Take the candidate back; `rejected` refuses its revision until the spec names another one."""
    traffic, candidate = turn.status.traffic, turn.candidate
    if traffic is not None and traffic.desired and turn.status.stable is not None:
        changes["traffic"] = TrafficStatus(workload=candidate.workload, desired=0, decided_at=turn.now)
    status = turn.update(
        Phase.ROLLING_BACK, withdrawal=Withdrawal(reason=str(reason), message=message, rejected=rejected), **changes
    )
    stable = f"; {turn.status.stable.version} gets all traffic" if turn.status.stable else ""
    event = Event(reason, f"{candidate.version} is taken back: {message}{stable}", "Warning" if rejected else "Normal")
    return Decision(status, (event,), urgent=rejected)


def supersede(turn: Turn) -> Decision:
    """The spec has moved on in mid-rollout: the running candidate loses its traffic before anything else begins."""
    stable = turn.status.stable
    if stable is not None and turn.revision == stable.revision:
        return withdraw(turn, Reason.RETURNED_TO_STABLE, f"the spec names {stable.version} again", rejected=False)
    return withdraw(turn, Reason.SUPERSEDED, f"the spec names {turn.spec.model.version} now", rejected=False)


def give_back(turn: Turn, reason: Reason, message: str, **changes: Any) -> Decision:
    """In the soak, return all traffic to the previous version and refuse the one that had been promoted."""
    failed, previous = turn.status.stable, turn.status.previous
    if failed is None or previous is None:
        raise LookupError("only a soak has two versions to choose from")
    status = turn.update(
        Phase.ROLLING_BACK,
        stable=previous,
        candidate=failed,
        previous=None,
        traffic=TrafficStatus(workload=failed.workload, desired=0, decided_at=turn.now),
        withdrawal=Withdrawal(reason=str(reason), message=message, rejected=True),
        **changes,
    )
    event = Event(
        reason,
        f"{failed.version} is taken back after promotion: {message}; all traffic returns to {previous.version}",
        "Warning",
    )
    return Decision(status, (event,), urgent=True)


def roll_back(turn: Turn, timers: Timers) -> Decision:
    """RollingBack: once the data plane gives the candidate nothing and its last requests had time to end, let it go."""
    status, traffic, withdrawal = turn.status, turn.status.traffic, turn.status.withdrawal
    if withdrawal is None:
        raise LookupError("RollingBack without a withdrawal in status")
    if not _had_traffic(turn):
        return _finished(turn, withdrawal)
    reachable = not turn.spec.divides or turn.seen.missing is None
    # While no stable pod is ready, the traffic stays where it is; a fix must not wait for a broken stable version.
    if traffic is not None and traffic.desired == 0 and traffic.observed != 0 and reachable and turn.stable_serves:
        waiting = Problem(Reason.ROLLING_BACK, "waiting for the gateway to follow weight 0")
        return Decision(status, waiting=waiting, wake=timers.settle_poll)
    named = turn.seen.route is not None and turn.candidate.workload in turn.seen.route.weights
    if traffic is not None and named and turn.candidate_workload.endpoints:
        remaining = timers.drain - turn.since(traffic.decided_at)
        if remaining > 0:
            return Decision(status, waiting=Problem(Reason.ROLLING_BACK, "requests in flight may end"), wake=remaining)
    return _finished(turn, withdrawal)


def _had_traffic(turn: Turn) -> bool:
    """Whether the candidate had any when it was withdrawn: weight 0 was decided then, and not before; a first version keeps its 100."""
    status, traffic = turn.status, turn.status.traffic
    if traffic is None:
        return False
    return traffic.desired > 0 or turn.since(traffic.decided_at) <= turn.since(status.phase_started_at)


def _finished(turn: Turn, withdrawal: Withdrawal) -> Decision:
    status, candidate = turn.status, turn.candidate
    refusal = {
        "rejected_revision": candidate.revision if withdrawal.rejected else None,
        "rejected_reason": withdrawal.reason if withdrawal.rejected else None,
        "rejected_message": withdrawal.message if withdrawal.rejected else None,
    }
    stable = status.stable
    ended = turn.update(
        Phase.ROLLED_BACK if withdrawal.rejected else Phase.PENDING,
        candidate=None,
        withdrawal=None,
        step=None,
        # Without a stable version, one that was superseded goes on serving until the next one does.
        traffic=TrafficStatus(workload=stable.workload, desired=100, decided_at=turn.now) if stable else status.traffic,
        history=recorded(turn, "RolledBack" if withdrawal.rejected else "Superseded", withdrawal.reason),
        **refusal,
    )
    if not withdrawal.rejected:
        return Decision(ended)
    return Decision(
        ended, (Event(Reason.ROLLED_BACK, f"{candidate.version} is refused: {withdrawal.message}", "Warning"),)
    )
