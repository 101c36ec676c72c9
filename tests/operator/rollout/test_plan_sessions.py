"""`traffic.session` where what divides the traffic cannot keep sessions: no weight is raised, and what serves goes on."""

from datetime import timedelta

import pytest

from luntra_operator.api.vocabulary import Phase, Reason
from luntra_operator.rollout.observed import Intents, Problem
from tests.operator.rollout.conftest import World, spec

UNKEPT = Problem(Reason.SESSIONS_NOT_KEPT, "traffic.session: HTTPRoute cannot keep a session", permanent=True)
V1, V2 = "digits-w1", "digits-w2"


def refused(world: World) -> bool:
    return world.condition["Ready"] == ("False", "SessionsNotKept")


def test_no_rollout_begins(world: World) -> None:
    """Breaks if a candidate is started, or the refusal goes unsaid at rest."""
    world.unkept = UNKEPT
    world.run(60)
    assert refused(world)
    world.spec = spec("v2")
    world.run(600)
    assert refused(world)
    assert world.condition["Stalled"] == ("True", "SessionsNotKept")
    assert world.condition["Available"] == ("True", "Serving")
    assert set(world.workloads) == {V1}
    assert world.weights == []


def test_first_version_is_not_begun_either() -> None:
    world = World(unkept=UNKEPT)
    world.run(60)
    assert refused(world)
    assert world.workloads == {}
    world.unkept = None
    world.until("Stable")


def test_what_serves_is_looked_after(world: World) -> None:
    """Breaks if the refusal stops the operator as spec.rollout.paused does."""
    world.unkept = UNKEPT
    world.run()
    world.frame = "other"
    world.run(60)
    assert world.route
    assert world.route.frame == "other"


@pytest.mark.parametrize("approval", ["Never", "BeforeTraffic"])
def test_candidate_under_way_gets_no_traffic(world: World, approval: str) -> None:
    """Breaks if only the beginning of a rollout is guarded."""
    world.spec = spec("v2", approval=approval)
    world.turn()
    world.unkept = UNKEPT
    world.intents = Intents(approve="v2")
    world.run(300, turns=1000)
    assert refused(world)
    assert not any(V2 in weights for weights in world.weights)
    world.unkept = None
    world.until("Soaking")


def test_session_added_in_mid_run_holds_the_weight_until_it_is_gone(world: World) -> None:
    """Breaks if the edit takes a good candidate back, or lets its share grow."""
    world.spec = spec("v2")
    world.until_weight(10)
    world.unkept = UNKEPT
    world.run(3000, turns=1000)
    assert refused(world)
    assert world.weights[-1] == {V1: 90, V2: 10}
    world.unkept = None
    world.until("Soaking")
    assert [weights[V2] for weights in world.weights if V2 in weights] == [0, 10, 30, 60, 100]


def test_candidate_that_fails_while_it_is_held_is_taken_back(world: World) -> None:
    world.spec = spec("v2")
    world.until_weight(30)
    world.unkept = UNKEPT
    world.run(60)
    world.kill(V2)
    world.until("RolledBack")
    assert world.weights[-1] == {V1: 100}


def test_candidate_with_all_traffic_is_promoted(world: World) -> None:
    """Nothing is divided any more."""
    world.spec = spec("v2")
    world.until_weight(60)
    while world.status.step is None or world.status.step.weight < 100:
        world.now += timedelta(seconds=1)
        world.turn()
    world.unkept = UNKEPT
    world.until("Stable")
    assert world.status.history[0].version == "v2"
    assert refused(world)


def test_candidate_that_the_gateway_has_just_learned_of_gets_no_first_share(world: World) -> None:
    world.spec = spec("v2")
    while world.status.phase is not Phase.SHIFTING:
        world.turn()
    world.unkept = UNKEPT
    world.run(60)
    assert refused(world)
    assert world.weights[-1] == {V1: 100, V2: 0}
