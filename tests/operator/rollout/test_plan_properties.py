"""Whatever happens in whatever order, the engine's promises hold, and it comes to an end once the world is well again."""

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from luntra_operator.api.revision import revision_hash
from luntra_operator.api.vocabulary import Reason
from luntra_operator.rollout.observed import CheckRun, Intents, Problem
from tests.operator.rollout.hostile import CHECKS, PLANS, HostileWorld, declared

VERSIONS = ("v1", "v2", "v3", "v4")
PROBLEMS = (
    Problem(Reason.IMAGE_PULL_FAILED, "image x: not found"),
    Problem(Reason.LOAD_FAILED, "DigestMismatch", permanent=True),
)
HAPPENINGS = ("dies", "v3", "v1", "edited")
VERDICTS = (CheckRun(None), CheckRun("Pass"), CheckRun("Fail", "TooBad", "bad"), CheckRun("Error", "NoReport", "gone"))


class AnyCluster(RuleBasedStateMachine):
    """Turns of the engine interleaved with everything that may happen around it."""

    def __init__(self) -> None:
        super().__init__()
        self.world = HostileWorld(spec=declared("v1"))
        self.arguments: dict[str, Any] = {"version": "v1"}

    @initialize(
        start=st.sampled_from(["nothing", "Stable", "Shifting", "AwaitingApproval", "Soaking"]),
        checks=st.sampled_from(["", "eb"]),
        split=st.sampled_from([True, True, False]),
    )
    def begin(self, start: str, checks: str, split: bool) -> None:
        self._declare(checks=checks, split=split)
        if start == "nothing":
            return
        self.world.until("Stable")
        if start != "Stable":
            self._declare(version="v2", approval="BeforePromotion" if start == "AwaitingApproval" else "Never")
            self.world.until(start)

    def _declare(self, **changes: Any) -> None:
        before = self.world.spec
        self.arguments |= changes
        self.world.spec = declared(**self.arguments)
        if revision_hash(before) != revision_hash(self.world.spec):
            self.world.intents = Intents()

    @rule(version=st.sampled_from(VERSIONS))
    def new_version(self, version: str) -> None:
        self._declare(version=version)

    @rule(plan_name=st.sampled_from(sorted(PLANS)))
    def plan_edited(self, plan_name: str) -> None:
        self._declare(plan_name=plan_name)

    @rule(checks=st.sampled_from(["", "e", "b", "eb"]))
    def checks_edited(self, checks: str) -> None:
        self._declare(checks=checks)

    @rule(replicas=st.integers(0, 3))
    def replicas_changed(self, replicas: int) -> None:
        self._declare(replicas=replicas)

    @precondition(lambda self: self.world.status.rejected_revision)
    @rule(token=st.integers(0, 3))
    def retry_asked(self, token: int) -> None:
        self.world.intents = Intents(retry=f"{self.world.spec.model.version}/{token}")

    @rule(frame=st.sampled_from(["frame", "other"]))
    def hosts_edited(self, frame: str) -> None:
        self.world.frame = frame

    @rule(approval=st.sampled_from(["Never", "BeforeTraffic", "BeforePromotion"]))
    def approval_edited(self, approval: str) -> None:
        self._declare(approval=approval)

    @precondition(lambda self: self.world.status.candidate)
    @rule(token=st.integers(0, 3))
    def approved(self, token: int) -> None:
        self.world.intents = Intents(approve=f"{self.world.spec.model.version}/{token}")

    @precondition(lambda self: self.world.status.candidate or self.world.status.previous)
    @rule(version=st.sampled_from(VERSIONS))
    def aborted(self, version: str) -> None:
        self.world.intents = Intents(abort=version)

    @precondition(lambda self: self.world.workloads)
    @rule(data=st.data(), count=st.integers(1, 3))
    def pods_die(self, data: st.DataObject, count: int) -> None:
        self.world.pods_die(data.draw(st.sampled_from(sorted(self.world.workloads))), count)

    @precondition(lambda self: self.world.workloads)
    @rule(data=st.data())
    def pod_replaced(self, data: st.DataObject) -> None:
        self.world.pod_replaced(data.draw(st.sampled_from(sorted(self.world.workloads))))

    @rule()
    def pods_get_ready(self) -> None:
        self.world.pods_get_ready()

    @rule(slow=st.booleans())
    def cluster_is_slow(self, slow: bool) -> None:
        self.world.slow = slow

    @rule(version=st.sampled_from(VERSIONS), problem=st.sampled_from(PROBLEMS))
    def version_is_broken(self, version: str, problem: Problem) -> None:
        self.world.broken[version] = problem

    @rule(check=st.sampled_from(sorted(CHECKS)), verdict=st.sampled_from(VERDICTS))
    def check_says(self, check: str, verdict: CheckRun) -> None:
        self.world.check_verdict(check, verdict)

    @rule(following=st.booleans())
    def gateway_follows(self, following: bool) -> None:
        self.world.gateway(following)

    @rule(answering=st.booleans())
    def gateway_can_be_asked(self, answering: bool) -> None:
        self.world.answering = answering

    @precondition(lambda self: self.world.route and self.world.workloads)
    @rule(data=st.data())
    def foreign_weights(self, data: st.DataObject) -> None:
        names = st.sampled_from(sorted(self.world.workloads))
        self.world.foreign_weights(data.draw(st.dictionaries(names, st.integers(0, 100), max_size=2)))

    @rule()
    def route_deleted(self) -> None:
        self.world.route_deleted()

    @rule(survives=st.integers(0, 3))
    def operator_crashes_after_its_status(self, survives: int) -> None:
        self.world.turn(survives)

    @rule()
    def status_cannot_be_written(self) -> None:
        self.world.turn_without_status()

    @rule(turns=st.integers(1, 4))
    def turns(self, turns: int) -> None:
        for _ in range(turns):
            self.world.turn()

    @rule(seconds=st.sampled_from([1, 5, 20, 70]))
    def time_passes(self, seconds: int) -> None:
        self.world.run(seconds, turns=1000)

    def teardown(self) -> None:
        """The world is well again: the engine comes to rest, with all traffic where its status says."""
        world = self.world
        world.heal()
        self._declare(replicas=max(1, self.world.spec.replicas), plan_name="default", approval="Never")
        for _ in range(60):
            world.run(20, turns=1000)
            world.pods_get_ready()
            if world.status.phase in ("Stable", "RolledBack") and world.status.traffic:
                break
        assert world.status.phase in ("Stable", "RolledBack"), world.status.conditions
        world.run(60, turns=1000)
        if world.status.stable is None:
            assert world.status.rejected_revision == revision_hash(world.spec)
            return
        stable = world.status.stable.workload
        assert (world.route is not None) == (world.spec.gateway is not None)
        assert world.parked is None
        assert world.route is None or dict(world.route.weights) == {stable: 100}
        assert world.service == stable
        assert world.route is None or (world.route.frame, world.route.widened) == (world.frame, False)
        assert sorted(world.workloads) == [stable]
        rejected = world.status.phase == "RolledBack"
        wanted = world.status.rejected_revision if rejected else world.status.stable.revision
        assert wanted == revision_hash(world.spec)


TestAnyCluster = AnyCluster.TestCase
TestAnyCluster.settings = settings(
    max_examples=150,
    derandomize=True,
    stateful_step_count=40,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    phases=(Phase.explicit, Phase.reuse, Phase.generate, Phase.shrink),
)
pytestmark = pytest.mark.timeout(120)


@given(
    checks=st.sampled_from(["", "eb"]),
    verdict=st.sampled_from([CheckRun("Pass"), CheckRun("Fail", "TooBad", "bad")]),
    happens=st.lists(st.tuples(st.integers(0, 80), st.sampled_from(HAPPENINGS)), max_size=4),
    crashes=st.lists(st.one_of(st.none(), st.integers(0, 3)), max_size=60),
)
@settings(deadline=None, max_examples=60, derandomize=True)
def test_crashes_at_any_point_change_no_written_weight(
    checks: str, verdict: CheckRun, happens: list[tuple[int, str]], crashes: list[int | None]
) -> None:
    calm = _history(checks, verdict, happens, [])
    assert _history(checks, verdict, happens, crashes) == calm


def _history(checks: str, verdict: CheckRun, happens: list[tuple[int, str]], crashes: list[int | None]) -> list[Any]:
    """Weights with the second in which they were written, and how it ended; crashed turns are repeated at once."""
    world = HostileWorld(spec=declared("v1"))
    world.until("Stable")
    world.weights.clear()
    world.check_verdict("evaluation", verdict)
    world.spec = declared("v2", checks=checks)
    pending, written = list(crashes), list[Any]()
    for second in range(90):
        for _, what in (one for one in happens if one[0] == second):
            _happen(world, what)
        while pending and (survives := pending.pop()) is not None:
            world.turn(survives)
        world.run()
        written += [(second, weights) for weights in _distinct(world.weights)]
        world.weights.clear()
        world.now += timedelta(seconds=1)
    return [*written, world.status.phase, world.status.attempt, sorted(world.workloads)]


def _distinct(weights: list[dict[str, int]]) -> list[dict[str, int]]:
    return [one for index, one in enumerate(weights) if index == 0 or one != weights[index - 1]]


def _happen(world: HostileWorld, what: str) -> None:
    candidate = world.status.candidate
    if what == "dies" and candidate and candidate.workload in world.workloads:
        world.pods_die(candidate.workload, 1)
    elif what == "v3":
        world.spec = declared("v3")
    elif what == "v1":
        world.spec = declared("v1")
    elif what == "edited" and world.route:
        world.foreign_weights(dict.fromkeys(world.route.weights, 50))
