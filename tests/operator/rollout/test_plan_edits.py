"""R11, R15, R16 and R21 as tables of turns: the plan, the replicas or the route change while a rollout is under way or was refused."""

from dataclasses import replace
from typing import Any

import pytest

from luntra_operator.api.spec import ModelDeploymentSpec
from luntra_operator.api.vocabulary import Reason
from luntra_operator.rollout.actions import WriteRoute
from luntra_operator.rollout.observed import Problem
from tests.operator.rollout.conftest import World, spec

V1, V2 = "digits-w1", "digits-w2"


def shares(world: World) -> list[int]:
    """The candidate's weights, one after the other, without repetitions."""
    found = [weights.get(V2, 0) for weights in world.weights]
    return [weight for index, weight in enumerate(found) if index == 0 or weight != found[index - 1]]


def scaled(wanted: ModelDeploymentSpec, replicas: int) -> ModelDeploymentSpec:
    return wanted.model_copy(update={"replicas": replicas})


@pytest.mark.parametrize(
    ("steps", "expected"),
    [
        ([{"weight": 10}, {"weight": 20}, {"weight": 50}], [0, 10, 30, 50, 100]),
        ([{"weight": 30, "hold": "5s"}, {"weight": 80}], [0, 10, 30, 80, 100]),
        ([{"weight": 5}], [0, 10, 30, 100]),
        ([], [0, 10, 30, 100]),
        ([{"weight": 31}, {"weight": 32}], [0, 10, 30, 31, 32, 100]),
    ],
)
def test_r11_edited_plan_goes_on_at_its_next_higher_step(
    world: World, steps: list[dict[str, Any]], expected: list[int]
) -> None:
    """Breaks if the step is remembered by its position in the list."""
    world.spec = spec("v2")
    world.until_weight(30)
    attempt = world.status.attempt
    world.spec = spec("v2", steps=steps)
    world.until("Soaking")
    assert shares(world) == expected
    assert world.status.attempt == attempt


def test_r15_candidate_without_room_says_so_and_holds_until_its_deadline(world: World) -> None:
    """Breaks if the scheduler's words are lost, or a pod without a node is given up at once."""
    world.versions["x"] = "v2"
    world.broken["v2"] = Problem(Reason.UNSCHEDULABLE, "0/3 nodes are available: 3 Insufficient nvidia.com/gpu")
    world.spec = spec("v2")
    world.run(seconds=110)
    assert world.status.phase == "Preparing"
    assert world.status.conditions[0].message == "0/3 nodes are available: 3 Insufficient nvidia.com/gpu"
    assert world.condition["Available"] == ("True", "Serving")
    world.run(seconds=20)
    assert (world.status.phase, world.status.rejected_reason) == ("RolledBack", "Unschedulable")


def test_r15_candidate_gets_room_while_it_holds(world: World) -> None:
    """Breaks if holding for room is an end and not a wait."""
    world.versions["x"] = "v2"
    world.broken["v2"] = Problem(Reason.UNSCHEDULABLE, "0/3 nodes are available")
    world.spec = spec("v2")
    world.run(seconds=60)
    world.comes_up(V2)
    world.until("Soaking")


def test_pods_are_evicted_one_at_a_time_from_two_replicas_on(world: World) -> None:
    assert world.workloads[V1].protected
    world.spec = scaled(world.spec, 1)
    world.run(seconds=1)
    assert not world.workloads[V1].protected
    world.spec = scaled(world.spec, 3)
    world.run(seconds=1)
    assert world.workloads[V1].protected


@pytest.mark.parametrize("weight", [None, 30])
def test_r18_old_route_goes_when_the_new_one_is_followed(world: World, weight: int | None) -> None:
    """Breaks if the frame is exchanged in one write, or weights change with it."""
    if weight:
        world.spec = spec("v2", steps=[{"weight": 30, "hold": "10m"}])
        world.until_weight(weight)
    written = len(world.weights)
    world.frame, world.following = "other", False
    world.run(seconds=20)
    assert world.route
    assert (world.route.frame, world.route.widened) == ("other", True)
    world.following = True
    world.route = replace(world.route, current=True)
    world.run(seconds=20)
    assert world.route
    assert (world.route.frame, world.route.widened) == ("other", False)
    assert all(weights == world.weights[written - 1] for weights in world.weights[written:])


def test_r18_new_gateway_that_is_not_there_leaves_the_old_one_serving(world: World) -> None:
    """Breaks if the old frame goes by the clock and not by what is seen."""
    world.frame, world.following = "other", False
    world.run(seconds=3600)
    assert world.route
    assert world.route.widened
    assert world.condition["Available"] == ("True", "Serving")


def test_r18_rollback_is_written_while_both_routes_serve(world: World) -> None:
    """Breaks if a rollback waits for the frame."""
    world.spec = spec("v2")
    world.until_weight(30)
    world.frame, world.following = "other", False
    world.run(seconds=2)
    world.kill(V2)
    world.turn()
    assert world.weights[-1] == {V1: 100}
    assert world.route
    assert world.route.widened


def test_r16_applier_that_owns_nothing_of_the_route_changes_no_weight(world: World) -> None:
    """What a GitOps tool applies again and again is the object's spec, as it was; the weights are not in it."""
    world.spec = spec("v2")
    for _ in range(60):
        world.spec = ModelDeploymentSpec.model_validate(world.spec.model_dump(by_alias=True))
        world.run(seconds=5)
    assert shares(world)[:5] == [0, 10, 30, 60, 100]
    assert world.status.stable
    assert world.status.stable.version == "v2"
    assert world.status.attempt == 2


def test_r21_nothing_but_a_new_revision_or_a_retry_tries_a_refused_one_again(world: World) -> None:
    """Breaks if a refusal is bound to a generation and not to a revision."""
    world.spec = spec("v2")
    world.until_weight(30)
    world.spec = scaled(world.spec, 3)
    world.run(seconds=1)
    world.kill(V2)
    world.until("RolledBack")
    attempt, written = world.status.attempt, len(world.weights)
    for changed in (
        scaled(world.spec, 5),
        spec("v2", steps=[{"weight": 1}]),
        spec("v2", soak="1s", approval="BeforeTraffic"),
        spec("v2", checks={"benchmark": {"requests": 10}}),
        spec("v2", deadlines={"ready": "1h"}),
        scaled(spec("v2"), 1),
        scaled(spec("v2"), 0),
        spec("v2"),
    ):
        world.spec = changed
        world.run(seconds=120)
        assert (world.status.phase, world.status.attempt) == ("RolledBack", attempt)
    assert world.weights[written:] in ([], [{V1: 100}])
    world.spec = spec("v3")
    world.until("Soaking")


@pytest.mark.parametrize("replicas", [1, 5])
def test_r21_replicas_that_change_in_mid_rollout_change_both_sides_and_no_weight(world: World, replicas: int) -> None:
    """Breaks if a write to replicas counts as a new version."""
    world.spec = spec("v2")
    world.until_weight(30)
    world.spec = scaled(world.spec, replicas)
    world.run(seconds=2)
    assert [world.workloads[name].replicas for name in (V1, V2)] == [replicas, replicas]
    world.until("Soaking")
    assert shares(world) == [0, 10, 30, 60, 100]


def test_objects_of_a_route_that_disagree_are_written_again_and_are_not_settled(world: World) -> None:
    """Breaks if the highest weights of both, which may be those that are wanted, pass for what each says."""
    world.spec = spec("v2")
    world.until_weight(10)
    assert world.route
    world.route = replace(world.route, agreed=False)
    planned = world.plan()
    assert [action.weights for action in planned.actions if isinstance(action, WriteRoute)] == [{V1: 90, V2: 10}]
    assert [event.reason for event in planned.events] == [Reason.ROUTE_REPAIRED]


def test_missing_kind_at_rest_is_told_and_looked_for(world: World) -> None:
    """Breaks if an endpoint that lacks what the spec asks for passes for ready."""
    world.route_api = False
    planned = world.turn()
    assert world.condition["Ready"] == ("False", "GatewayAPIMissing")
    assert world.condition["Available"] == ("True", "Serving")
    assert planned.requeue_after == 10
    world.route_api = True
    world.run()
    assert world.condition["Ready"] == ("True", "Stable")


def test_kind_that_is_missing_in_mid_rollout_lets_a_bad_candidate_go_all_the_same(world: World) -> None:
    """Breaks if weights are written only where everything that the spec asks for can be."""
    world.spec = spec("v2")
    world.until_weight(30)
    world.route_api = False
    world.kill(V2)
    world.turn()
    assert world.route
    assert world.route.weights == {V1: 100, V2: 0} or world.route.weights == {V1: 100}
    world.until("RolledBack")


def test_postponed_part_of_the_route_is_told_at_rest_and_holds_no_rollout_up(world: World) -> None:
    world.postponed = Problem(Reason.GRPC_NOT_SERVED, "digits-w1 has no port for gRPC", permanent=True)
    world.turn()
    assert world.condition["Ready"] == ("False", "GRPCNotServed")
    world.spec = spec("v2")
    world.until("Soaking")
