"""Acceptance scenarios R1, R3, R4, R8, R10, R14, R17, R19 and R20 as tables of turns: objects in, weights, status and events out."""

from dataclasses import replace
from datetime import datetime, timedelta
from itertools import pairwise

import pytest

from luntra_operator.api.status import ModelDeploymentStatus, Withdrawal
from luntra_operator.api.vocabulary import Reason
from luntra_operator.rollout import actions
from luntra_operator.rollout.conditions import refused
from luntra_operator.rollout.observed import CheckRun, Intents, Problem
from tests.operator.rollout.conftest import World, spec

V1, V2, V3 = "digits-w1", "digits-w2", "digits-w3"


def test_first_version_gets_all_traffic_only_when_it_is_ready() -> None:
    world = World()
    world.turn()
    assert world.status.phase == "Preparing"
    assert world.route is None
    world.until("Stable")
    assert world.weights == [{V1: 100}]
    assert world.service == V1
    assert world.condition["Ready"] == ("True", "Stable")
    assert world.condition["Available"] == ("True", "Serving")


def test_r1_weights_follow_the_list_and_each_step_is_held(world: World) -> None:
    """Breaks if a weight is not in the list, or a hold counts from the decision and not from when the gateway follows."""
    world.spec = spec("v2")
    times: dict[int | None, datetime] = {}
    for _ in range(200):
        world.run()
        if world.weights:
            times.setdefault(world.weights[-1].get(V2), world.now)
        if world.status.phase == "Stable" and world.status.stable and world.status.stable.version == "v2":
            break
        world.now += timedelta(seconds=1)
    shifted = [{V1: 90, V2: 10}, {V1: 70, V2: 30}, {V1: 40, V2: 60}]
    assert world.weights == [{V1: 100, V2: 0}, *shifted, {V1: 0, V2: 100}, {V2: 100}]
    moments = [times[weight] for weight in (10, 30, 60, 100)]
    assert all(later - earlier >= timedelta(seconds=10) for earlier, later in pairwise(moments))
    assert V1 not in world.workloads
    assert world.service == V2
    assert world.status.history[0].outcome == "Promoted"
    assert world.condition["Ready"] == ("True", "Stable")


def test_r1_promoted_version_soaks_beside_the_old_one(world: World) -> None:
    """Breaks if the old version is released at promotion."""
    world.spec = spec("v2")
    world.until("Soaking")
    assert world.status.previous
    assert world.status.previous.version == "v1"
    world.run(seconds=59)
    assert V1 in world.workloads
    world.run(seconds=2)
    assert V1 not in world.workloads


@pytest.mark.parametrize(
    ("problem", "reason"),
    [
        (Problem(Reason.IMAGE_PULL_FAILED, "image x: not found"), "ImagePullFailed"),
        (Problem(Reason.CRASH_LOOP, "container server ended with exit code 1"), "CrashLoop"),
        (Problem(Reason.QUOTA_EXCEEDED, "exceeded quota: small"), "QuotaExceeded"),
    ],
)
def test_r3_candidate_that_never_gets_ready_is_refused_with_its_own_reason(
    world: World, problem: Problem, reason: str
) -> None:
    """Breaks if the pods' own reason is lost, or the candidate gets traffic."""
    world.versions["x"] = "v2"
    world.broken["v2"] = problem
    world.spec = spec("v2")
    world.run(seconds=119)
    assert world.status.phase == "Preparing"
    world.until("RolledBack")
    assert world.weights == []
    assert world.status.rejected_reason == reason
    assert problem.message in (world.status.rejected_message or "")
    world.run(seconds=6)
    assert list(world.workloads) == [V1]
    assert world.condition["Ready"] == ("False", "RolledBack")
    assert world.condition["Stalled"][0] == "True"
    assert world.condition["Available"][0] == "True"


def test_r3_bundle_that_can_never_load_is_refused_at_once(world: World) -> None:
    """Breaks if the deadline is waited for although waiting cannot help."""
    world.broken["v2"] = Problem(Reason.LOAD_FAILED, "DigestMismatch: ...", permanent=True)
    world.spec = spec("v2")
    world.run()
    assert world.status.phase == "RolledBack"
    assert world.status.rejected_reason == "LoadFailed"


def test_refused_revision_is_not_tried_again_until_the_revision_changes(world: World) -> None:
    world.broken["v2"] = Problem(Reason.LOAD_FAILED, "bad", permanent=True)
    world.spec = spec("v2")
    world.until("RolledBack")
    attempt = world.status.attempt
    world.spec = spec("v2", soak="61s").model_copy(update={"replicas": 3})
    world.run(seconds=600)
    assert (world.status.phase, world.status.attempt) == ("RolledBack", attempt)
    world.spec = spec("v1")
    world.run()
    assert world.status.phase == "Stable"
    assert world.status.rejected_revision is None


def test_retry_annotation_tries_a_refused_version_once_more(world: World) -> None:
    world.broken["v2"] = Problem(Reason.LOAD_FAILED, "bad", permanent=True)
    world.spec = spec("v2")
    world.until("RolledBack")
    attempt = world.status.attempt
    world.intents = Intents(retry="v2/again")
    world.run()
    assert (world.status.phase, world.status.attempt) == ("RolledBack", attempt + 1)
    world.run(seconds=600)
    assert world.status.attempt == attempt + 1


def test_first_version_that_is_late_stalls_but_may_still_come_up() -> None:
    world = World()
    world.broken["v1"] = Problem(Reason.IMAGE_PULL_FAILED, "image x: not found")
    world.versions["unused"] = "v1"
    world.run(seconds=300)
    assert world.status.phase == "Preparing"
    assert world.condition["Stalled"] == ("True", "ImagePullFailed")
    world.broken.clear()
    world.workloads[V1] = world._started(V1, 2)
    world.run(seconds=5)
    assert world.status.phase == "Stable"


def test_r4_death_of_the_candidate_takes_its_traffic_in_the_same_turn(world: World) -> None:
    """Breaks if the rollback waits for an interval or for another look."""
    world.spec = spec("v2")
    world.until_weight(30)
    world.kill(V2)
    planned = world.turn()
    assert planned.urgent
    assert world.weights[-1] == {V1: 100}
    assert world.status.phase == "RollingBack"
    world.until("RolledBack")
    assert world.status.rejected_reason == "CandidateDied"
    world.run(seconds=6)
    assert V2 not in world.workloads
    assert all(weights.get(V2, 0) <= 30 for weights in world.weights)


def test_r4_restart_of_one_pod_is_enough_even_while_others_serve(world: World) -> None:
    """Breaks if only the loss of all pods is evidence."""
    world.spec = spec("v2")
    world.until_weight(10)
    world.kill(V2, endpoints=1)
    world.turn()
    assert world.weights[-1] == {V1: 100, V2: 0}


def test_restarts_before_readiness_are_not_held_against_a_candidate(world: World) -> None:
    world.versions["x"] = "v2"
    world.broken["v2"] = Problem(Reason.CRASH_LOOP, "URI unreachable")
    world.spec = spec("v2")
    world.run(seconds=10)
    world.comes_up(V2, restarts=2)
    world.until("Soaking")
    assert world.status.stable
    assert world.status.stable.version == "v2"


def test_candidate_keeps_its_traffic_if_no_stable_pod_is_ready(world: World) -> None:
    world.spec = spec("v2")
    world.until_weight(30)
    world.workloads[V1] = replace(world.workloads[V1], endpoints=0)
    world.kill(V2, endpoints=1)
    world.turn()
    assert world.weights[-1] == {V1: 70, V2: 30}
    assert world.status.phase == "Shifting"


def test_drained_node_that_replaces_a_pod_is_no_death(world: World) -> None:
    world.spec = spec("v2")
    world.until_weight(30)
    found = world.workloads[V2]
    world.workloads[V2] = replace(found, pods=found.pods[:1], endpoints=1)
    world.run(seconds=30)
    assert world.status.phase == "Shifting"
    assert world.status.step
    assert world.status.step.weight == 30


def test_requests_in_flight_may_end_before_a_refused_version_is_deleted(world: World) -> None:
    world.spec = spec("v2")
    world.until_weight(30)
    world.kill(V2, endpoints=1)
    world.run()
    assert world.weights[-1] == {V1: 100, V2: 0}
    assert V2 in world.workloads
    world.until("RolledBack")
    assert world.weights[-1] == {V1: 100}


def test_r10_running_candidate_loses_its_traffic_before_the_next_one_gets_any(world: World) -> None:
    """Breaks if two candidates have traffic at once."""
    world.spec = spec("v2")
    world.until_weight(30)
    world.spec = spec("v3")
    world.until("Soaking")
    assert world.status.stable
    assert world.status.stable.version == "v3"
    first_v3 = next(i for i, weights in enumerate(world.weights) if weights.get(V3))
    assert world.weights[first_v3] == {V1: 90, V3: 10}
    assert not any(weights.get(V2) and weights.get(V3) for weights in world.weights)
    assert [entry.outcome for entry in world.status.history[:2]] == ["Promoted", "Superseded"]


def test_r10_return_to_the_stable_version_is_immediate_and_unchecked(world: World) -> None:
    """Breaks if the way back is treated like a new version."""
    checks = {"benchmark": {"requests": 10}}
    world.spec = spec("v2", checks=checks)
    world.until_weight(30)
    world.spec = spec("v1", checks=checks)
    world.turn()
    assert world.weights[-1] == {V1: 100, V2: 0}
    world.until("Stable")
    assert world.status.rejected_revision is None
    assert ("benchmark", V1) not in world.checks


def test_return_to_the_previous_version_in_the_soak_is_one_write(world: World) -> None:
    world.spec = spec("v2")
    world.until("Soaking")
    writes = len(world.weights)
    world.spec = spec("v1")
    world.until("Stable")
    assert world.weights[writes] == {V2: 0, V1: 100}
    assert world.status.stable
    assert world.status.stable.workload == V1
    assert V2 not in world.workloads


def test_version_that_dies_in_the_soak_gives_everything_back(world: World) -> None:
    world.spec = spec("v2")
    world.until("Soaking")
    world.kill(V2, endpoints=1)
    world.turn()
    assert world.weights[-1] == {V1: 100, V2: 0}
    world.until("RolledBack")
    assert world.status.stable
    assert world.status.stable.version == "v1"
    assert world.service == V1


def test_new_revision_ends_the_soak_first(world: World) -> None:
    world.spec = spec("v2")
    world.until("Soaking")
    world.spec = spec("v3")
    world.until("Shifting")
    assert world.weights[-1] == {V2: 100, V3: 0}
    world.until_weight(10)
    world.run(seconds=6)
    assert V1 not in world.workloads


@pytest.mark.parametrize("weights", [{V1: 0, V2: 100}, {V1: 0, V2: 0}, {}, {V1: 50, V2: 50}])
def test_r8_foreign_weights_are_restored_and_the_step_stays(world: World, weights: dict[str, int]) -> None:
    """Breaks if a foreign weight is taken for progress, or the step begins anew."""
    world.spec = spec("v2")
    world.until_weight(30)
    assert world.route
    step = world.status.step
    world.route = replace(world.route, weights=weights)
    world.turn()
    assert world.route.weights == {V1: 70, V2: 30}
    assert world.events[-1][0] == "RouteRepaired"
    assert world.status.step == step


def test_deleted_route_is_written_again(world: World) -> None:
    world.route = None
    world.run(seconds=10)
    assert world.route
    assert dict(world.route.weights) == {V1: 100}


@pytest.mark.parametrize("check", ["evaluation", "benchmark"])
def test_candidate_that_fails_a_check_never_gets_traffic(world: World, check: str) -> None:
    world.verdicts[check] = CheckRun("Fail", "TooBad", "accuracy 0.4 is below min 0.9")
    world.spec = spec("v2", checks=_checks())
    world.until("RolledBack")
    assert world.weights == []
    assert world.status.rejected_reason == f"{check.capitalize()}Failed"
    assert "accuracy 0.4 is below min 0.9" in (world.status.rejected_message or "")
    world.run(seconds=6)
    assert V2 not in world.workloads


def test_checks_run_one_after_the_other_against_the_stable_version(world: World) -> None:
    world.spec = spec("v2", checks=_checks())
    started: list[actions.RunCheck] = []
    for _ in range(30):
        started += [action for action in world.turn().actions if isinstance(action, actions.RunCheck)]
    assert started == [actions.RunCheck("evaluation", V2, V1), actions.RunCheck("benchmark", V2, V1)]
    assert [(entry.name, entry.verdict) for entry in world.status.checks] == [
        ("evaluation", "Pass"),
        ("benchmark", "Pass"),
    ]


def test_check_that_could_not_be_made_refuses_the_candidate(world: World) -> None:
    world.verdicts["benchmark"] = CheckRun("Error", "BackoffLimitExceeded", "connection refused")
    world.spec = spec("v2", checks=_checks())
    world.until("RolledBack")
    assert world.status.rejected_reason == "CheckError"


def test_candidate_that_dies_while_it_is_checked_is_refused(world: World) -> None:
    world.verdicts["evaluation"] = CheckRun(None)
    world.spec = spec("v2", checks=_checks())
    world.until("Checking")
    world.kill(V2)
    world.until("RolledBack")
    assert world.status.rejected_reason == "CandidateDied"


def test_weight_is_settled_by_a_delay_where_the_gateway_cannot_be_asked(world: World) -> None:
    world.answering = False
    world.spec = spec("v2")
    world.until("Shifting")
    world.run(seconds=9)
    assert world.status.traffic
    assert world.status.traffic.observed is None
    world.run(seconds=2)
    traffic = world.status.model_dump()["traffic"]
    assert (traffic["observed"], traffic["observed_by"]) == (10, "Delay")


@pytest.mark.parametrize("first", [False, True])
def test_refused_write_of_an_object_is_the_reason_in_the_end(first: bool) -> None:
    world = World()
    if not first:
        world.until("Stable")
        world.spec = spec("v2")
    world.turn()
    world.workloads.pop(world.status.candidate.workload if world.status.candidate else "")
    told = refused(world.status.conditions, 1, Reason.QUOTA_EXCEEDED, "exceeded quota: small", world.now)
    world.status = world.status.model_copy(update={"conditions": told})
    world.now += timedelta(seconds=60)
    assert world.plan().status.conditions == told
    world.now += timedelta(seconds=61)
    if first:
        assert world.plan().status.conditions == told, "there is nothing to go back to, so it stays as it is"
    else:
        assert world.plan().status.withdrawal == Withdrawal(
            reason="QuotaExceeded", message="exceeded quota: small", rejected=True
        )


def test_gateway_has_time_to_learn_of_a_backend_before_its_first_traffic(world: World) -> None:
    world.spec = spec("v2")
    world.until("Shifting")
    world.run(seconds=4)
    assert world.weights == [{V1: 100, V2: 0}]
    assert world.route
    assert world.route.intent
    assert world.route.intent.endswith("/100"), "weight 0 in the intent means that a version was taken back"
    world.run(seconds=2)
    assert world.weights == [{V1: 100, V2: 0}, {V1: 90, V2: 10}]


def test_backend_that_the_gateway_refuses_gets_no_traffic(world: World) -> None:
    world.following = False
    world.spec = spec("v2")
    world.until("RolledBack")
    assert world.weights == [{V1: 100, V2: 0}, {V1: 100}]
    assert world.status.rejected_reason == "StepDeadlineExceeded"
    assert V2 in world.workloads, "the gateway may still know it"


def test_candidate_that_dies_while_it_is_introduced_is_refused(world: World) -> None:
    world.spec = spec("v2")
    world.until("Shifting")
    world.kill(V2)
    world.until("RolledBack")
    assert not any(weights.get(V2) for weights in world.weights)
    assert world.status.rejected_reason == "CandidateDied"


def test_return_to_a_version_that_was_away_goes_to_a_backend_the_gateway_knows(world: World) -> None:
    world.spec = spec("v2")
    world.until("Soaking")
    ready = world.workloads[V1]
    world.workloads[V1] = replace(ready, endpoints=0)
    world.run(seconds=1)
    assert world.weights[-1] == {V2: 100}
    world.workloads[V1] = ready
    world.run(seconds=1)
    assert world.weights[-1] == {V1: 0, V2: 100}


def test_gateway_that_does_not_follow_ends_the_rollout_at_the_step_deadline(world: World) -> None:
    world.spec = spec("v2")
    world.until_weight(10)
    world.following = False
    world.run(seconds=10)
    assert world.route
    assert world.route.weights[V2] == 30
    world.route = replace(world.route, message="Accepted=False (NotAllowed)")
    world.run(seconds=59, turns=1000)
    assert world.status.phase == "Shifting"
    world.until("RollingBack", limit=5)
    assert "NotAllowed" in (world.status.withdrawal.message if world.status.withdrawal else "")


def test_missing_gateway_api_is_named_and_picked_up_when_it_appears() -> None:
    world = World(route_api=False)
    world.run(seconds=100)
    assert world.condition["Ready"] == ("False", "GatewayAPIMissing")
    world.route_api = True
    world.run(seconds=20)
    assert world.status.phase == "Stable"


def test_paused_object_is_only_reported_on(world: World) -> None:
    world.spec = spec("v2", paused=True)
    planned = world.turn()
    assert planned.actions == ()
    assert world.condition["Ready"] == ("False", "Paused")
    world.kill(V1)
    assert world.turn().actions == ()


def test_plan_edited_in_mid_run_continues_at_the_next_higher_weight(world: World) -> None:
    world.spec = spec("v2")
    world.until_weight(30)
    world.spec = spec("v2", steps=[{"weight": 5, "hold": "5s"}, {"weight": 80, "hold": "5s"}])
    world.until("Soaking")
    assert [weights.get(V2) for weights in world.weights if V2 in weights][:5] == [0, 10, 30, 80, 100]


def test_replicas_are_followed_in_mid_rollout(world: World) -> None:
    world.spec = spec("v2")
    world.until_weight(30)
    world.spec = world.spec.model_copy(update={"replicas": 4})
    world.run()
    assert {name: workload.replicas for name, workload in world.workloads.items()} == {V1: 4, V2: 4}


def test_scaling_to_nothing_in_mid_rollout_starts_it_again_later_and_refuses_nothing(world: World) -> None:
    world.spec = spec("v2")
    world.until_weight(30)
    world.spec = world.spec.model_copy(update={"replicas": 0})
    world.run(seconds=300, turns=2000)
    world.spec = world.spec.model_copy(update={"replicas": 2})
    world.until("Soaking")
    assert world.status.rejected_revision is None
    assert world.status.stable
    assert world.status.stable.version == "v2"


def test_no_traffic_goes_to_a_stable_version_that_cannot_answer(world: World) -> None:
    world.spec = spec("v2")
    world.until_weight(30)
    world.workloads[V1] = replace(world.workloads[V1], endpoints=0)
    world.spec = spec("v1")
    world.run(seconds=30, turns=2000)
    assert world.weights[-1] == {V1: 70, V2: 30}
    world.workloads[V1] = replace(world.workloads[V1], endpoints=2)
    world.until("Stable")
    assert world.weights[-1] == {V1: 100}


def test_only_revisions_that_something_speaks_of_are_kept(world: World) -> None:
    for number in range(2, 16):
        world.spec = spec(f"v{number}", steps=[], soak="0s")
        world.until("Stable")
    world.run(seconds=5)  # the last workloads go when proxies had time to follow
    assert len(world.status.history) == 10
    assert world.revisions == {entry.revision for entry in world.status.history}


def test_without_a_gateway_the_service_is_flipped_after_the_checks() -> None:
    plain = spec("v1", steps=[]).model_copy(update={"traffic": None})
    world = World(spec=plain)
    world.until("Stable")
    assert world.service == V1
    world.spec = spec("v2", steps=[]).model_copy(update={"traffic": None})
    world.until("Soaking")
    assert world.service == V2
    world.kill(V2)
    world.turn()
    assert world.service == V1
    assert world.route is None


def test_somebody_elses_route_of_the_same_name_is_left_alone(world: World) -> None:
    world.route = None
    world.conflict = Problem(Reason.ROUTE_CONFLICT, "the HTTPRoute digits is not owned by this object", permanent=True)
    world.spec = spec("v2")
    planned = world.turn()
    assert planned.actions == ()
    assert world.condition["Ready"] == ("False", "RouteConflict")


def test_r19_lost_status_is_rebuilt_from_the_route(world: World) -> None:
    """Breaks if an empty status is taken for a new object."""
    world.status = ModelDeploymentStatus()
    world.run(seconds=5)
    assert world.status.stable
    assert (world.status.stable.workload, world.status.phase) == (V1, "Stable")
    assert world.weights == []


def test_r19_name_of_a_workload_that_is_just_leaving_is_not_used_again_once_it_is_gone(world: World) -> None:
    """Breaks if the number is forgotten with the last pod, while nothing may begin. A simulated story had it happen."""
    world.status, world.revision_of, world.route = ModelDeploymentStatus(), {}, None
    world.spec = spec("v2").model_copy(update={"replicas": 0})
    world.turn()
    assert world.status.next_ordinal == 2
    world.workloads.clear()
    world.spec = spec("v2")
    world.until("Stable")
    assert world.status.stable
    assert world.status.stable.workload == V2


def test_r19_unfinished_candidate_is_not_taken_for_stable(world: World) -> None:
    """Breaks if a version that was never checked reaches 100 %."""
    world.spec = spec("v2")
    world.until_weight(60)
    writes = len(world.weights)
    world.status = ModelDeploymentStatus()
    world.until("Soaking")
    assert world.weights[writes] == {V1: 100}
    assert next(weights for weights in world.weights[writes:] if weights.get(V3)) == {V1: 90, V3: 10}


def test_r19_candidate_without_traffic_is_not_taken_for_stable_where_somebody_edits_the_route(world: World) -> None:
    """Breaks if an intent that gives the stable version 100 % is read as one that speaks of a candidate. A simulated story had it."""
    world.spec = spec("v2")
    world.following = False
    world.until("Shifting")
    assert world.route
    assert world.route.weights == {V1: 100, V2: 0}
    world.route = replace(world.route, weights={V1: 50, V2: 10})
    world.status = ModelDeploymentStatus()
    world.turn()
    assert world.status.stable
    assert world.status.stable.workload == V1


def test_r19_what_cannot_be_told_is_left_to_a_person(world: World) -> None:
    """Breaks if the operator guesses."""
    world.spec = spec("v2")
    world.until_weight(60)
    assert world.route
    world.route = replace(world.route, intent=None)
    world.status = ModelDeploymentStatus()
    assert world.turn().actions == ()
    assert world.condition["Stalled"] == ("True", "NeedsDecision")


def _checks() -> dict[str, object]:
    dataset = {"uri": "https://models.example/eval.npz", "digest": "sha256:" + "0" * 64}
    return {"evaluation": {"dataset": dataset, "metric": "accuracy", "min": 0.9}, "benchmark": {"requests": 10}}
