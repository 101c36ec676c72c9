"""R12 as tables of turns: approve, abort and time-out, with the candidate watched meanwhile; each asking counts once."""

from dataclasses import replace

import pytest

from luntra_operator.rollout.observed import CheckRun, Intents
from tests.operator.rollout.conftest import World, spec

V1, V2 = "digits-w1", "digits-w2"


@pytest.fixture
def before_traffic(world: World) -> World:
    """A candidate that waits for approval without traffic."""
    world.spec = spec("v2", approval="BeforeTraffic")
    world.until("AwaitingApproval")
    return world


@pytest.fixture
def before_promotion(world: World) -> World:
    """A candidate that waits at its last declared step, which is 60 %."""
    world.spec = spec("v2", approval="BeforePromotion")
    world.until("AwaitingApproval")
    return world


def test_r12_nothing_is_routed_before_the_approval(before_traffic: World) -> None:
    """Breaks if the candidate is introduced to the gateway before somebody approves."""
    world = before_traffic
    world.run(seconds=3600)
    assert (world.status.phase, world.weights) == ("AwaitingApproval", [])
    assert world.condition["Ready"] == ("False", "Progressing")
    assert "luntra approve digits" in world.status.conditions[0].message
    world.intents = Intents(approve="v2")
    world.until("Soaking")
    assert world.weights[:2] == [{V1: 100, V2: 0}, {V1: 90, V2: 10}]


def test_r12_route_and_status_show_the_same_weight_while_it_waits(before_promotion: World) -> None:
    """Breaks if waiting changes a weight, or the last step is left early."""
    world = before_promotion
    world.run(seconds=3600)
    assert world.weights[-1] == {V1: 40, V2: 60}
    assert world.status.traffic
    assert (world.status.traffic.desired, world.status.traffic.observed) == (60, 60)
    assert world.status.step
    assert world.status.step.weight == 60
    world.intents = Intents(approve=world.status.candidate.digest if world.status.candidate else "")
    world.until("Soaking")
    assert world.weights[-1] == {V1: 0, V2: 100}


def test_r12_checks_come_before_the_question(world: World) -> None:
    """Breaks if a person is asked about a version that fails its checks."""
    world.spec = spec("v2", approval="BeforeTraffic", checks={"benchmark": {"requests": 10}})
    world.verdicts["benchmark"] = CheckRun("Fail", "TooSlow", "slow")
    world.intents = Intents(approve="v2")
    world.until("RolledBack")
    assert world.status.rejected_reason == "BenchmarkFailed"
    assert world.status.handled.approve is None


@pytest.mark.parametrize("steps", [[], [{"weight": 50}]])
def test_r12_without_a_step_before_it_the_promotion_is_asked_about_before_the_first_request(
    world: World, steps: list[dict[str, int]]
) -> None:
    """Breaks if the question is bound to a declared step."""
    world.spec = spec("v2", approval="BeforePromotion", steps=steps)
    world.until("AwaitingApproval")
    assert world.weights[-1:] == ([{V1: 50, V2: 50}] if steps else [])


@pytest.mark.parametrize("when", ["BeforeTraffic", "BeforePromotion"])
def test_r12_candidate_that_nobody_approves_is_taken_back_after_the_deadline(world: World, when: str) -> None:
    """Breaks if the wait has no end."""
    world.spec = spec("v2", approval=when, deadlines={"approval": "1h"})
    world.until("AwaitingApproval")
    world.run(seconds=3590)
    assert world.status.phase == "AwaitingApproval"
    world.run(seconds=60)
    assert world.status.rejected_reason == "ApprovalTimedOut"
    assert world.weights[-1:] in ([], [{V1: 100}])


@pytest.mark.parametrize("when", ["BeforeTraffic", "BeforePromotion"])
def test_r12_candidate_that_dies_while_it_waits_is_taken_back(world: World, when: str) -> None:
    """Breaks if nobody looks at a version that waits."""
    world.spec = spec("v2", approval=when)
    world.until("AwaitingApproval")
    world.kill(V2)
    world.until("RolledBack")
    assert world.status.rejected_reason == "CandidateDied"
    assert world.weights[-1:] in ([], [{V1: 100}])


def test_r12_approved_candidate_without_all_its_pods_waits_for_them(before_promotion: World) -> None:
    """Breaks if an approval is taken for readiness."""
    world = before_promotion
    whole = world.workloads[V2]
    world.workloads[V2] = replace(whole, pods=(whole.pods[0], replace(whole.pods[1], ready=False)), endpoints=1)
    world.intents = Intents(approve="v2")
    world.run(seconds=60)
    assert (world.status.phase, world.weights[-1]) == ("AwaitingApproval", {V1: 40, V2: 60})
    world.workloads[V2] = whole
    world.until("Soaking")


def test_approval_of_another_version_changes_nothing(before_traffic: World) -> None:
    before_traffic.intents = Intents(approve="v3")
    before_traffic.run(seconds=60)
    assert before_traffic.status.phase == "AwaitingApproval"


def test_approval_that_stays_in_git_does_not_count_for_the_next_attempt(before_traffic: World) -> None:
    world = before_traffic
    world.intents = Intents(approve="v2")
    world.until("Shifting")
    world.kill(V2)
    world.until("RolledBack")
    world.intents = Intents(approve="v2", retry="v2/1")
    world.until("AwaitingApproval")
    world.run(seconds=60)
    assert world.status.phase == "AwaitingApproval"
    world.intents = Intents(approve="v2/2", retry="v2/1")
    world.until("Soaking")


def test_no_longer_asked_for_approval_lets_it_go_on(before_promotion: World) -> None:
    before_promotion.spec = spec("v2")
    before_promotion.until("Soaking")


def test_steps_added_while_it_waits_come_first(before_promotion: World) -> None:
    world = before_promotion
    world.spec = spec("v2", approval="BeforePromotion", steps=[{"weight": 60}, {"weight": 80}])
    world.run(seconds=60)
    assert (world.status.phase, world.weights[-1]) == ("AwaitingApproval", {V1: 20, V2: 80})


def test_step_that_is_to_be_held_longer_by_now_is_held_before_more_is_given(before_promotion: World) -> None:
    """Breaks if a version that waits for approval goes on from a step that it has not held."""
    world = before_promotion
    steps = [{"weight": 60, "hold": "1h"}, {"weight": 80}]
    world.spec = spec("v2", approval="BeforePromotion", steps=steps)
    world.run(seconds=60)
    assert (world.status.phase, world.weights[-1]) == ("Shifting", {V1: 40, V2: 60})


def test_gateway_that_is_taken_away_for_a_moment_shortens_no_step(world: World) -> None:
    """Breaks if what was given before counts as held: without a gateway the candidate has nothing. A simulated story had it happen."""
    world.spec = asked = spec("v2", approval="BeforePromotion")
    world.until_weight(30)
    world.spec = asked.model_copy(update={"traffic": None})
    world.turn()
    assert world.status.phase == "AwaitingApproval"
    world.spec = asked
    world.until_weight(10)
    world.until_weight(30)
    world.run(seconds=5)
    assert (world.status.phase, world.weights[-1]) == ("Shifting", {V1: 70, V2: 30})


@pytest.mark.parametrize("phase", ["Shifting", "AwaitingApproval"])
def test_what_waits_for_approval_without_a_gateway_has_no_traffic_and_says_so(world: World, phase: str) -> None:
    """Breaks if a share that a Service cannot hold is still spoken of, and waited for; found by the simulation."""
    steps = [{"weight": 30, "hold": "1h" if phase == "Shifting" else "1s"}]
    world.spec = spec("v2", approval="BeforePromotion", steps=steps)
    world.until_weight(30)
    world.until(phase)
    world.spec = world.spec.model_copy(update={"traffic": None})
    world.run(seconds=60)
    assert (world.status.phase, world.service) == ("AwaitingApproval", V1)
    assert world.status.traffic
    assert (world.status.traffic.desired, world.status.traffic.observed) == (0, 0)
    assert "no traffic yet" in world.status.conditions[0].message
    world.intents = Intents(approve="v2")
    world.until("Soaking")
    assert world.service == V2


def test_first_version_needs_no_approval() -> None:
    world = World(spec=spec("v1", approval="BeforeTraffic"))
    world.until("Stable")


def test_newer_version_replaces_one_that_waits(before_promotion: World) -> None:
    world = before_promotion
    world.spec = spec("v3", approval="BeforePromotion")
    world.intents = Intents(approve="v2")
    world.until("AwaitingApproval")
    assert world.status.candidate
    assert world.status.candidate.version == "v3"


def test_return_to_the_warm_version_needs_no_approval(before_promotion: World) -> None:
    world = before_promotion
    world.intents = Intents(approve="v2")
    world.until("Soaking")
    world.spec = spec("v1", approval="BeforePromotion")
    world.run(seconds=5)
    assert world.weights[-1].get(V1) == 100


@pytest.mark.parametrize("phase", ["Preparing", "Shifting", "AwaitingApproval"])
def test_r12_abort_takes_the_candidate_back_and_refuses_it(world: World, phase: str) -> None:
    """Breaks if abort is heard in some phases only, or the version comes back by itself."""
    world.spec = spec("v2", approval="BeforePromotion")
    world.turn()
    if phase != "Preparing":
        world.until(phase)
    assert world.status.phase == phase
    world.intents = Intents(abort="v2")
    world.until("RolledBack")
    world.run(seconds=600)
    assert (world.status.phase, world.status.rejected_reason) == ("RolledBack", "Aborted")
    assert world.weights[-1:] in ([], [{V1: 100}])
    assert world.status.stable
    assert world.status.stable.version == "v1"


def test_abort_in_the_soak_returns_all_traffic(world: World) -> None:
    world.spec = spec("v2")
    world.until("Soaking")
    world.intents = Intents(abort="v2")
    world.until("RolledBack")
    assert world.weights[-1] == {V1: 100}
    assert world.status.rejected_reason == "Aborted"


def test_abort_counts_once_so_a_retry_can_follow(world: World) -> None:
    world.spec = spec("v2")
    world.until("Shifting")
    world.intents = Intents(abort="v2")
    world.until("RolledBack")
    world.intents = Intents(abort="v2", retry="v2")
    world.until("Soaking")


def test_first_version_cannot_be_aborted() -> None:
    world = World(spec=spec("v1"))
    world.intents = Intents(abort="v1")
    world.until("Stable")
