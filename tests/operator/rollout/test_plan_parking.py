"""A route that the spec names no more: parked first, deleted when the gateway has followed, or nobody reads it for long."""

from dataclasses import replace
from datetime import timedelta

import pytest

from luntra_operator.rollout.actions import DeleteRoute, ParkRoute
from tests.operator.rollout.conftest import World, spec


@pytest.fixture
def parked(world: World) -> World:
    """A world whose route was parked this moment, by a controller that has not read it."""
    world.following = False
    world.spec = world.spec.model_copy(update={"traffic": None})
    actions = world.turn().actions
    assert [action for action in actions if isinstance(action, ParkRoute | DeleteRoute)] == [ParkRoute()]
    assert world.parked
    return world


def lasts(world: World, limit: int = 120) -> float:
    """Seconds until the parked route is deleted; the engine wakes itself."""
    begin = world.now
    while world.parked is not None:
        assert (world.now - begin).total_seconds() < limit, "the parked route stays"
        planned = world.turn()
        assert planned.requeue_after is not None
        assert planned.requeue_after > 0 or world.parked is None
        world.now += timedelta(seconds=planned.requeue_after if world.parked else 0)
    return (world.now - begin).total_seconds()


def read(world: World) -> None:
    assert world.parked
    world.parked = replace(world.parked, read=True)


def test_route_is_deleted_once_it_was_read_and_proxies_had_time(parked: World) -> None:
    parked.turn()
    parked.now += timedelta(seconds=20)
    read(parked)
    assert lasts(parked) == 5
    assert parked.status.parked is not None
    parked.turn()
    assert parked.status.parked is None


def test_route_that_nobody_reads_is_deleted_after_a_minute(parked: World) -> None:
    """Breaks if a Gateway that is gone, perhaps the reason of the change, keeps the route for ever."""
    assert lasts(parked) == 60


def test_other_route_that_is_parked_meanwhile_gets_its_own_time(parked: World) -> None:
    read(parked)
    parked.turn()
    parked.now += timedelta(seconds=4)
    assert parked.parked
    parked.parked = replace(parked.parked, routes=frozenset({"HTTPRoute", "GRPCRoute"}))
    parked.turn()
    assert lasts(parked) == 5


def test_lost_status_begins_the_wait_anew(parked: World) -> None:
    read(parked)
    parked.turn()
    parked.now += timedelta(seconds=4)
    parked.status = parked.status.model_copy(update={"parked": None})
    assert lasts(parked) == 5


def test_paused_object_keeps_its_parked_route(parked: World) -> None:
    read(parked)
    parked.turn()
    parked.now += timedelta(hours=1)
    parked.spec = spec(paused=True).model_copy(update={"traffic": None})
    parked.turn()
    assert parked.parked


def test_workload_that_a_parked_route_names_stays_until_that_is_gone(parked: World) -> None:
    """Breaks if a gateway that has not read of the parking still sends requests to pods that go."""
    assert parked.parked
    parked.workloads["digits-w0"] = parked.workloads["digits-w1"]
    parked.revision_of["digits-w0"] = parked.revision_of["digits-w1"]
    parked.parked = replace(parked.parked, named=frozenset({"digits-w0", "digits-w1"}))
    parked.turn()
    assert "digits-w0" in parked.workloads
    lasts(parked)
    parked.turn()
    assert "digits-w0" not in parked.workloads


def test_version_that_a_parked_route_led_to_outlives_what_proxies_know(parked: World) -> None:
    """Breaks if what nobody needs goes when the controller has read the parked route, and not its proxies; found by the simulation."""
    parked.workloads["digits-w9"] = replace(parked.workloads["digits-w1"], name="digits-w9")
    parked.run(seconds=20)
    assert "digits-w9" in parked.workloads
    read(parked)
    parked.run(seconds=4)
    assert "digits-w9" in parked.workloads
    parked.run(seconds=2)
    assert "digits-w9" not in parked.workloads
