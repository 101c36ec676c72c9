"""What check Jobs and their pods say, in the engine's words. Pure.

A check leaves its report as JSON in its container's termination message. What it says comes from a candidate that nobody trusts
yet, so it is bounded and cleaned (`last_words`) before it gets anywhere near a status.
"""

import json
from collections.abc import Iterable
from typing import Any

from pydantic import Field, ValidationError

from luntra_operator.api.base import StatusModel
from luntra_operator.api.status import Verdict
from luntra_operator.api.vocabulary import LABEL_CHECK
from luntra_operator.rollout.observed import CheckRun
from luntra_operator.workloads.naming import check_names

from .last_words import one_line, tail
from .readers import label, read_pod

Object = dict[str, Any]
NO_POD = "it has no pod: a ResourceQuota, a LimitRange or an admission webhook may refuse one (kubectl describe job {})"


class CheckReport(StatusModel):
    """The JSON that a check's container leaves as its termination message."""

    check: str
    verdict: Verdict
    reason: str
    message: str
    final: bool = False
    stable_failed: bool = False
    candidate: dict[str, float | None] = Field(default_factory=dict)
    stable: dict[str, float | None] | None = None
    log: list[str] = Field(default_factory=list)


def check_runs(jobs: list[Object], pods: list[Object], workloads: Iterable[str]) -> dict[tuple[str, str], CheckRun]:
    """The last try of each check of these workloads, by check and workload."""
    known = {job: (workload, attempt) for workload in workloads for job, attempt in check_names(workload).items()}
    runs: dict[tuple[str, str], CheckRun] = {}
    for job in jobs:
        name, check = job["metadata"]["name"], label(job, LABEL_CHECK)
        if not check or name not in known or "deletionTimestamp" in job["metadata"]:
            continue
        workload, attempt = known[name]
        before = runs.get((check, workload))
        if before is None or before.attempt < attempt:
            mine = [pod for pod in pods if label(pod, "batch.kubernetes.io/job-name") == name]
            runs[check, workload] = _run(job, sorted(mine, key=_created), attempt)
    return runs


def _created(pod: Object) -> str:
    created: str = pod["metadata"]["creationTimestamp"]
    return created


def _run(job: Object, pods: list[Object], attempt: int) -> CheckRun:
    """One try; `pods` from the oldest to the newest."""
    name = job["metadata"]["name"]
    conditions = {c["type"]: c for c in job.get("status", {}).get("conditions") or [] if c["status"] == "True"}
    reports = [report for pod in pods if (report := _report(pod))]
    last = reports[-1] if reports else None
    # A Job waits for its last pod before it is Failed, and a lost node never says that its pod has ended.
    failed = conditions.get("Failed") or conditions.get("FailureTarget")
    if failed is None and "Complete" not in conditions:
        return CheckRun(None, message=_obstacle(name, pods), attempt=attempt, job=name)
    if last is not None and (failed is None or last.verdict not in ("Pass", "Fail")):
        return _reported(last, attempt, name)
    if failed is None and not all(map(_ended, pods)):  # the pods were read a moment before the Job
        return CheckRun(None, attempt=attempt, job=name)
    if failed is None:
        why = "the Job completed but left no report; its pod may have been removed"
        return CheckRun("Error", "NoReport", why, attempt, name)
    told = failed.get("reason") or "Failed", failed.get("message") or "the Job failed", ()
    reason, message, log = _end(pods) or told
    if told[0] == "DeadlineExceeded":  # that its container was killed is a consequence
        reason, message = told[0], told[1]
    return CheckRun("Error", one_line(reason), one_line(message), attempt, name, log=log)


def _reported(report: CheckReport, attempt: int, job: str) -> CheckRun:
    return CheckRun(
        report.verdict,
        one_line(report.reason),
        one_line(report.message),
        attempt,
        job,
        final=report.final,
        stable_failed=report.verdict == "NoData" and report.stable_failed,
        candidate=_figures(report.candidate),
        stable=_figures(report.stable or {}),
        log=tail("\n".join(report.log)),
    )


def _figures(figures: dict[str, float | None]) -> dict[str, float]:
    return {name: figure for name, figure in figures.items() if figure is not None}


def _obstacle(job: str, pods: list[Object]) -> str:
    """Why no pod of a Job runs; empty where one does."""
    living = [pod for pod in pods if pod.get("status", {}).get("phase") not in ("Succeeded", "Failed")]
    if not living:
        return "" if pods else NO_POD.format(job)
    problem = read_pod(living[-1]).problem
    return one_line(problem.message) if problem else ""


def _terminations(pod: Object) -> list[Object]:
    statuses = pod.get("status", {}).get("containerStatuses") or []
    return [status["state"]["terminated"] for status in statuses if "terminated" in status.get("state", {})]


def _ended(pod: Object) -> bool:
    return bool(_terminations(pod)) or pod.get("status", {}).get("phase") in ("Succeeded", "Failed")


def _report(pod: Object) -> CheckReport | None:
    for ended in _terminations(pod):
        try:
            return CheckReport.model_validate(json.loads(ended.get("message") or ""))
        except (ValueError, ValidationError):
            continue  # not a report: a crash leaves its log here, which _end shows
    return None


def _end(pods: list[Object]) -> tuple[str, str, tuple[str, ...]] | None:
    """How the last pod came to its end without a report: reason, message, last lines; None where none did."""
    for pod in reversed(pods):
        for ended in _terminations(pod):
            if ended.get("exitCode", 0) == 0:
                continue
            reason = ended.get("reason") or "Error"
            log = tail("" if _report(pod) else ended.get("message") or "")
            said = f": {log[-1]}" if log else ""
            name = "Crashed" if reason == "Error" else reason
            return name, f"the check's container ended with exit code {ended['exitCode']} ({reason}){said}", log
        status = pod.get("status", {})
        if status.get("phase") == "Failed" and status.get("reason"):
            return status["reason"], status.get("message") or "its pod failed", ()
    return None
