"""`traffic.gateway.preview`: people reach the candidate from its checks on, and not a moment longer than it is one."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

from luntra_operator.api.spec import ModelDeploymentSpec
from luntra_operator.api.validation import parse_spec
from luntra_operator.api.vocabulary import Phase, Reason
from luntra_operator.rollout.observed import Intents, Problem
from luntra_operator.rollout.settle import previewed
from luntra_operator.rollout.turn import Turn
from tests.operator.rollout.conftest import World, spec

V1, V2 = "digits-w1", "digits-w2"
NOT_READY = Problem(Reason.PODS_NOT_READY, "not ready")


def shown(version: str, **rollout: Any) -> ModelDeploymentSpec:
    body = spec(version, **rollout).model_dump(by_alias=True, exclude_none=True, mode="json")
    body["traffic"]["gateway"]["preview"] = {"header": {"name": "x-preview", "value": "new"}}
    return parse_spec(body)


def preview(world: World) -> str | None:
    assert world.route
    return world.route.preview


def test_candidate_is_shown_from_its_checks_on_until_it_is_promoted(world: World) -> None:
    world.spec = shown("v2", approval="BeforeTraffic")
    world.broken["v2"] = NOT_READY
    world.run()
    assert (world.status.phase, preview(world)) == (Phase.PREPARING, None)
    world.comes_up(V2)
    world.run()
    assert (world.status.phase, preview(world)) == (Phase.AWAITING_APPROVAL, V2)
    assert world.route
    assert world.route.weights == {V1: 100}
    world.intents = Intents(approve="v2")
    world.until_weight(60)
    assert preview(world) == V2
    world.until("Soaking")
    assert preview(world) is None
    assert [weights[V2] for weights in world.weights if V2 in weights] == [0, 10, 30, 60, 100, 100]


def test_preview_leaves_by_the_write_that_takes_the_traffic_away(world: World) -> None:
    """Breaks if the rollback needs a second write, or the workload goes while it can be reached."""
    world.spec = shown("v2")
    world.until_weight(30)
    world.intents = Intents(abort="v2")
    before = len(world.weights)
    world.turn()
    assert world.weights[before:] == [{V1: 100, V2: 0}]
    assert preview(world) is None
    world.until("RolledBack")
    assert preview(world) is None


def test_candidate_without_traffic_is_hidden_before_anything_of_it_goes(world: World) -> None:
    world.spec = shown("v2", approval="BeforeTraffic")
    world.until("AwaitingApproval")
    assert preview(world) == V2
    world.spec = shown("v1")
    for _ in range(20):
        world.turn()
        assert preview(world) is None or V2 in world.workloads
    world.run(120)
    assert preview(world) is None
    assert V2 not in world.workloads


def test_workload_that_a_preview_names_is_not_deleted(world: World) -> None:
    """Breaks if a preview that could not be written away yet would lead nowhere."""
    world.spec = shown("v2", approval="BeforeTraffic")
    world.until("AwaitingApproval")
    world.spec = shown("v1")
    planned = world.plan()
    world.status = planned.status  # the route could not be written
    for _ in range(5):
        planned = world.plan()
        world.status = planned.status
        assert not [action for action in planned.actions if "DeleteWorkload" in type(action).__name__]


def test_preview_that_somebody_took_away_comes_back_and_no_weight_waits_for_it(world: World) -> None:
    """Breaks if a preview counts as a weight: the step would have to settle again."""
    world.spec = shown("v2", steps=[{"weight": 30, "hold": "10m"}])
    world.until_weight(30)
    traffic = world.status.traffic
    world.events.clear()
    assert world.route
    world.route = replace(world.route, preview=None, current=False)
    world.turn()
    assert preview(world) == V2
    assert world.status.traffic == traffic
    assert world.events == []


def test_first_version_has_no_preview() -> None:
    world = World(spec=shown("v1"))
    while world.status.phase is not Phase.STABLE:
        world.now += timedelta(seconds=1)
        world.turn()
        assert world.route is None or preview(world) is None


def test_candidate_that_cannot_answer_is_not_shown(world: World) -> None:
    world.spec = shown("v2", approval="BeforeTraffic")
    world.until("AwaitingApproval")
    world.workloads[V2] = replace(world.workloads[V2], endpoints=0)
    assert previewed(Turn(world.spec, world.status, world.observed(), "", world.now)) is None


def test_r11_preview_is_declared_and_withdrawn_in_mid_run(world: World) -> None:
    """Breaks if the edit moves a weight or begins the step anew."""
    steps = [{"weight": 30, "hold": "10m"}]
    world.spec = spec("v2", steps=steps)
    world.until_weight(30)
    started = world.status.step
    for edited, leads_to in ((shown("v2", steps=steps), V2), (spec("v2", steps=steps), None)):
        world.spec = edited
        world.run(5)
        assert preview(world) == leads_to
    assert world.status.step == started
    assert world.weights[-1] == {V1: 70, V2: 30}
