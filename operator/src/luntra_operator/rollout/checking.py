"""Checking: the candidate's checks one after the other, each a Job a try; the first that is no pass ends the rollout.

A verdict on the candidate is final. What could not be made (no data, a killed pod, a Job that somebody deleted, that never
starts or never ends) says nothing about the candidate: it is tried again with a Job of its own, and only when the tries are used
up the candidate is refused for want of a check. Every wait has an end of its own, whatever the Job says.

A stable version that is too bad to be compared with must not keep its own successor out: where the candidate by itself is good and
the comparison fails for stable's sake in the last try, and in one before, the check counts as passed, and says so. So a moment's trouble of
stable lets nobody through.
"""

from dataclasses import replace
from datetime import timedelta
from typing import Any

from luntra_operator.api.checks import BenchmarkCheck, EvaluationCheck
from luntra_operator.api.status import CheckAttempt, CheckStatus, ModelDeploymentStatus
from luntra_operator.api.vocabulary import Reason

from .actions import Event
from .conditions import refused_write
from .evidence import death
from .observed import CheckRun, Problem
from .shift import first_step
from .turn import Decision, Turn
from .withdraw import withdraw

PAUSE = 10.0
"""Seconds between two tries: what was in the way may pass."""
GRACE = 60.0
"""Seconds that a Job past its deadline may take to say so."""
NEWS = 15.0
"""Seconds after which a pod that has not started is worth telling of."""

_FAILED = {"evaluation": Reason.EVALUATION_FAILED, "benchmark": Reason.BENCHMARK_FAILED}


def declared_checks(turn: Turn) -> dict[str, EvaluationCheck | BenchmarkCheck]:
    """The declared checks by name, in the order in which they run."""
    checks = turn.spec.checks
    blocks = {"evaluation": checks.evaluation, "benchmark": checks.benchmark}
    return {name: block for name, block in blocks.items() if block is not None}


def current_run(turn: Turn, entry: CheckStatus) -> CheckRun | None:
    """What is seen of the try under way, None where its Job does not exist."""
    run = turn.seen.checks.get((entry.name, turn.candidate.workload))
    return run if run is not None and run.attempt >= entry.attempt else None


def check(turn: Turn) -> Decision:
    """Checking: one Job at a time."""
    dead = death(turn.candidate_workload, turn.status.restarts)
    if dead:
        return withdraw(turn, Reason.CANDIDATE_DIED, dead)
    results = {entry.name: entry for entry in turn.status.checks}
    for name, block in declared_checks(turn).items():
        entry = results.get(name)
        if entry is None:
            started = CheckStatus(
                name=name, revision=turn.candidate.revision, started_at=turn.now, attempt_started_at=turn.now
            )
            return Decision(turn.update(checks=[*turn.status.checks, started]))
        if entry.verdict is None:
            return _running(turn, entry, block)
    return first_step(turn)


def _running(turn: Turn, entry: CheckStatus, block: EvaluationCheck | BenchmarkCheck) -> Decision:
    waited = turn.since(entry.attempt_started_at or entry.started_at)
    if waited < 0:
        return _wait(turn, entry, f"is tried again, {entry.attempt} of {_tries(entry, block)}", -waited)
    run = current_run(turn, entry)
    if run is None and entry.job is None:
        refused = refused_write(turn)
        if refused is None or waited < block.deadline:
            return _wait(turn, entry, "is about to start", 5).because(refused)
        run = CheckRun("Error", str(refused.reason), f"its Job could not be created: {refused.message}")
    elif run is None:
        run = CheckRun("Error", "JobDeleted", f"Job {entry.job} was deleted before it ended")
    elif run.verdict is None and entry.job is None:  # the time of a try begins when its Job is seen
        return Decision(_changed(turn, entry, job=run.job, attempt_started_at=turn.now))
    elif run.verdict is None and waited < block.deadline + GRACE:
        return _under_way(turn, entry, run, waited)
    elif run.verdict is None:
        run = CheckRun("Error", "Overdue", f"not ended within {block.deadline:g} s and {GRACE:g} s more")
    agreed = not run.stable_failed or _said_before(entry)
    final = run.final or run.verdict in ("Pass", "Fail") or (entry.attempt > block.retries and agreed)
    return _finish(turn, entry, run) if final else _again(turn, entry, run, block)


def _wait(turn: Turn, entry: CheckStatus, text: str, wake: float) -> Decision:
    waiting = Problem(Reason.PROGRESSING, f"{entry.name} of {turn.candidate.version} {text}")
    return Decision(turn.status, waiting=waiting, wake=wake)


def _under_way(turn: Turn, entry: CheckStatus, run: CheckRun, waited: float) -> Decision:
    obstacle = run.message if run.message and waited >= NEWS else None
    if obstacle != entry.message:
        return Decision(_changed(turn, entry, message=obstacle))
    return _wait(turn, entry, f"has not started: {obstacle}" if obstacle else "is running", NEWS)


def _said_before(entry: CheckStatus) -> int:
    """How many tries before have found that stable cannot be compared with."""
    return sum(one.stable_failed for one in entry.failed_attempts)


def _tries(entry: CheckStatus, block: EvaluationCheck | BenchmarkCheck) -> int:
    return max(entry.attempt, block.retries + 1)


def _again(turn: Turn, entry: CheckStatus, run: CheckRun, block: EvaluationCheck | BenchmarkCheck) -> Decision:
    reason, message = run.reason or "Error", _told(entry, run)
    failed = CheckAttempt(
        attempt=entry.attempt, reason=reason, message=message, ended_at=turn.now, stable_failed=run.stable_failed
    )
    status = _changed(
        turn,
        entry,
        attempt=entry.attempt + 1,
        attempt_started_at=turn.now + timedelta(seconds=PAUSE),
        job=None,
        message=None,
        failed_attempts=[*entry.failed_attempts, failed],
    )
    text = f"{entry.name} of {turn.candidate.version} could not be made, {entry.attempt} of {_tries(entry, block)}: {reason}: {message}"
    return Decision(status, (Event(Reason.CHECK_RETRIED, text, "Warning"),))


def _finish(turn: Turn, entry: CheckStatus, run: CheckRun) -> Decision:
    events: tuple[Event, ...] = ()
    if run.stable_failed:
        told = f"stable could not be compared with in {1 + _said_before(entry)} tries, so the relative bound was not applied"
        run = replace(run, verdict="Pass", reason=Reason.STABLE_NOT_COMPARED, message=f"{told}: {run.message}")
        events = (
            Event(Reason.STABLE_NOT_COMPARED, f"{entry.name} of {turn.candidate.version}: {run.message}", "Warning"),
        )
    message = _told(entry, run)
    status = _changed(
        turn,
        entry,
        verdict=run.verdict,
        reason=run.reason,
        message=message,
        finished_at=turn.now,
        job=run.job or entry.job,
        candidate=dict(run.candidate),
        stable=dict(run.stable),
        log=list(run.log),
    )
    if run.verdict == "Pass":
        return Decision(status, events)
    reason = _FAILED[entry.name] if run.verdict == "Fail" else Reason.CHECK_ERROR
    tries = f" (try {entry.attempt})" if run.verdict != "Fail" and entry.attempt > 1 else ""
    return withdraw(turn, reason, f"{entry.name}: {message or run.reason}{tries}", checks=status.checks)


def _told(entry: CheckStatus, run: CheckRun) -> str:
    """What a try says of itself, and what was last in its way: a Job that is ended takes its pod along."""
    obstacle = entry.message if run.verdict == "Error" and entry.message and entry.message not in run.message else None
    return f"{run.message}; its pod had not started: {obstacle}" if obstacle else run.message


def _changed(turn: Turn, entry: CheckStatus, **changes: Any) -> ModelDeploymentStatus:
    changed = entry.model_copy(update=changes)
    return turn.update(checks=[changed if known.name == entry.name else known for known in turn.status.checks])
