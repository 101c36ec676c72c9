"""No version is refused without a reason in the world, and none goes on against one.

The world's own record, kept from what pods, Jobs and people did and not from what the operator says of them.
"""

import json
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from luntra_operator.api.quantities import seconds
from luntra_operator.api.vocabulary import ANNOTATION_ABORT, LABEL_CHECK, LABEL_WORKLOAD
from luntra_operator.kube import kinds

from .api_server import ApiServer, Object, Write, moment
from .metrics import PATIENCE, Metrics

MD = kinds.MODEL_DEPLOYMENT

_CHECKS = {"EvaluationFailed": {"evaluation Fail"}, "BenchmarkFailed": {"benchmark Fail"}}
_CHECK_ERROR = {"evaluation Error", "benchmark Error"}
_DEADLINES = {"StepDeadlineExceeded": "step", "ApprovalTimedOut": "approval"}


class Evidence:
    """What is known of each workload, as words in `_facts`; `violated` is told of refusals and steps that ignore it."""

    def __init__(self, server: ApiServer, metrics: Metrics, violated: Callable[[str], None]) -> None:
        """Judge what `server` tells and `metrics` said."""
        self._server, self._metrics, self._violated = server, metrics, violated
        self._facts: dict[str, set[str]] = {}
        self._aborted: dict[str, set[str]] = {}
        self._served: set[str] = set()

    def heard(self, write: Write) -> None:
        """Remember or judge one write."""
        if write.kind is kinds.POD and write.after:
            self._pod(write.after)
        elif write.kind is kinds.ENDPOINT_SLICE:
            self._endpoints(write)
        elif write.kind is kinds.JOB and write.after:
            self._job(write.after)
        elif write.kind is MD and write.after:
            if write.verb == "status":
                self._status(write, write.after)
            elif asked := write.after["metadata"].get("annotations", {}).get(ANNOTATION_ABORT):
                self._aborted.setdefault(write.after["metadata"]["uid"], set()).add(asked.split("/")[0])

    def _note(self, workload: str, fact: str) -> None:
        self._facts.setdefault(workload, set()).add(fact)

    def _pod(self, pod: Object) -> None:
        labels, container = pod["metadata"]["labels"], pod["status"]["containerStatuses"][0]
        if LABEL_CHECK in labels:
            ended = container["state"].get("terminated", {})
            if ended.get("message"):
                job = labels["batch.kubernetes.io/job-name"]
                verdict = json.loads(ended["message"])["verdict"]
                self._note(job.split(f"-{labels[LABEL_CHECK]}")[0], f"{labels[LABEL_CHECK]} {verdict}")
            return
        bad = container["restartCount"] or pod["status"]["phase"] == "Failed" or "waiting" in container["state"]
        if bad:
            self._note(labels[LABEL_WORKLOAD], "a pod failed")

    def _job(self, job: Object) -> None:
        check = job["metadata"]["labels"][LABEL_CHECK]
        for condition in job.get("status", {}).get("conditions", ()):
            if condition["type"] == "Failed":
                self._note(job["metadata"]["name"].split(f"-{check}")[0], f"{check} Error")

    def _endpoints(self, write: Write) -> None:
        workload = write.name.removesuffix("-slice")
        if write.after and write.after["endpoints"]:
            self._served.add(workload)
        elif workload in self._served:
            self._note(workload, "no endpoint")

    # What the operator decides.

    def _status(self, write: Write, after: Object) -> None:
        before, status = (write.before or {}).get("status", {}), after["status"]
        withdrawal = status.get("withdrawal")
        if withdrawal and withdrawal["rejected"] and not before.get("withdrawal"):
            reason, candidate = withdrawal["reason"], status["candidate"]
            if not self._supports(reason, write, after, before, candidate):
                self._violated(f"{candidate['version']} is refused for {reason}, which nothing in the world supports")
        if not withdrawal:
            self._raised(after, before, status)

    def _supports(self, reason: str, write: Write, after: Object, before: Object, candidate: Object) -> bool:
        workload = candidate["workload"]
        facts = self._facts.get(workload, set())
        told = self._metrics.told.get(workload, set())
        if reason in _CHECKS:
            return bool(facts & _CHECKS[reason])
        if reason == "CheckError":
            return bool(facts & _CHECK_ERROR)
        if reason == "MetricFailed":
            return "Fail" in told
        if reason in ("NoData", "MetricSourceUnavailable"):
            return ("NoData" if reason == "NoData" else "Error") in told
        aborted = {candidate[key] for key in ("version", "revision", "digest")} & self._aborted.get(
            after["metadata"]["uid"], set()
        )
        if reason == "Aborted":
            return bool(aborted)
        if reason == "CandidateDied":  # or it was taken back for any reason while no status could be written
            return bool(facts or aborted or "Fail" in told)
        if reason in _DEADLINES:
            return _waited(reason, before, after["spec"], write.at)
        return "a pod failed" in facts or _waited("ready", before, after["spec"], write.at)

    def _raised(self, after: Object, before: Object, status: Object) -> None:
        """Before its first traffic every declared check has passed in the world; no step goes on while a metric says no."""
        traffic, candidate = status.get("traffic"), status.get("candidate")
        if not (traffic and candidate and status.get("stable") and traffic["workload"] == candidate["workload"]):
            return
        known = before.get("traffic") or {}
        if known.get("workload") != traffic["workload"] or traffic["desired"] <= known["desired"]:
            return
        workload, weight = candidate["workload"], traffic["desired"]
        returned = (before.get("previous") or {}).get("workload") == workload
        if not returned and not known["desired"]:
            declared = after["spec"]["rollout"].get("checks") or {}
            verdicts = {entry["name"]: entry.get("verdict") for entry in status.get("checks", ())}
            for check, verdict in verdicts.items():
                if check in declared and f"{check} {verdict}" not in self._facts.get(workload, ()):
                    self._violated(f"{workload} gets {weight} %, but its {check} did not end with {verdict}")
        otherwise = self._metrics.watched.get(after["metadata"]["name"])
        for metric in status.get("metrics", ()):
            lasted = (datetime.fromisoformat(traffic["decidedAt"]) - _time(metric["since"])).total_seconds()
            silent = metric["verdict"] in ("NoData", "Error") and not (otherwise == "Pass" and lasted >= PATIENCE)
            if metric["verdict"] == "Fail" or silent:
                self._violated(f"{workload} goes on to {weight} % while its metric says {metric['verdict']}")


def _waited(what: str, before: Object, spec: Mapping[str, Any], now: float) -> bool:
    traffic = before.get("traffic") or {}
    began = {
        "StepDeadlineExceeded": traffic.get("settlingSince") or traffic.get("decidedAt"),
        "ApprovalTimedOut": before.get("phaseStartedAt"),
        "ready": before.get("phaseStartedAt"),
    }[what]
    limit = seconds(spec["rollout"]["deadlines"][_DEADLINES.get(what, what)])
    return began is not None and (moment(now) - _time(began)).total_seconds() >= limit


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text)
