"""Whatever happens in whatever order, the engine's promises hold, and it comes to an end once the world is well again."""

from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from luntra_operator.api.revision import revision_hash
from luntra_operator.api.vocabulary import Reason
from luntra_operator.rollout.observed import CheckRun, Problem
from tests.operator.rollout.hostile import CHECKS, PLANS, HostileWorld, declared

VERSIONS = ("v1", "v2", "v3", "v4")
PROBLEMS = (
    Problem(Reason.IMAGE_PULL_FAILED, "image x: not found"),
    Problem(Reason.LOAD_FAILED, "DigestMismatch", permanent=True),
)
VERDICTS = (CheckRun(None), CheckRun("Pass"), CheckRun("Fail", "TooBad", "bad"), CheckRun("Error", "NoReport", "gone"))


class AnyCluster(RuleBasedStateMachine):
    """Turns of the engine interleaved with everything that may happen around it."""

    def __init__(self) -> None:
        super().__init__()
        self.world = HostileWorld(spec=declared("v1"))
        self.arguments: dict[str, Any] = {"version": "v1"}

    @initialize(serving=st.booleans())
    def begin(self, serving: bool) -> None:
        if serving:
            self.world.until("Stable")
        self.world.weights.clear()

    def _declare(self, **changes: Any) -> None:
        before = self.world.spec
        self.arguments |= changes
        self.world.spec = declared(**self.arguments)
        if revision_hash(before) != revision_hash(self.world.spec):
            self.world.retry = None

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
        self.world.retry = f"{self.world.spec.model.version}/{token}"

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
        self._declare(replicas=max(1, self.world.spec.replicas), plan_name="default")
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
        assert world.route is not None
        assert dict(world.route.weights) == {stable: 100}
        assert world.service == stable
        assert sorted(world.workloads) == [stable]
        rejected = world.status.phase == "RolledBack"
        wanted = world.status.rejected_revision if rejected else world.status.stable.revision
        assert wanted == revision_hash(world.spec)


TestAnyCluster = AnyCluster.TestCase
TestAnyCluster.settings = settings(
    max_examples=100, stateful_step_count=40, deadline=None, suppress_health_check=list(HealthCheck)
)
pytestmark = pytest.mark.timeout(120)
