"""A cluster in which anything happens between two turns, and what must hold all the same.

`HostileWorld` carries out actions like `World` and asserts, at the moment of each, that it is safe. Whatever
else acts (pods, users, the gateway's controller, a crash of the operator) are small methods, for the property
tests to call in any order.
"""

from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import cache

from luntra_operator.api.quantities import seconds
from luntra_operator.api.revision import revision_hash
from luntra_operator.api.spec import ModelDeploymentSpec
from luntra_operator.api.status import ModelDeploymentStatus
from luntra_operator.rollout import actions
from luntra_operator.rollout.actions import Plan
from luntra_operator.rollout.observed import CheckRun, Pod, Workload
from luntra_operator.rollout.plan import plan
from luntra_operator.rollout.turn import Turn
from tests.operator.rollout.conftest import START, World, spec

CHECKS = {
    "evaluation": {
        "dataset": {"uri": "https://models.example/eval.npz", "digest": "sha256:" + "0" * 64},
        "metric": "accuracy",
        "min": 0.9,
    },
    "benchmark": {"requests": 10},
}
PLANS: dict[str, list[dict[str, object]]] = {
    "default": [{"weight": weight, "hold": "10s"} for weight in (10, 30, 60)],
    "none": [],
    "short": [{"weight": 5, "hold": "5s"}, {"weight": 80, "hold": "5s"}],
    "patient": [{"weight": 30, "hold": "10m"}],
}


@cache
def declared(
    version: str,
    plan_name: str = "default",
    checks: str = "",
    replicas: int = 2,
    split: bool = True,
    approval: str = "Never",
) -> ModelDeploymentSpec:
    """A spec; `checks` is any of e (evaluation) and b (benchmark); without `split` there is only a Service."""
    wanted = {name: CHECKS[name] for name in CHECKS if name[0] in checks}
    full = spec(version, steps=PLANS[plan_name] if split else [], checks=wanted, approval=approval)
    return full.model_copy(update={"replicas": replicas} | ({} if split else {"traffic": None}))


@dataclass
class HostileWorld(World):
    """A World that checks every write.

    `in_force` is what the gateway does, which lags behind the route while it does not follow; `faulty` holds the
    attempts during which anything spoke against the candidate; `banned` the workloads that may get no traffic any
    more (`unrecorded` those of which only the route tells so); `reached` and `since` the highest weight that was
    decided for a workload so far, and when; `parked_at` when the route was parked, or that was read.
    """

    slow: bool = False
    in_force: dict[str, int] = field(default_factory=dict)
    faulty: set[int] = field(default_factory=set)
    banned: set[str] = field(default_factory=set)
    reached: dict[str, int] = field(default_factory=dict)
    since: dict[str, datetime] = field(default_factory=dict)
    unrecorded: set[str] = field(default_factory=set)
    promoted: set[str] = field(default_factory=set)
    parked_at: datetime = START

    # The operator.

    def turn(self, survives: int | None = None) -> Plan:
        """One turn; an operator that crashes carries out only the first `survives` actions after writing its status."""
        planned = self._planned()
        self._remember(planned.status)
        for action in planned.actions[:survives]:
            self.carry_out(action)
        return planned

    def turn_without_status(self) -> None:
        """A turn in which the API server takes no status: only traffic that must leave at once is moved."""
        planned = self._planned()
        after = planned.status
        if planned.urgent:
            for action in planned.actions:
                if isinstance(action, actions.WriteRoute | actions.SelectWorkload):
                    if after.candidate and after.stable and after.candidate.workload in {*self.reached, *self.promoted}:
                        self.unrecorded.add(after.candidate.workload)
                    self.carry_out(action, planned.status)

    def _planned(self) -> Plan:
        self._note_faults()
        self._forgive()
        self.versions[revision_hash(self.spec)] = self.spec.model.version
        return plan(Turn(self.spec, self.status, self.observed(), revision_hash(self.spec), self.now))

    def _forgive(self) -> None:
        """A rollback that nobody could record is only known from the route, and holds only while the other version lives."""
        versions = (self.status.stable, self.status.candidate, self.status.previous)
        known = {version.workload for version in versions if version}
        alive = {name for name in known if name in self.workloads and self.workloads[name].endpoints}
        self.unrecorded = {name for name in self.unrecorded if self.route is not None and alive - {name}}

    def _note_faults(self) -> None:
        status = self.status
        under_test = [version.workload for version in (status.candidate, status.stable) if version]
        unready = any(
            not pod.ready for name in under_test if name in self.workloads for pod in self.workloads[name].pods
        )
        missing = any(name not in self.workloads for name in under_test)
        verdict = any(run.verdict in ("Fail", "Error", "NoData") for run in self.checks.values())
        aborted = self.intents.abort not in (None, status.handled.abort)
        if aborted or unready or missing or verdict or not self.following or not self.route_api:
            self.faulty.add(status.attempt)

    def _remember(self, after: ModelDeploymentStatus) -> None:
        before = self.status
        self.status = ModelDeploymentStatus.model_validate_json(after.model_dump_json(by_alias=True))
        if after.withdrawal and after.candidate:
            if after.withdrawal.rejected:
                assert after.attempt in self.faulty, f"refused without evidence: {after.withdrawal}"
            if after.stable or after.withdrawal.rejected:  # a first version serves until there is another one
                self.banned.add(after.candidate.workload)
        if after.stable:
            self.promoted.add(after.stable.workload)
        self._check_step(after)
        assert after.attempt >= before.attempt
        assert after.next_ordinal >= before.next_ordinal
        assert after.step is None or after.candidate is not None

    def carry_out(self, action: actions.Action, status: ModelDeploymentStatus | None = None) -> None:  # noqa: C901 - a flat match with one branch for each action
        """What a cluster does with one action, if it is safe."""
        match action:
            case actions.WriteRoute():
                self._check_weights(action, status or self.status)
                assert action.frame != "Replace" or self.route is None or self._followed(), (
                    "the old route goes too early"
                )
                self.route, self.parked = self.written(action), None
                self.weights.append(dict(action.weights))
                self._follow()
            case actions.DeleteWorkload():
                assert action.workload not in self.in_force, f"{action.workload} is deleted while the gateway knows it"
                assert self.parked is None or action.workload not in self.parked.named, "a parked route names it"
                assert self.status.stable is None or action.workload != self.status.stable.workload
                self.workloads.pop(action.workload, None)
            case actions.ScaleWorkload():
                self.scaled(action.workload, action.replicas)
            case actions.CreateWorkload():
                assert action.revision in self.revisions, f"{action.workload} cannot be rendered"
                self.revision_of[action.workload] = action.revision
                if action.workload not in self.workloads:
                    self.workloads[action.workload] = Workload(action.workload, 0)
                self.scaled(action.workload, action.replicas)
            case actions.SelectWorkload():
                if self.spec.gateway is None:
                    self._check_selection(action.workload, status or self.status)
                    self.in_force = {action.workload: 100}
                self.service = action.workload
            case actions.ParkRoute():
                super().carry_out(action)
                self.route_deleted()
                self.parked_at = self.now
            case actions.DeleteRoute():
                assert self.parked is not None
                waited = (self.now - self.parked_at).total_seconds()
                assert waited >= (5 if self.parked.read else 60), f"the parked route is deleted after {waited} s"
                super().carry_out(action)
            case actions.RunCheck():
                assert getattr(self.spec.checks, action.check) is not None, f"{action.check} is not declared"
                super().carry_out(action)
            case _:
                super().carry_out(action)

    def _followed(self) -> bool:
        """Whether the gateway does what the route says of hosts and parents, and the old ones are still in it until then."""
        return self.route is not None and self.route.widened and self.route.current

    def _check_weights(self, action: actions.WriteRoute, status: ModelDeploymentStatus) -> None:
        weights = action.weights
        assert sum(weights.values()) == 100
        assert all(0 <= weight <= 100 for weight in weights.values())
        stable = status.stable.workload if status.stable else None
        alive = {name for name, workload in self.workloads.items() if workload.endpoints}
        for name, weight in weights.items():
            # Only where there is nobody else to serve: a stable version, or the first one, that has just died.
            assert name in alive or (weight and stable in (None, name)), f"{name} is named without a ready endpoint"
            assert not weight or name not in self.banned | self.unrecorded, (
                f"{name} was taken back and gets {weight} again"
            )
        traffic = status.traffic
        assert traffic is None or weights.get(traffic.workload, 0) == traffic.desired

    def _check_selection(self, workload: str, status: ModelDeploymentStatus) -> None:
        found = self.workloads.get(workload)
        stable = status.stable.workload if status.stable else None
        assert (found and found.endpoints) or stable in (None, workload), f"{workload} is selected without a ready pod"
        assert workload not in self.banned | self.unrecorded, f"{workload} was taken back and is selected again"

    def _check_step(self, after: ModelDeploymentStatus) -> None:
        """The decision: from the weight before to the next declared one, after the hold."""
        if after.traffic is None or after.stable is None or after.candidate is None:
            return
        workload, weight = after.traffic.workload, after.traffic.desired
        before = self.reached.get(workload, 0)
        if weight <= before or workload in self.promoted:
            return
        allowed = min((step.weight for step in self.spec.steps if step.weight > before), default=100)
        assert weight <= allowed, f"{weight} % after {before} %, but the next step is {allowed} %"
        held = next((seconds(step.hold) for step in self.spec.steps if step.weight == before and step.hold), 0.0)
        if before:
            assert (self.now - self.since[workload]).total_seconds() >= held, f"{before} % was not held for {held} s"
        if before and weight == 100 and self.spec.approval == "BeforePromotion":
            assert after.handled.approve, f"{workload} gets all traffic without approval"
        self.reached[workload], self.since[workload] = weight, self.now

    # The pods.

    def scaled(self, name: str, replicas: int) -> None:
        """The Deployment has so many pods; new ones are ready unless the cluster is slow or the version broken."""
        found = self.workloads[name]
        pods = list(found.pods[:replicas])
        problem = self.broken.get(self.versions.get(self.revision_of[name], ""))
        while len(pods) < replicas:
            uid = f"uid-{name}-{len(pods)}-{self.now.timestamp()}"
            pods.append(Pod(f"{name}-{len(pods)}", uid, ready=problem is None and not self.slow, problem=problem))
        self.workloads[name] = _counted(replace(found, replicas=replicas), pods)

    def pods_get_ready(self) -> None:
        """All pods that are not broken come up."""
        for name, found in self.workloads.items():
            problem = self.broken.get(self.versions.get(self.revision_of[name], ""))
            pods = [replace(pod, ready=problem is None, problem=problem, ended=False) for pod in found.pods]
            self.workloads[name] = _counted(found, pods)

    def pods_die(self, name: str, count: int) -> None:
        """The first `count` pods of a workload crash and restart; they are not ready again yet."""
        found = self.workloads[name]
        dead = [replace(pod, ready=False, restarts=pod.restarts + 1) for pod in found.pods[:count]]
        self.workloads[name] = _counted(found, [*dead, *found.pods[count:]])
        self.faulty.add(self.status.attempt)

    def pod_replaced(self, name: str) -> None:
        """A drained node: the first pod is replaced by a new one that is ready at once."""
        found = self.workloads[name]
        if found.pods:
            fresh = replace(found.pods[0], uid=f"{found.pods[0].uid}+", restarts=0)
            self.workloads[name] = _counted(found, [fresh, *found.pods[1:]])

    # The gateway.

    def _follow(self) -> None:
        if self.following and self.parked is not None and not self.parked.read:
            self.parked, self.parked_at = replace(self.parked, read=True), self.now
        if self.following and self.route is not None:
            self.route = replace(self.route, current=True)
            self.in_force = dict(self.route.weights)

    def gateway(self, following: bool) -> None:
        """The gateway's controller stops or goes on reading routes."""
        self.following = following
        self._follow()

    def foreign_weights(self, weights: dict[str, int]) -> None:
        """Somebody edits the weights in the route."""
        if self.route is not None:
            self.route = replace(self.route, weights=weights, current=self.following)
            self._follow()

    def route_deleted(self) -> None:
        """Somebody deletes the route."""
        self.route = None
        if self.spec.gateway is not None:
            self.in_force = {}

    def _answers(self) -> dict[str, int] | None:
        if self.route is None or not self.answering:
            return None
        answers: dict[str, int] = {}
        for name, weight in self.in_force.items():
            if weight:
                known = name in self.workloads and self.workloads[name].endpoints > 0
                revision = self.revision_of[name] if known else ""
                answers[revision] = answers.get(revision, 0) + weight
        return answers or None

    # The checks.

    def check_verdict(self, check: str, verdict: CheckRun) -> None:
        """The check says so from now on, also where it runs already."""
        self.verdicts[check] = verdict
        for (name, workload), run in self.checks.items():
            if name == check and run.verdict is None:
                self.checks[name, workload] = replace(verdict, attempt=run.attempt, job=run.job)

    def heal(self) -> None:
        """Everything is well again; nothing that was decided is taken back."""
        self.slow, self.answering, self.route_api = False, True, True
        self.broken.clear()
        for check in CHECKS:
            self.check_verdict(check, CheckRun("Pass"))
        self.pods_get_ready()
        self.gateway(following=True)


def _counted(found: Workload, pods: list[Pod]) -> Workload:
    return replace(found, pods=tuple(pods), endpoints=sum(pod.ready for pod in pods), complete=True)
