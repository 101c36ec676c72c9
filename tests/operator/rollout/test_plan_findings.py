"""Sequences that once led the engine astray, found by the property tests or by reading; each named for what must hold."""

from dataclasses import replace
from datetime import timedelta

import pytest

from luntra_operator.api.traffic import GrpcTraffic
from luntra_operator.api.vocabulary import Reason
from luntra_operator.rollout import actions
from luntra_operator.rollout.evidence import obstacle
from luntra_operator.rollout.observed import CheckRun, Pod, Problem, Workload
from tests.operator.rollout.hostile import HostileWorld, declared

V1, V2, V3 = "digits-w1", "digits-w2", "digits-w3"


@pytest.fixture
def hostile() -> HostileWorld:
    """A hostile world in which v1 is stable."""
    fresh = HostileWorld(spec=declared("v1"))
    fresh.until("Stable")
    return fresh


def test_foreign_weight_late_in_a_long_hold_is_repaired_and_refuses_nobody(hostile: HostileWorld) -> None:
    hostile.spec = declared("v2", "patient")
    hostile.until_weight(30)
    hostile.run(seconds=300)  # far beyond deadlines.step, which is 60 s
    hostile.foreign_weights({V1: 100})
    hostile.turn()
    assert hostile.weights[-1] == {V1: 70, V2: 30}
    hostile.run(seconds=5)
    assert hostile.status.phase == "Shifting"
    assert hostile.status.traffic
    assert hostile.status.traffic.observed == 30


def test_gateway_that_does_not_follow_a_repair_ends_the_rollout_at_the_step_deadline(hostile: HostileWorld) -> None:
    hostile.spec = declared("v2", "patient")
    hostile.until_weight(30)
    hostile.run(seconds=300)
    hostile.gateway(following=False)
    hostile.foreign_weights({V1: 100})
    hostile.run(seconds=55, turns=1000)
    assert hostile.status.phase == "Shifting"
    hostile.run(seconds=10, turns=1000)
    assert hostile.status.phase == "RollingBack"


def test_old_restarts_of_warm_pods_do_not_prevent_the_return_to_them(hostile: HostileWorld) -> None:
    hostile.pods_die(V1, 2)
    hostile.pods_get_ready()
    hostile.spec = declared("v2")
    hostile.until("Soaking")
    hostile.spec = declared("v1")
    hostile.until("Stable")
    assert hostile.status.stable
    assert (hostile.status.stable.workload, hostile.status.rejected_revision) == (V1, None)


def test_check_that_is_no_longer_declared_is_not_started(hostile: HostileWorld) -> None:
    hostile.verdicts["evaluation"] = CheckRun(None)
    hostile.spec = declared("v2", checks="eb")
    hostile.until("Checking")
    del hostile.checks["evaluation", V2]  # somebody deleted its Job
    hostile.spec = declared("v2", checks="b")
    planned = hostile.turn()
    assert [action for action in planned.actions if isinstance(action, actions.RunCheck)] == [
        actions.RunCheck("benchmark", V2, V1)
    ]


def test_scaling_to_nothing_in_the_soak_keeps_the_new_version(hostile: HostileWorld) -> None:
    hostile.spec = declared("v2")
    hostile.until("Soaking")
    hostile.spec = declared("v2", replicas=0)
    hostile.scaled(V2, 0)  # and the old version still has its pods
    hostile.run(seconds=300)
    hostile.spec = declared("v2", replicas=2)
    hostile.run(seconds=300)
    assert hostile.status.phase == "Stable"
    assert hostile.status.stable
    assert hostile.status.stable.version == "v2"


@pytest.mark.parametrize("phase", ["Shifting", "Soaking"])
def test_r20_rollback_that_could_not_be_recorded_is_not_undone_when_its_evidence_is_gone(
    hostile: HostileWorld, phase: str
) -> None:
    """Breaks if the route's intent is not read back."""
    hostile.spec = declared("v2")
    if phase == "Shifting":
        hostile.until_weight(10)
    hostile.until(phase)
    alive = hostile.workloads[V2]
    hostile.workloads[V2] = replace(alive, pods=tuple(replace(pod, ready=False) for pod in alive.pods), endpoints=0)
    hostile.faulty.add(hostile.status.attempt)
    hostile.turn_without_status()
    assert hostile.route
    assert hostile.route.weights[V1] == 100
    written = len(hostile.weights)
    hostile.workloads[V2] = alive
    hostile.turn()
    assert hostile.status.phase == "RollingBack"
    hostile.until("RolledBack")
    assert not any(weights.get(V2) for weights in hostile.weights[written:])


def test_intent_of_weight_0_is_only_written_for_a_version_that_is_taken_back(hostile: HostileWorld) -> None:
    hostile.verdicts["evaluation"] = CheckRun(None)
    hostile.spec = declared("v2", checks="e")
    hostile.until("Checking")
    hostile.route_deleted()
    hostile.turn()
    assert hostile.route
    assert hostile.route.intent
    assert hostile.route.intent.endswith("/100")
    hostile.check_verdict("evaluation", CheckRun("Pass"))
    hostile.until("Soaking")


def test_fix_is_not_blocked_by_a_stable_version_that_is_down(hostile: HostileWorld) -> None:
    hostile.spec = declared("v2")
    hostile.until_weight(30)
    hostile.broken["v1"] = Problem(Reason.CRASH_LOOP, "gone")
    hostile.pods_get_ready()
    hostile.spec = declared("v3")
    hostile.until("Soaking", limit=900)
    assert hostile.status.stable
    assert hostile.status.stable.version == "v3"


def test_fix_gets_a_route_even_if_the_stable_version_is_down_and_the_route_gone(hostile: HostileWorld) -> None:
    hostile.broken["v1"] = Problem(Reason.CRASH_LOOP, "gone")
    hostile.pods_get_ready()
    hostile.route_deleted()
    hostile.spec = declared("v2")
    hostile.until_weight(10)
    assert hostile.weights[-1] == {V1: 90, V2: 10}


def test_pod_that_was_evicted_long_ago_is_no_obstacle() -> None:
    evicted = Pod("old", "1", ready=False, ended=True, problem=Problem(Reason.CRASH_LOOP, "Evicted"))
    ready = (Pod("a", "2", ready=True), Pod("b", "3", ready=True))
    assert obstacle(Workload(V2, 2, (evicted, *ready), endpoints=2), 2) is None
    found = obstacle(Workload(V2, 2, (evicted, ready[0]), endpoints=1), 2)
    assert found
    assert found.message == "Evicted"


def test_delay_stands_in_for_answers_only_from_when_the_route_was_written(hostile: HostileWorld) -> None:
    hostile.answering = False
    hostile.spec = declared("v2", "patient")
    hostile.until_weight(30)
    hostile.run(seconds=30)
    hostile.foreign_weights({V1: 100})
    hostile.turn()
    hostile.run(seconds=4)
    assert hostile.status.traffic
    assert hostile.status.traffic.observed is None
    hostile.run(seconds=2)
    assert hostile.status.traffic.observed_by == "Delay"


def test_answers_over_http_do_not_speak_for_grpc(hostile: HostileWorld) -> None:
    """Breaks if a version is deleted to which the gateway still sends gRPC: simulated stories had it happen."""
    asked = declared("v2", "patient")
    assert asked.traffic
    assert asked.gateway
    both = asked.gateway.model_copy(update={"grpc": GrpcTraffic(hostnames=["grpc.digits.example"])})
    hostile.spec = asked.model_copy(update={"traffic": asked.traffic.model_copy(update={"gateway": both})})
    hostile.until_weight(30)
    traffic = hostile.status.traffic
    assert traffic
    assert traffic.accepted_at
    assert traffic.observed_by == "Probe"
    assert hostile.now - traffic.accepted_at >= timedelta(seconds=5)


def test_delay_counts_from_when_the_controller_of_the_gateway_has_read_the_route(hostile: HostileWorld) -> None:
    hostile.answering = False
    hostile.spec = declared("v2", "patient")
    hostile.until("Shifting")
    hostile.gateway(following=False)
    hostile.run(seconds=30, turns=1000)
    hostile.gateway(following=True)
    hostile.run(seconds=4)
    assert hostile.status.traffic
    assert hostile.status.traffic.observed is None
    hostile.run(seconds=2)
    assert hostile.status.step is not None


def test_first_version_behind_a_service_is_kept_until_the_next_one_is_selected() -> None:
    world = HostileWorld(spec=declared("v1", split=False))
    world.until("Shifting")
    assert world.service == V1
    world.spec = declared("v2", split=False)
    world.slow = True
    world.until("Preparing")
    assert V1 in world.workloads
    world.heal()
    world.until("Stable")
    assert (world.service, sorted(world.workloads)) == (V2, [V2])


def test_service_is_not_moved_to_a_stable_version_that_is_down() -> None:
    world = HostileWorld(spec=declared("v1", split=False))
    world.until("Stable")
    world.spec = declared("v2", split=False)
    world.until("Shifting")
    world.broken["v1"] = Problem(Reason.CRASH_LOOP, "gone")
    world.pods_get_ready()
    world.slow = True
    world.spec = declared("v3", split=False)
    world.run(seconds=60)
    assert (world.status.phase, world.service) == ("Preparing", V2)
    world.pods_get_ready()
    world.until("Soaking")
    assert world.service == V3


def test_gateway_removed_in_mid_run_finishes_with_the_service_and_refuses_nobody(hostile: HostileWorld) -> None:
    hostile.spec = declared("v2", "patient")
    hostile.until_weight(30)
    hostile.spec = declared("v2", split=False)
    hostile.until("Soaking")
    assert hostile.service == V2
    assert hostile.route is None


def test_old_version_is_not_deleted_before_the_gateway_has_forgotten_it(hostile: HostileWorld) -> None:
    hostile.spec = declared("v2")
    hostile.until("Soaking")
    hostile.gateway(following=False)
    hostile.run(seconds=120, turns=1000)
    assert hostile.status.phase == "Stable"
    assert (hostile.weights[-1], hostile.in_force) == ({V2: 100}, {V1: 0, V2: 100})
    assert V1 in hostile.workloads
    hostile.gateway(following=True)
    hostile.run(seconds=5)
    assert V1 not in hostile.workloads


def test_superseded_first_version_stays_until_the_gateway_is_seen_to_send_to_the_next_one() -> None:
    world = HostileWorld(spec=declared("v1"), answering=False)
    world.run()
    world.spec = declared("v2")
    world.run(seconds=2)
    assert world.route is not None
    assert (world.status.phase, world.route.weights, world.route.current) == ("Shifting", {V2: 100}, True)
    world.answering, world.in_force = True, {V1: 100}  # the gateway's proxies are not as far as its controller
    world.run(seconds=3)
    assert V1 in world.workloads
    world.in_force = {V2: 100}
    world.run(seconds=3)
    assert sorted(world.workloads) == [V2]


def test_old_version_that_somebody_gave_traffic_again_stays_until_no_proxy_sends_to_it(hostile: HostileWorld) -> None:
    hostile.spec = declared("v2")
    hostile.until("Soaking")
    hostile.foreign_weights({V1: 50, V2: 50})  # while the operator is down, for longer than the soak
    hostile.now += timedelta(hours=1)
    hostile.following = False
    hostile.run()
    assert hostile.route is not None
    assert (hostile.status.phase, hostile.route.weights) == ("Stable", {V2: 100})
    hostile.route = replace(hostile.route, current=True)  # the proxies are not as far as their controller
    hostile.run(seconds=60)
    assert (V1 in hostile.workloads, hostile.in_force) == (True, {V1: 50, V2: 50})
    hostile.in_force = {V2: 100}
    hostile.run(seconds=60)
    assert V1 not in hostile.workloads


def test_weight_at_rest_is_looked_at_until_the_gateway_follows(hostile: HostileWorld) -> None:
    hostile.spec = declared("v2", "patient")
    hostile.until_weight(30)
    hostile.kill(V2)
    hostile.until("RolledBack")
    hostile.run(seconds=60)
    hostile.following = False
    hostile.foreign_weights({V1: 50, V2: 50})
    hostile.run(seconds=60)
    assert hostile.status.traffic
    assert hostile.status.traffic.observed is None
    assert hostile.route
    hostile.route, hostile.in_force = replace(hostile.route, current=True), {V1: 50, V2: 50}
    assert hostile.plan().requeue_after == 0.5
    hostile.gateway(following=True)
    hostile.run(seconds=60)
    assert hostile.status.traffic.observed == 100
    assert hostile.plan().requeue_after is None


def test_broken_answers_of_a_dead_candidate_do_not_pass_for_weight_0(hostile: HostileWorld) -> None:
    hostile.spec = declared("v2", "patient")
    hostile.until_weight(30)
    hostile.kill(V2)
    hostile.turn()
    assert hostile.weights[-1] == {V1: 100}
    hostile.in_force = {V1: 70, V2: 30}
    hostile.run(seconds=50, turns=1000)
    assert (hostile.status.phase, V2 in hostile.workloads) == ("RollingBack", True)
    hostile.run(seconds=20, turns=1000)  # the step deadline of 60 s is over: whatever breaks them, it ends
    assert hostile.status.phase == "RolledBack"


def test_withdrawn_candidate_makes_room_although_the_stable_version_is_down(hostile: HostileWorld) -> None:
    hostile.spec = declared("v2", "patient")
    hostile.until_weight(30)
    hostile.broken["v1"] = hostile.broken["v2"] = Problem(Reason.CRASH_LOOP, "gone")
    hostile.pods_get_ready()
    hostile.run(seconds=120, turns=1000)
    assert hostile.status.phase == "RolledBack"
    assert V2 not in hostile.workloads


def test_superseded_first_version_serves_while_others_come_and_go() -> None:
    world = HostileWorld(spec=declared("v1"), answering=False)
    world.until("Shifting")
    world.spec = declared("v2")
    world.run(seconds=2)
    world.answering, world.in_force = True, {V1: 100}  # the proxies are behind
    world.spec = declared("v3")
    world.slow = True
    world.run(seconds=40)
    assert (world.status.phase, sorted(world.workloads)) == ("Preparing", [V1, V2, V3])
    world.in_force = {V2: 100}
    world.run(seconds=60)
    assert sorted(world.workloads) == [V2, V3]
    world.route_deleted()
    world.run()
    assert world.weights[-1] == {V2: 100}


@pytest.fixture
def preparing(hostile: HostileWorld) -> HostileWorld:
    """v2 was refused a moment ago and its workload is still there; v3 is not ready yet."""
    hostile.spec = declared("v2", "patient")
    hostile.until_weight(30)
    hostile.kill(V2)
    hostile.until("RolledBack")
    hostile.slow, hostile.spec = True, declared("v3")
    hostile.turn()
    hostile.now += timedelta(seconds=1)
    return hostile


def test_refused_version_outlives_what_proxies_know_although_the_next_rollout_begins(preparing: HostileWorld) -> None:
    """Breaks if a rollout forgets when the weights before it were accepted: one look may miss the rest of a share."""
    preparing.run(seconds=3)
    assert V2 in preparing.workloads
    preparing.run(seconds=3)
    assert V2 not in preparing.workloads


def test_superseding_what_never_had_traffic_does_not_forget_what_proxies_may_still_do(preparing: HostileWorld) -> None:
    """Breaks if a version that goes without traffic takes along what is known of the route; found by the simulation."""
    preparing.foreign_weights({V1: 70, V2: 30})
    preparing.turn()
    assert preparing.weights[-1] == {V1: 100}
    preparing.in_force = {V1: 70, V2: 30}
    preparing.spec = declared("v4")
    preparing.run(seconds=2)
    assert preparing.status.candidate
    assert preparing.status.candidate.version == "v4"
    assert V2 in preparing.workloads
    preparing.in_force = {V1: 100}
    preparing.run(seconds=6)
    assert V2 not in preparing.workloads


def test_foreign_share_is_taken_away_in_the_turn_that_supersedes_its_version(preparing: HostileWorld) -> None:
    preparing.foreign_weights({V1: 50, V3: 50})
    preparing.spec = declared("v4")
    preparing.turn()
    assert preparing.status.phase == "RollingBack"
    assert preparing.route
    assert preparing.route.weights == {V1: 100}
