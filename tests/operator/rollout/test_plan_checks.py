"""Checks that cannot be made: each ends in a verdict or in another try with a reason, and none hangs."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from luntra_operator.api.vocabulary import Reason
from luntra_operator.rollout import actions
from luntra_operator.rollout.conditions import refused
from luntra_operator.rollout.observed import CheckRun
from tests.operator.rollout.conftest import START, World, spec

V1, V2 = "digits-w1", "digits-w2"
KEY = ("benchmark", V2)
RUNNING = CheckRun(None)
OOM = CheckRun("Error", "OOMKilled", "exit code 137")


def checking(world: World, run: CheckRun = RUNNING, **fields: Any) -> World:
    """The world with a benchmark (1 minute, and 2 to start) under way that says `run`."""
    world.verdicts["benchmark"] = run
    world.spec = spec("v2", checks={"benchmark": {"requests": 10, "timeout": "1m", **fields}})
    while world.status.phase != "Checking":
        world.turn()
    if run.verdict is None:
        world.run()
    return world


def entry(world: World) -> Any:
    (found,) = world.status.checks
    return found


def tries(world: World) -> list[tuple[int, str]]:
    return [(one.attempt, one.reason) for one in entry(world).failed_attempts]


def started(world: World, seconds: int) -> list[actions.RunCheck]:
    """Jobs that are asked for while so many seconds pass."""
    found: list[actions.RunCheck] = []
    for _ in range(seconds):
        for _ in range(6):
            found += [action for action in world.turn().actions if isinstance(action, actions.RunCheck)]
        world.now += timedelta(seconds=1)
    return found


def deleted(world: World) -> None:
    del world.checks[KEY]


def ends(run: CheckRun) -> Callable[[World], None]:
    """The Job of the try under way ends like this."""

    def end(world: World) -> None:
        seen = world.checks[KEY]
        world.checks[KEY] = replace(run, attempt=seen.attempt, job=seen.job)

    return end


def overdue(world: World) -> None:
    world.now += timedelta(seconds=241)


@pytest.mark.parametrize(
    ("happens", "reason"),
    [
        (ends(OOM), "OOMKilled"),
        (ends(CheckRun("NoData", "StableUnavailable", "cannot be reached")), "StableUnavailable"),
        (ends(CheckRun("Error", "DeadlineExceeded", "active longer than its deadline")), "DeadlineExceeded"),
        (deleted, "JobDeleted"),
        (overdue, "Overdue"),
    ],
)
def test_what_says_nothing_of_the_candidate_is_tried_again_with_a_reason(
    world: World, happens: Callable[[World], None], reason: str
) -> None:
    checking(world)
    happens(world)
    world.verdicts["benchmark"] = CheckRun("Pass")
    world.until("Shifting")
    assert tries(world) == [(1, reason)]
    assert (entry(world).verdict, entry(world).attempt, entry(world).job) == ("Pass", 2, "digits-w2-benchmark-2")
    told = [message for name, message in world.events if name == "CheckRetried"]
    assert len(told) == 1
    assert f"1 of 2: {reason}" in told[0]


@pytest.mark.parametrize("retries", [0, 1, 5])
def test_candidate_is_refused_for_want_of_a_check_only_when_the_tries_are_used_up(world: World, retries: int) -> None:
    checking(world, OOM, retries=retries)
    world.until("RolledBack")
    assert world.status.rejected_reason == "CheckError"
    assert tries(world) == [(number, "OOMKilled") for number in range(1, retries + 1)]
    assert entry(world).reason == "OOMKilled"
    assert world.weights == []


def test_failed_candidate_is_never_given_a_second_chance(world: World) -> None:
    checking(world, CheckRun("Fail", "P99AboveMaximum", "p99 1 s"), retries=5)
    world.until("RolledBack")
    assert (world.status.rejected_reason, tries(world)) == ("BenchmarkFailed", [])


def test_check_that_would_end_no_differently_is_not_tried_again(world: World) -> None:
    checking(world, CheckRun("Error", "DatasetDigestMismatch", "another file", final=True), retries=5)
    world.until("RolledBack")
    assert (world.status.rejected_reason, tries(world)) == ("CheckError", [])


def test_pause_lies_between_two_tries_and_a_restart_does_not_shorten_it(world: World) -> None:
    """Breaks if the pause is only in memory, or the next Job is asked for at once."""
    checking(world)
    ends(OOM)(world)
    assert started(world, 9) == []
    assert entry(world).attempt == 2
    assert started(world, 5) == [actions.RunCheck("benchmark", V2, V1, 2)]


def test_each_try_has_its_whole_time(world: World) -> None:
    checking(world)
    world.now += timedelta(seconds=200)
    ends(OOM)(world)
    assert [action.attempt for action in started(world, 60)] == [2]
    world.now += timedelta(seconds=100)
    world.run()
    assert entry(world).verdict is None, "100 s of its 240 have passed"


def test_time_of_a_try_begins_when_its_job_is_seen(world: World) -> None:
    """Breaks if an operator that was down after it had decided on a check finds the try overdue when it comes back."""
    world.verdicts["benchmark"] = RUNNING
    world.spec = spec("v2", checks={"benchmark": {"requests": 10, "timeout": "1m"}})
    while world.status.phase != "Checking":
        world.turn()
    world.status = world.plan().status  # the operator dies before it carries out what it has decided
    assert entry(world).job is None
    world.now += timedelta(hours=2)
    world.run()
    assert (entry(world).attempt, entry(world).verdict, entry(world).job) == (1, None, "digits-w2-benchmark-1")


def test_verdict_that_came_while_nobody_looked_counts_though_it_is_late(world: World) -> None:
    checking(world)
    world.now += timedelta(hours=2)
    ends(CheckRun("Pass"))(world)
    world.until("Shifting")
    assert tries(world) == []


def test_job_that_nobody_lets_be_created_ends_with_the_refusal(world: World) -> None:
    checking(world)
    deleted(world)
    fresh = entry(world).model_copy(update={"job": None, "attempt_started_at": world.now})
    why = "exceeded quota: jobs, requested: 1, used: 5, limited: 5"
    conditions = refused(world.status.conditions, 1, Reason.QUOTA_EXCEEDED, why, world.now)
    world.status = world.status.model_copy(update={"checks": [fresh], "conditions": conditions})
    held = world.plan()
    assert [action for action in held.actions if isinstance(action, actions.RunCheck)], "it is tried all the time"
    assert {one.type: one.reason for one in held.status.conditions}["Stalled"] == "QuotaExceeded"
    world.now += timedelta(seconds=181)
    again = world.plan().status.checks[0]
    assert [one.reason for one in again.failed_attempts] == ["QuotaExceeded"]
    assert why in again.failed_attempts[0].message


def test_pod_that_does_not_start_is_told_of_and_remembered_when_its_time_is_up(world: World) -> None:
    checking(world)
    ends(CheckRun(None, message="image x:1: no such image"))(world)
    world.run(seconds=5)
    assert entry(world).message is None, "a pod may take some seconds"
    world.run(seconds=20)
    assert entry(world).message == "image x:1: no such image"
    assert "has not started: image x:1" in next(one.message for one in world.status.conditions if one.type == "Ready")
    ends(CheckRun("Error", "DeadlineExceeded", "active longer than its deadline"))(world)
    world.run()
    (failed,) = entry(world).failed_attempts
    assert failed.message == "active longer than its deadline; its pod had not started: image x:1: no such image"


def test_nothing_hangs_though_no_job_ever_ends(world: World) -> None:
    checking(world)
    world.until("RolledBack", limit=3 * 240)
    assert world.status.rejected_reason == "CheckError"
    assert tries(world) == [(1, "Overdue")]


def test_failed_check_leaves_its_figures_and_last_lines_in_the_status(world: World) -> None:
    figures = CheckRun(
        "Fail", "P50AboveRatio", "slow", candidate={"p50Ms": 9.0}, stable={"p50Ms": 3.0}, log=("window 1", "window 2")
    )
    checking(world, figures)
    world.until("RolledBack")
    found = entry(world)
    assert (found.candidate, found.stable, found.log) == ({"p50Ms": 9.0}, {"p50Ms": 3.0}, ["window 1", "window 2"])


def test_checks_of_an_operator_that_knew_no_tries_go_on(world: World) -> None:
    checking(world)
    old = {"attempt": 1, "attempt_started_at": None, "job": None, "started_at": START}
    world.status = world.status.model_copy(update={"checks": [entry(world).model_copy(update=old)]})
    ends(CheckRun("Pass"))(world)
    world.until("Shifting")


SLOW_STABLE = CheckRun(
    "NoData", "StableOverloaded", "bore 4 requests/s; the candidate alone: p50 9 ms", stable_failed=True
)
GONE = CheckRun("NoData", "StableUnavailable", "stable is away; the candidate alone: p50 9 ms", stable_failed=True)
UNLIKE = CheckRun("NoData", "StableUnavailable", "has other inputs")


@pytest.mark.parametrize(
    ("retries", "runs", "outcome"),
    [
        (1, [SLOW_STABLE, SLOW_STABLE], "StableNotCompared"),
        (1, [SLOW_STABLE, GONE], "StableNotCompared"),
        (3, [SLOW_STABLE, OOM, GONE, GONE], "StableNotCompared"),
        (0, [SLOW_STABLE, SLOW_STABLE], "StableNotCompared"),
        (1, [OOM, GONE, GONE], "StableNotCompared"),
        (5, [OOM] * 5 + [GONE, GONE], "StableNotCompared"),
        (0, [SLOW_STABLE, OOM], "OOMKilled"),
        (1, [SLOW_STABLE, OOM], "OOMKilled"),
        (1, [OOM, GONE, OOM], "OOMKilled"),
        (1, [UNLIKE, UNLIKE], "StableUnavailable"),
        (1, [SLOW_STABLE, CheckRun("Fail", "P50AboveRatio", "slow")], "P50AboveRatio"),
        (1, [SLOW_STABLE, CheckRun("Pass", "WithinBounds", "fine")], "WithinBounds"),
    ],
)
def test_stable_that_cannot_be_compared_with_counts_for_the_candidate_only_when_two_tries_agree(
    world: World, retries: int, runs: list[CheckRun], outcome: str
) -> None:
    """Breaks if a stable version that fails blocks its fix, or a moment's trouble of it lets a bad candidate through."""
    checking(world, retries=retries)
    for number, run in enumerate(runs, 1):
        assert entry(world).attempt == number
        ends(run)(world)
        started(world, 12)
    found = entry(world)
    assert (found.attempt, found.reason) == (len(runs), outcome)
    assert [one.stable_failed for one in found.failed_attempts] == [run.stable_failed for run in runs[:-1]]
    told = [message for name, message in world.events if name == "StableNotCompared"]
    assert len(told) == (outcome == "StableNotCompared")
    world.until("Shifting" if outcome in ("StableNotCompared", "WithinBounds") else "RolledBack")


def test_what_was_not_applied_is_told_in_status_and_event(world: World) -> None:
    checking(world, SLOW_STABLE)
    world.until("Shifting")
    told = "stable could not be compared with in 2 tries, so the relative bound was not applied: bore 4 requests/s"
    assert entry(world).verdict == "Pass"
    assert entry(world).message.startswith(told)
    assert f"benchmark of v2: {told}" in next(text for name, text in world.events if name == "StableNotCompared")
