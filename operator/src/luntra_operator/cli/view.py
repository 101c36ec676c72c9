"""A ModelDeployment as a person wants to see it: pure, from the object as a dict to plain values.

Everything in status is optional, because it may be empty, older or newer than this command. Nothing is decided here
that the operator decides; only what can be seen is put into relation (a hold to the time that has passed).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from luntra_operator.api.quantities import seconds

Document = dict[str, Any]


@dataclass(frozen=True)
class Version:
    """A version and the workload that serves it; `wanted` is the number of pods in the spec."""

    role: str
    version: str
    revision: str
    workload: str
    ready: int
    wanted: int


@dataclass(frozen=True)
class Traffic:
    """The candidate's share in percent: decided, written into the route, seen at the data plane (None: not yet)."""

    desired: int
    written: int | None
    observed: int | None

    @property
    def best_known(self) -> int:
        """What users most likely get: what was seen, else what was written, else what was decided."""
        return next(n for n in (self.observed, self.written, self.desired) if n is not None)


@dataclass(frozen=True)
class Step:
    """Step `number` of `weights` (from 1; the last is the implied 100), held for `held` of `hold` seconds."""

    number: int
    weights: tuple[int, ...]
    held: float | None
    hold: float | None


@dataclass(frozen=True)
class Check:
    """One check of the candidate; `verdict` is None while it runs.

    `figures` are those of candidate and stable by name, `tries` (number, reason, message) of those that could not be made,
    `log` its last lines.
    """

    name: str
    verdict: str | None
    reason: str
    message: str
    attempt: int
    figures: tuple[tuple[str, dict[str, float]], ...]
    tries: tuple[tuple[int, str, str], ...]
    log: tuple[str, ...]


@dataclass(frozen=True)
class Metric:
    """The last verdict of one metric of live traffic; `told_only`: it decides nothing."""

    name: str
    verdict: str
    message: str
    told_only: bool


@dataclass(frozen=True)
class Condition:
    """One condition of the object."""

    type: str
    status: str
    reason: str
    message: str


@dataclass(frozen=True)
class Past:
    """One finished rollout; `took` and `ago` in seconds, where known."""

    version: str
    outcome: str
    reason: str
    took: float | None
    ago: float | None


@dataclass(frozen=True)
class Refused:
    """What automatic rollback refused last; the version is empty where status no longer knows it."""

    version: str
    revision: str
    reason: str
    message: str


@dataclass(frozen=True)
class View:
    """All of one ModelDeployment."""

    name: str
    namespace: str
    phase: str
    in_phase: float | None
    paused: bool
    attempt: int
    target: str
    versions: tuple[Version, ...]
    traffic: Traffic | None
    step: Step | None
    checks: tuple[Check, ...]
    metrics: tuple[Metric, ...]
    refused: Refused | None
    conditions: tuple[Condition, ...]
    history: tuple[Past, ...]

    def version(self, role: str) -> Version | None:
        """Give the version in a role: stable, candidate or previous."""
        return next((one for one in self.versions if one.role == role), None)


def view(document: Document, now: datetime) -> View:
    """Read an object; `now` is in UTC with its zone."""
    metadata, spec, status = document["metadata"], document.get("spec") or {}, document.get("status") or {}
    rollout = spec.get("rollout") or {}
    return View(
        name=metadata["name"],
        namespace=metadata.get("namespace") or "",
        phase=status.get("phase") or "Unobserved",
        in_phase=_since(status.get("phaseStartedAt"), now),
        paused=bool(rollout.get("paused")),
        attempt=status.get("attempt") or 0,
        target=str((spec.get("model") or {}).get("version") or ""),
        versions=_versions(status, spec.get("replicas", 1)),
        traffic=_traffic(status),
        step=_step(status.get("step"), rollout.get("steps") or [], now),
        checks=tuple(_check(one) for one in status.get("checks") or []),
        metrics=tuple(_metric(one) for one in status.get("metrics") or []),
        refused=_refused(status),
        conditions=tuple(_condition(one) for one in status.get("conditions") or []),
        history=tuple(_past(one, now) for one in (status.get("history") or [])[:10]),
    )


def _versions(status: Document, wanted: int) -> tuple[Version, ...]:
    return tuple(
        Version(
            role=role,
            version=one.get("version") or "?",
            revision=one.get("revision") or "",
            workload=one.get("workload") or "",
            ready=one.get("readyReplicas") or 0,
            wanted=wanted,
        )
        for role in ("stable", "candidate", "previous")
        if (one := status.get(role))
    )


def _traffic(status: Document) -> Traffic | None:
    traffic = status.get("traffic")
    if not traffic or traffic.get("desired") is None:
        return None
    desired, written, observed = traffic["desired"], traffic.get("written"), traffic.get("observed")
    stable, candidate = (status.get(role) or {} for role in ("stable", "candidate"))
    of_stable = not candidate or traffic.get("workload", candidate.get("workload")) != candidate.get("workload")
    if of_stable and traffic.get("workload") is not None and traffic.get("workload") == stable.get("workload"):
        return Traffic(100 - desired, *(None if n is None else 100 - n for n in (written, observed)))
    return Traffic(desired, written, observed)


def _step(step: Document | None, steps: list[Document], now: datetime) -> Step | None:
    if not step or step.get("index") is None:
        return None
    index = int(step["index"])
    weights = (*(int(one.get("weight", 0)) for one in steps), 100)
    hold = steps[index].get("hold") if index < len(steps) else None
    return Step(
        number=min(index + 1, len(weights)),
        weights=weights,
        held=_since(step.get("startedAt"), now),
        hold=seconds(hold) if hold else None,
    )


def _check(check: Document) -> Check:
    return Check(
        check.get("name") or "?",
        check.get("verdict"),
        check.get("reason") or "",
        check.get("message") or "",
        check.get("attempt") or 1,
        tuple((who, figures) for who in ("candidate", "stable") if (figures := check.get(who))),
        tuple(
            (one.get("attempt") or 0, one.get("reason") or "", one.get("message") or "")
            for one in check.get("failedAttempts") or []
        ),
        tuple(check.get("log") or ()),
    )


def _metric(metric: Document) -> Metric:
    verdict, message = metric.get("verdict") or "?", metric.get("message") or ""
    return Metric(metric.get("name") or "?", verdict, message, bool(metric.get("dryRun")))


def _refused(status: Document) -> Refused | None:
    revision = status.get("rejectedRevision")
    if not revision:
        return None
    known = (status.get("candidate") or {}, *(status.get("history") or []))
    version = next((one.get("version") or "" for one in known if one.get("revision") == revision), "")
    return Refused(version, revision, status.get("rejectedReason") or "", status.get("rejectedMessage") or "")


def _condition(condition: Document) -> Condition:
    return Condition(
        condition.get("type") or "?",
        condition.get("status") or "Unknown",
        condition.get("reason") or "",
        condition.get("message") or "",
    )


def _past(entry: Document, now: datetime) -> Past:
    begin, end = _time(entry.get("startedAt")), _time(entry.get("finishedAt"))
    took = (end - begin).total_seconds() if begin and end else None
    return Past(
        entry.get("version") or "?",
        entry.get("outcome") or "?",
        entry.get("reason") or "",
        took,
        _since(entry.get("finishedAt"), now),
    )


def _time(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None


def _since(text: str | None, now: datetime) -> float | None:
    begin = _time(text)
    return None if begin is None else max((now - begin).total_seconds(), 0.0)
