"""A model of a cluster for the engine's tests: it carries out actions the way a real one would, on a clock of its own."""

import hashlib
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from luntra_operator.api.revision import revision_hash
from luntra_operator.api.spec import ModelDeploymentSpec
from luntra_operator.api.status import ModelDeploymentStatus, VersionStatus
from luntra_operator.api.validation import parse_spec
from luntra_operator.api.vocabulary import Reason
from luntra_operator.rollout import actions
from luntra_operator.rollout.actions import Plan
from luntra_operator.rollout.observed import (
    CheckRun,
    Grants,
    Intents,
    Judgement,
    Observed,
    Parked,
    Pod,
    Problem,
    Route,
    Workload,
)
from luntra_operator.rollout.plan import plan
from luntra_operator.rollout.turn import Turn
from luntra_operator.workloads.naming import ordinal

START = datetime(2026, 1, 1, tzinfo=UTC)
NO_KIND = Problem(Reason.GATEWAY_API_MISSING, "the cluster has no HTTPRoute kind", permanent=True)


def spec(version: str = "v1", **rollout: Any) -> ModelDeploymentSpec:
    """A spec with a gateway and three steps of 10 s; `rollout` overrides parts of spec.rollout."""
    steps = [{"weight": weight, "hold": "10s"} for weight in (10, 30, 60)]
    return parse_spec(
        {
            "model": {
                "version": version,
                "uri": f"https://models.example/{version}",
                "digest": "sha256:" + hashlib.sha256(version.encode()).hexdigest(),
            },
            "serving": {"runtime": {"deadline": "1s"}},
            "replicas": 2,
            "traffic": {"gateway": {"parentRefs": [{"name": "gateway"}], "hostnames": ["digits.example"]}},
            "rollout": {"steps": steps, "soak": "60s", "deadlines": {"ready": "120s", "step": "60s"}, **rollout},
        }
    )


@dataclass
class World:
    """Cluster, clock and status. `healthy` decides which versions get ready; `verdicts` what checks say."""

    spec: ModelDeploymentSpec = field(default_factory=spec)
    status: ModelDeploymentStatus = field(default_factory=ModelDeploymentStatus)
    now: datetime = START
    workloads: dict[str, Workload] = field(default_factory=dict)
    revision_of: dict[str, str] = field(default_factory=dict)
    revisions: set[str] = field(default_factory=set)
    route: Route | None = None
    parked: Parked | None = None
    route_api: bool = True
    conflict: Problem | None = None
    postponed: Problem | None = None
    unkept: Problem | None = None
    frame: str = "frame"
    service: str | None = None
    checks: dict[tuple[str, str], CheckRun] = field(default_factory=dict)
    intents: Intents = field(default_factory=Intents)
    judgements: tuple[Judgement, ...] = ()
    grants: Grants = field(default_factory=Grants)
    broken: dict[str, Problem] = field(default_factory=dict)
    verdicts: dict[str, CheckRun] = field(default_factory=dict)
    answering: bool = True
    following: bool = True
    weights: list[dict[str, int]] = field(default_factory=list)
    events: list[tuple[str, str]] = field(default_factory=list)
    versions: dict[str, str] = field(default_factory=dict)

    def observed(self) -> Observed:
        """What the controller would see now."""
        known = {name: self._version(name) for name in self.workloads if name in self.revision_of}
        return Observed(
            name="digits",
            generation=1,
            workloads=self.workloads,
            versions=known,
            revisions=frozenset(self.revisions),
            route=self.route,
            parked=self.parked,
            missing=None if self.route_api else NO_KIND,
            conflict=self.conflict,
            postponed=self.postponed,
            unkept=self.unkept,
            frame=self.frame,
            service=self.service,
            checks=self.checks,
            answers=self._answers(),
            intents=self.intents,
            judgements=self.judgements if self.status.step or self.status.phase == "Soaking" else (),
            grants=self.grants,
            highest_ordinal=max(map(ordinal, self.workloads), default=0),
        )

    def _version(self, workload: str) -> VersionStatus:
        revision = self.revision_of[workload]
        return VersionStatus(
            revision=revision, version=self.versions[revision], digest="sha256:" + "0" * 64, workload=workload
        )

    def _answers(self) -> dict[str, int] | None:
        if self.route is None or not self.answering:
            return None
        return {self.revision_of[name]: weight for name, weight in self.route.weights.items() if weight}

    def plan(self) -> Plan:
        """What the engine would do now."""
        return plan(Turn(self.spec, self.status, self.observed(), revision_hash(self.spec), self.now))

    def turn(self) -> Plan:
        """One turn: plan, write the status, carry out the actions."""
        planned = self.plan()
        self.versions[revision_hash(self.spec)] = self.spec.model.version
        self.status = ModelDeploymentStatus.model_validate_json(planned.status.model_dump_json(by_alias=True))
        self.events += [(str(event.reason), event.message) for event in planned.events]
        for action in planned.actions:
            self.carry_out(action)
        return planned

    def carry_out(self, action: actions.Action) -> None:  # noqa: C901 - one branch per action
        """What a cluster does with one action."""
        match action:
            case actions.KeepRevision():
                self.revisions.add(action.revision)
            case actions.ForgetRevision():
                self.revisions.remove(action.revision)
            case actions.CreateWorkload():
                self.revision_of[action.workload] = action.revision
                self.workloads[action.workload] = self._started(action.workload, action.replicas)
            case actions.ScaleWorkload():
                self.workloads[action.workload] = self._started(action.workload, action.replicas)
            case actions.ProtectWorkload():
                found = self.workloads[action.workload]
                self.workloads[action.workload] = replace(found, protected=action.protected)
            case actions.DeleteWorkload():
                del self.workloads[action.workload]
            case actions.SelectWorkload():
                self.service = action.workload
            case actions.WriteRoute():
                before = self.route.weights if self.route else {}
                for name, weight in action.weights.items():
                    raised = name not in before or weight > before[name]
                    assert self.workloads[name].endpoints > 0 or not raised, f"{name} gets traffic without a ready pod"
                assert sum(action.weights.values()) == 100
                self.route, self.parked = self.written(action), None
                self.weights.append(dict(action.weights))
            case actions.ParkRoute():
                named = frozenset(self.route.weights if self.route else ())
                self.route, self.parked = None, Parked(frozenset({"HTTPRoute"}), named, read=self.following)
            case actions.DeleteRoute():
                assert self.parked is not None
                self.parked = None
            case actions.RunCheck():
                run = self.verdicts.get(action.check, CheckRun("Pass"))
                job = f"{action.workload}-{action.check}-{action.attempt}"
                self.checks[action.check, action.workload] = replace(run, attempt=action.attempt, job=job)

    def comes_up(self, workload: str, restarts: int = 0) -> None:
        """What was broken is mended, and the pods of a workload are ready, each after so many restarts."""
        self.broken.clear()
        ready = self._started(workload, self.spec.replicas)
        pods = tuple(replace(pod, restarts=restarts) for pod in ready.pods)
        self.workloads[workload] = replace(ready, pods=pods)

    def written(self, action: actions.WriteRoute) -> Route:
        """The route after a write of ours."""
        kept = self.route if action.frame == "Keep" else None
        return Route(
            weights=dict(action.weights),
            intent=action.intent,
            frame=kept.frame if kept else self.frame,
            current=self.following,
            widened=kept.widened if kept else action.frame == "Widen",
            preview=action.preview,
        )

    def _started(self, name: str, replicas: int) -> Workload:
        problem = self.broken.get(self.versions.get(self.revision_of[name], ""))
        pods = tuple(
            Pod(f"{name}-{i}", f"uid-{name}-{i}", ready=problem is None, problem=problem) for i in range(replicas)
        )
        return Workload(name, replicas, pods, endpoints=0 if problem else replicas)

    def run(self, seconds: float = 0.0, turns: int = 200) -> None:
        """Turn after turn, letting time pass as far as `seconds`, until nothing is left to do in that time."""
        end = self.now + timedelta(seconds=seconds)
        for _ in range(turns):
            before = self.status
            planned = self.turn()
            if planned.requeue_after == 0 or planned.actions or self.status.conditions != before.conditions:
                continue
            wake = planned.requeue_after
            if wake is None or self.now + timedelta(seconds=wake) > end:
                self.now = max(self.now, end)
                return
            self.now += timedelta(seconds=wake)
        raise AssertionError(f"the engine does not come to rest: {self.status.phase}, {self.events[-5:]}")

    def until(self, phase: str, limit: float = 600) -> None:
        """Let time pass second by second until the phase is reached."""
        for _ in range(int(limit)):
            self.run()
            if self.status.phase == phase:
                return
            self.now += timedelta(seconds=1)
        raise AssertionError(f"{phase} was not reached in {limit} s; it is {self.status.phase}")

    def until_weight(self, weight: int) -> None:
        """Let time pass until the candidate's weight was decided and settled."""
        for _ in range(600):
            self.run()
            if self.status.step and self.status.step.weight == weight and self.status.step.started_at:
                return
            self.now += timedelta(seconds=1)
        raise AssertionError(f"weight {weight} was not reached; {self.status.phase} {self.status.step}")

    def kill(self, workload: str, endpoints: int = 0) -> None:
        """All pods of a workload crash; `endpoints` are still ready."""
        found = self.workloads[workload]
        pods = tuple(replace(pod, ready=False, restarts=pod.restarts + 1) for pod in found.pods)
        self.workloads[workload] = replace(found, pods=pods, endpoints=endpoints)

    @property
    def condition(self) -> dict[str, tuple[str, str]]:
        """Status and reason by condition type."""
        return {one.type: (one.status, one.reason) for one in self.status.conditions}


@pytest.fixture
def world() -> World:
    """A cluster in which v1 is stable."""
    fresh = World()
    fresh.until("Stable")
    fresh.weights.clear()
    fresh.events.clear()
    return fresh
