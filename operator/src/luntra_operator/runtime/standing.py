"""What the metrics tell of single ModelDeployments: how each one stands, as the watch last showed it.

One series per object, and a dozen more while a rollout is under way or something asks for a person. So the number of series
grows with the objects and never with their history.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from prometheus_client.core import GaugeMetricFamily

from luntra_operator.api.vocabulary import Condition, Phase
from luntra_operator.controller.queue import Key

RESTING = frozenset({Phase.STABLE, Phase.ROLLED_BACK})
"""Phases in which no rollout is under way."""

_WORRYING = {Condition.STALLED: "True", Condition.AVAILABLE: "False", Condition.OVER_BUDGET: "True"}
_OBJECT = ["namespace", "name"]


@dataclass(frozen=True, slots=True)
class Standing:
    """How one object stands; what speaks of a rollout is empty where none is under way."""

    model: str
    phase: str
    version: str
    """The stable version; empty where there is none yet, as is the candidate where there is none."""
    candidate: str
    worries: tuple[tuple[str, str, bool], ...]
    """Conditions that ask for a person: type, reason, and whether it is true."""
    since: float | None = None
    """When the phase began, in seconds since 1970."""
    workload: str = ""
    shares: tuple[tuple[str, int], ...] = ()
    """What was decided, written and observed of the workload's traffic, in percent."""
    pods: tuple[tuple[str, str, int], ...] = ()
    """Role, version and ready pods."""
    verdicts: tuple[tuple[str, str], ...] = ()
    """The last verdict of each metric."""
    values: tuple[tuple[str, str, float], ...] = ()
    """Metric, role of the version that it is of, and the figure."""


def standing(body: Mapping[str, Any]) -> Standing:
    """Read it from an object as the API server has it; the CRD answers for the types."""
    status = body.get("status") or {}
    versions = {role: status[role] for role in ("stable", "candidate", "previous") if status.get(role)}
    phase = status.get("phase", str(Phase.PENDING))
    known = Standing(
        model=((body.get("spec") or {}).get("model") or {}).get("name") or body["metadata"]["name"],
        phase=phase,
        version=versions.get("stable", {}).get("version", ""),
        candidate=versions.get("candidate", {}).get("version", ""),
        worries=tuple(
            (one["type"], one["reason"], one["status"] == "True")
            for one in status.get("conditions", ())
            if _WORRYING.get(one["type"]) == one["status"]
        ),
    )
    return known if phase in RESTING else _rolling(known, status, versions)


def _rolling(known: Standing, status: Mapping[str, Any], versions: Mapping[str, Mapping[str, Any]]) -> Standing:
    began, traffic = status.get("phaseStartedAt"), status.get("traffic") or {}
    return replace(
        known,
        since=datetime.fromisoformat(began).timestamp() if began else None,
        workload=traffic.get("workload", ""),
        shares=tuple((number, traffic[number]) for number in ("desired", "written", "observed") if number in traffic),
        pods=tuple((role, one["version"], one.get("readyReplicas", 0)) for role, one in versions.items()),
        verdicts=tuple((one["name"], one["verdict"]) for one in status.get("metrics", ())),
        values=tuple(_values(status, "candidate" in versions)),
    )


def _values(status: Mapping[str, Any], shared: bool) -> Iterator[tuple[str, str, float]]:
    """Figures of the version that is judged, and of the one beside it; in the soak these are the stable and the previous one."""
    roles = ("candidate", "stable") if shared else ("stable", "previous")
    for one in status.get("metrics", ()):
        for role, field in zip(roles, ("value", "stableValue"), strict=True):
            if field in one:
                yield one["name"], role, one[field]


def families(standings: Mapping[Key, Standing]) -> Iterator[GaugeMetricFamily]:
    """All metrics of single objects."""
    info = GaugeMetricFamily(
        "luntra_object_info",
        "1 for each ModelDeployment; version is the stable one.",
        labels=[*_OBJECT, "model", "phase", "version", "candidate"],
    )
    conditions = GaugeMetricFamily(
        "luntra_object_condition",
        "Conditions that ask for a person: Stalled and OverBudget while they are true (1), Available while it is false (0).",
        labels=[*_OBJECT, "condition", "reason"],
    )
    began = GaugeMetricFamily(
        "luntra_rollout_phase_start_timestamp_seconds",
        "When the phase of an object began that is not at rest.",
        labels=[*_OBJECT, "phase"],
    )
    weights = GaugeMetricFamily(
        "luntra_rollout_weight_percent",
        "Share of the traffic of one workload while a rollout is under way: number is desired, written or observed.",
        labels=[*_OBJECT, "workload", "number"],
    )
    pods = GaugeMetricFamily(
        "luntra_rollout_ready_pods",
        "Ready pods of each version while a rollout is under way: role is stable, candidate or previous.",
        labels=[*_OBJECT, "role", "version"],
    )
    verdicts = GaugeMetricFamily(
        "luntra_metric_verdict",
        "1 for the last verdict of each metric while a rollout is under way: Pass, Fail, NoData, Error.",
        labels=[*_OBJECT, "metric", "verdict"],
    )
    values = GaugeMetricFamily(
        "luntra_metric_value",
        "The figure behind a verdict, of the version that is judged and of the one beside it; role as above.",
        labels=[*_OBJECT, "metric", "role"],
    )
    for key, one in standings.items():
        info.add_metric([*key, one.model, one.phase, one.version, one.candidate], 1)
        for condition, reason, true in one.worries:
            conditions.add_metric([*key, condition, reason], true)
        if one.since is not None:
            began.add_metric([*key, one.phase], one.since)
        for number, percent in one.shares:
            weights.add_metric([*key, one.workload, number], percent)
        for role, version, ready in one.pods:
            pods.add_metric([*key, role, version], ready)
        for metric, verdict in one.verdicts:
            verdicts.add_metric([*key, metric, verdict], 1)
        for metric, role, value in one.values:
            values.add_metric([*key, metric, role], value)
    yield from (info, conditions, began, weights, pods, verdicts, values)
