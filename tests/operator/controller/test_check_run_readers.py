"""What check Jobs and their pods say, in the engine's words: verdicts, ends without one, and what is in the way."""

import json
from typing import Any

import pytest

from luntra_operator.controller.check_runs import check_runs
from luntra_operator.rollout.observed import CheckRun

Object = dict[str, Any]
JOB = "digits-w2-benchmark"


def job(name: str = JOB, **conditions: str) -> Object:
    listed = [
        {"type": kind, "status": "True", "reason": reason, "message": f"{reason} told"}
        for kind, reason in conditions.items()
    ]
    return {"metadata": {"name": name, "labels": {"luntra.io/check": "benchmark"}}, "status": {"conditions": listed}}


def check_pod(
    message: str | None, created: str = "2026-01-01T00:00:00Z", code: int = 0, reason: str = "", **status: Any
) -> Object:
    ended: Object = {"state": {}}
    if message is not None:
        ended = {"state": {"terminated": {"exitCode": code, "message": message, "reason": reason}}}
    labels = {"batch.kubernetes.io/job-name": JOB}
    meta = {"name": "pod", "uid": "uid", "labels": labels, "creationTimestamp": created}
    return {"metadata": meta, "status": {"containerStatuses": [{"name": "benchmark", **ended}], **status}}


def report(verdict: str = "Pass", message: str = "p99 3 ms", **fields: Any) -> str:
    return json.dumps(
        {"check": "benchmark", "verdict": verdict, "reason": "Ok", "message": message, "samples": 3, "new": {}} | fields
    )


def runs(*jobs: Object, pods: tuple[Object, ...] = ()) -> CheckRun | None:
    return check_runs(list(jobs), list(pods), {"digits-w2"}).get(("benchmark", "digits-w2"))


def run_of(body: Object, *pods: Object) -> CheckRun:
    found = runs(body, pods=pods)
    assert found is not None
    return found


def said(run: CheckRun) -> tuple[str | None, str, str]:
    return run.verdict, run.reason, run.message


def test_verdict_is_read_from_the_termination_message_of_a_complete_job() -> None:
    assert said(run_of(job(Complete="Done"), check_pod(report()))) == ("Pass", "Ok", "p99 3 ms")
    assert said(run_of(job(Complete="Done"), check_pod(report("Fail", "slow")))) == ("Fail", "Ok", "slow")


def test_figures_log_and_whether_another_try_is_worth_it_come_along() -> None:
    text = report(
        "Fail", candidate={"p99Ms": 3.5, "p50Ms": None}, stable={"p99Ms": 1}, final=True, log=["a", "b\x1b[31mc"]
    )
    found = run_of(job(Complete="Done"), check_pod(text))
    assert (found.candidate, found.stable, found.final) == ({"p99Ms": 3.5}, {"p99Ms": 1.0}, True)
    assert (found.log, found.job, found.attempt) == (("a", "bc"), JOB, 1)


@pytest.mark.parametrize(("verdict", "failed"), [("NoData", True), ("Error", False), ("Pass", False)])
def test_stable_is_to_blame_only_for_what_could_not_be_decided(verdict: str, failed: bool) -> None:
    found = run_of(job(Complete="Done"), check_pod(report(verdict, stableFailed=True)))
    assert found.stable_failed is failed
    assert not run_of(job(Complete="Done"), check_pod(report(verdict))).stable_failed


def test_running_job_has_no_verdict_even_if_a_pod_has_reported() -> None:
    assert run_of(job(), check_pod(report("Error"), code=1)).verdict is None
    assert run_of({**job(), "status": {}}).verdict is None


def test_last_pod_counts() -> None:
    first = check_pod(report("Error", "first"), "2026-01-01T00:00:00Z", 1)
    second = check_pod(report("Pass", "second"), "2026-01-01T00:05:00Z")
    assert said(run_of(job(Complete="Done"), second, first)) == ("Pass", "Ok", "second")


def test_last_try_counts() -> None:
    found = runs(job(Failed="BackoffLimitExceeded"), job(f"{JOB}-3"), job(f"{JOB}-2", Complete="Done"))
    assert found is not None
    assert (found.attempt, found.job, found.verdict) == (3, f"{JOB}-3", None)


def test_job_that_is_being_deleted_is_gone() -> None:
    leaving = job(Complete="Done")
    leaving["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    assert runs(leaving, pods=(check_pod(report()),)) is None


@pytest.mark.parametrize(
    "message", ["", "Traceback: no such file", "[1, 2]", '{"verdict": "Maybe"}', '{"check": "x"}', "{"]
)
def test_complete_job_without_a_report_is_an_error_and_never_a_pass(message: str) -> None:
    assert said(run_of(job(Complete="Done"), check_pod(message)))[:2] == ("Error", "NoReport")


def test_complete_job_whose_pod_was_read_while_it_ran_has_no_verdict_yet() -> None:
    running = check_pod(None)
    running["status"] = {"phase": "Running", "containerStatuses": [{"name": "check", "state": {"running": {}}}]}
    assert run_of(job(Complete="Done"), running).verdict is None


FAILED = job(Failed="BackoffLimitExceeded")
EVICTED = check_pod(None)
EVICTED["status"] = {"phase": "Failed", "reason": "Evicted", "message": "The node was low on memory"}


@pytest.mark.parametrize(
    ("body", "pods", "reason", "message"),
    [
        (FAILED, [check_pod(report("NoData", "no samples"), code=1)], "Ok", "no samples"),
        (
            FAILED,
            [check_pod("Traceback\nMemoryError\n", code=1, reason="Error")],
            "Crashed",
            "the check's container ended with exit code 1 (Error): MemoryError",
        ),
        (
            FAILED,
            [check_pod("", code=137, reason="OOMKilled")],
            "OOMKilled",
            "the check's container ended with exit code 137 (OOMKilled)",
        ),
        (FAILED, [EVICTED], "Evicted", "The node was low on memory"),
        (job(Failed="DeadlineExceeded"), [check_pod(None)], "DeadlineExceeded", "DeadlineExceeded told"),
        (
            job(FailureTarget="DeadlineExceeded"),
            [check_pod("log", code=137, reason="Error")],
            "DeadlineExceeded",
            "DeadlineExceeded told",
        ),
        (FAILED, [], "BackoffLimitExceeded", "BackoffLimitExceeded told"),
    ],
)
def test_failed_job_tells_its_report_or_how_its_pod_ended_or_its_own_reason(
    body: Object, pods: list[Object], reason: str, message: str
) -> None:
    found = run_of(body, *pods)
    assert (found.reason, found.message) == (reason, message)
    assert found.verdict == ("NoData" if reason == "Ok" else "Error")


def test_crash_leaves_the_end_of_its_log() -> None:
    found = run_of(FAILED, check_pod("one\ntwo\n", code=1, reason="Error"))
    assert found.log == ("one", "two")


def test_failed_job_never_passes_or_fails_a_candidate_whatever_its_pods_report() -> None:
    for verdict in ("Pass", "Fail"):
        assert run_of(job(Failed="DeadlineExceeded"), check_pod(report(verdict))).verdict == "Error"


def test_what_is_in_the_way_of_a_pod_is_told_while_it_waits() -> None:
    waiting = {"waiting": {"reason": "ErrImagePull", "message": "no such image"}}
    pending = check_pod(None)
    pending["status"] = {"phase": "Pending", "containerStatuses": [{"name": "b", "image": "x:1", "state": waiting}]}
    assert run_of(job(), pending).message == "image x:1: no such image"
    unscheduled = check_pod(None)
    condition = {"type": "PodScheduled", "status": "False", "message": "0/3 nodes are available"}
    unscheduled["status"] = {"phase": "Pending", "conditions": [condition]}
    assert run_of(job(), unscheduled).message == "0/3 nodes are available"
    assert "ResourceQuota" in run_of(job()).message
    assert run_of(job(), check_pod(None, phase="Running")).message == ""


def test_pods_of_other_jobs_and_jobs_of_other_workloads_are_ignored() -> None:
    stranger = check_pod(report())
    stranger["metadata"]["labels"] = {"batch.kubernetes.io/job-name": "else"}
    assert run_of(job(Complete="Done"), stranger).reason == "NoReport"
    assert check_runs([job()], [], {"digits-w1"}) == {}
    assert check_runs([job("digits-w2-benchmark-8")], [], {"digits-w2"}) == {}
