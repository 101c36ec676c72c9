"""Objects that share a budget, reconciled one by one: what is written before what, what holds and frees, and what a crash leaves."""

import asyncio
from datetime import timedelta

import pytest

from luntra_operator.controller.fleet import COUNT_RETRY, LOOK_AGAIN, REFRESH
from luntra_operator.kube import kinds
from luntra_operator.kube.errors import ConflictError, UnavailableError
from tests.operator.controller.fake_time import in_fake_time
from tests.operator.controller.fleet_in_memory import GPU, MD, FleetWorld, Killed

ONE, TWO, THREE = ("team-a", "one"), ("team-a", "two"), ("team-a", "three")


@pytest.fixture
async def world() -> FleetWorld:
    """`one` and `two` serve v1 with one unit each, of three."""
    fresh = FleetWorld(3)
    fresh.apply("one", "v1")
    fresh.apply("two", "v1")
    await fresh.fleet.count()
    await fresh.turns()
    assert [fresh.status(key)["phase"] for key in (ONE, TWO)] == ["Stable", "Stable"]
    fresh.kube.writes.clear()
    fresh.woken.clear()
    return fresh


async def until_soaking(world: FleetWorld) -> None:
    """`one` has v2 and keeps v1 warm, `two` waits; `three` units are in use."""
    world.apply("one", "v2")
    world.apply("two", "v2")
    await world.turns(ONE, TWO, times=8)
    assert world.status(ONE)["phase"] == "Soaking"
    assert world.status(TWO)["phase"] == "Preparing"
    await world.turns(ONE, times=1)


async def test_grant_is_recorded_before_anything_is_created_with_it(world: FleetWorld) -> None:
    world.apply("one", "v2")
    await world.reconcile(ONE)
    assert "Deployment" not in [kind for _, kind, _ in world.kube.writes]
    world.kube.writes.clear()
    await world.reconcile(ONE)
    kinds_written = [kind for _, kind, _ in world.kube.writes]
    assert kinds_written.index("ModelDeployment") < kinds_written.index("Deployment")
    grants = {one["workload"]: (one["resource"], one["amount"]) for one in world.status(ONE)["grants"]}
    assert grants == {"one-w1": (GPU, 1), "one-w2": (GPU, 1)}


async def test_last_unit_goes_to_one_and_the_other_says_what_it_waits_for(world: FleetWorld) -> None:
    await until_soaking(world)
    world.now += timedelta(seconds=REFRESH)
    await world.reconcile(TWO)
    assert (
        world.message(TWO) == "two-w2 needs 1 nvidia.com/gpu; 3 of 3 in use, 1 of them held by soaks; 1st of 1 in line"
    )
    assert [one["workload"] for one in world.status(TWO)["waitingFor"]] == ["two-w2"]
    assert ("team-a", "two-w2") not in [
        (one["metadata"]["namespace"], one["metadata"]["name"]) for one in world.objects(kinds.DEPLOYMENT)
    ]


async def test_freed_units_wake_who_waits_when_the_pods_are_gone(world: FleetWorld) -> None:
    """Breaks if the deletion of the Deployment counts, while its pods still hold their devices."""
    world.slow.add("one-w1")
    await until_soaking(world)
    world.now += timedelta(seconds=60)
    world.woken.clear()
    await world.turns(ONE)
    assert world.status(ONE)["phase"] == "Stable"
    assert "one-w1" not in world.kube.names(kinds.DEPLOYMENT)
    assert {one["workload"] for one in world.status(ONE)["grants"]} == {"one-w1", "one-w2"}
    assert (TWO, 0.0) not in world.woken
    world.slow.clear()
    await world.turns(ONE, times=1)
    assert (TWO, 0.0) in world.woken
    await world.turns()
    assert world.status(TWO)["stable"]["version"] == "v2"
    assert world.highest == 3


async def test_replica_set_that_outlives_its_deployment_holds_what_it_may_still_make(world: FleetWorld) -> None:
    """Breaks if no pods were enough: the ReplicaSet that is not collected yet would make some."""
    world.apply("one", "v2")
    await world.reconcile(ONE)
    await world.reconcile(ONE)
    world.play_cluster()
    for pod in [one for one in world.objects(kinds.POD) if one["metadata"]["name"] == "one-w2-0"]:
        world.delete(kinds.POD, pod)
    world.apply("one", "v1")
    for _ in range(9):
        again = await world.reconcile(ONE)
        world.now += timedelta(seconds=10)  # proxies may still send to it for a while
    assert "one-w2" not in world.kube.names(kinds.DEPLOYMENT)
    assert again == LOOK_AGAIN
    assert world.fleet.ledger.used == 3
    world.play_cluster()
    await world.reconcile(ONE)
    assert world.fleet.ledger.used == 2


@pytest.mark.parametrize("failure", [ConflictError("modified"), UnavailableError("no answer")])
async def test_reservation_whose_record_fails_is_kept_for_its_object_alone(
    world: FleetWorld, failure: Exception
) -> None:
    world.apply("one", "v2")
    world.apply("two", "v2")
    await world.reconcile(ONE)
    await world.reconcile(TWO)
    world.kube.failures["replace_status", MD] = failure  # type: ignore[assignment]
    if isinstance(failure, ConflictError):
        await world.reconcile(ONE)
    else:
        with pytest.raises(UnavailableError):
            await world.reconcile(ONE)
    world.kube.failures.clear()
    await world.reconcile(TWO)
    assert world.status(TWO)["waitingFor"]
    await world.reconcile(ONE)
    assert "one-w2" in world.kube.names(kinds.DEPLOYMENT)


async def test_recorded_grant_is_its_objects_own_whatever_becomes_of_the_operator(world: FleetWorld) -> None:
    """Breaks if only live objects count: what was sent before the crash may still arrive."""
    world.apply("one", "v2")
    await world.reconcile(ONE)
    world.kube.failures["apply", kinds.DEPLOYMENT] = UnavailableError("no answer")
    with pytest.raises(UnavailableError):
        await world.reconcile(ONE)
    recorded = world.status(ONE)["grants"]
    with pytest.raises(UnavailableError):
        await world.reconcile(ONE)
    assert world.status(ONE)["grants"] == recorded
    world.start()
    await world.fleet.count()
    world.apply("two", "v2")
    await world.turns(TWO, times=3)
    assert world.status(TWO)["waitingFor"]
    world.kube.failures.clear()
    await world.reconcile(ONE)
    assert "one-w2" in world.kube.names(kinds.DEPLOYMENT)
    assert world.status(ONE)["grants"] == recorded


async def test_reservation_that_is_not_wanted_any_more_is_given_back(world: FleetWorld) -> None:
    world.apply("one", "v2")
    await world.reconcile(ONE)
    world.kube.failures["replace_status", MD] = ConflictError("modified")
    await world.reconcile(ONE)
    assert world.fleet.ledger.used == 3
    world.kube.failures.clear()
    world.apply("one", "v1")
    await world.reconcile(ONE)
    assert world.fleet.ledger.used == 2


async def test_deleted_waiter_leaves_the_line_and_a_deleted_holder_frees_when_its_pods_are_gone(
    world: FleetWorld,
) -> None:
    await until_soaking(world)
    world.apply("three", "v1")
    await world.turns(THREE, times=3)
    assert world.message(THREE).endswith("2nd of 2 in line")
    world.delete(MD, world.kube.peek(MD, "two"))
    await world.reconcile(TWO)
    world.now += timedelta(seconds=REFRESH)
    await world.reconcile(THREE)
    assert world.message(THREE).endswith("1st of 1 in line")
    world.slow.add("two-w1")
    for body in [one for one in world.objects(kinds.DEPLOYMENT) if one["metadata"]["name"] == "two-w1"]:
        world.delete(kinds.DEPLOYMENT, body)
    world.play_cluster()
    world.woken.clear()
    assert await world.reconcile(TWO) is None
    assert (THREE, 0.0) not in world.woken
    world.slow.clear()
    world.play_cluster()
    await world.reconcile(TWO)
    assert (THREE, 0.0) in world.woken
    assert TWO not in world.fleet.ledger.accounts


async def test_who_waits_says_anew_where_it_stands_but_not_all_the_time(world: FleetWorld) -> None:
    await until_soaking(world)
    world.woken.clear()
    world.apply("three", "v1")
    await world.turns(THREE, times=3)
    assert set(world.woken) == {(TWO, REFRESH)}


async def test_object_that_cannot_be_read_asks_for_nothing(world: FleetWorld) -> None:
    await until_soaking(world)
    body = world.kube.peek(MD, "two")
    world.kube.put(MD, {**body, "spec": {**body["spec"], "replicas": -1}})
    assert await world.reconcile(TWO) is None
    assert world.fleet.ledger.waiting == frozenset()


async def test_need_is_that_of_the_stored_revision_with_its_pod_template(world: FleetWorld) -> None:
    body = world.kube.peek(MD, "one")
    template = {"spec": {"containers": [{"name": "helper", "image": "x", "resources": {"limits": {GPU: 1}}}]}}
    body["spec"]["serving"]["podTemplate"] = template
    world.kube.put(MD, body)
    await world.turns(ONE, times=3)
    assert [(one["workload"], one["amount"]) for one in world.status(ONE)["waitingFor"]] == [("one-w2", 2)]


async def test_growth_waits_and_comes_pod_by_pod(world: FleetWorld) -> None:
    world.apply("one", "v1", replicas=3)
    await world.turns(ONE, times=3)
    assert world.kube.peek(kinds.DEPLOYMENT, "one-w1")["spec"]["replicas"] == 2
    assert "needs 1 nvidia.com/gpu" in world.message(ONE)
    world.apply("two", "v1", replicas=0)
    await world.turns()
    assert world.kube.peek(kinds.DEPLOYMENT, "one-w1")["spec"]["replicas"] == 3
    assert world.highest == 3


async def test_return_to_the_warm_version_needs_no_grant(world: FleetWorld) -> None:
    await until_soaking(world)
    world.apply("one", "v1")
    await world.reconcile(ONE)
    assert world.kube.peek(kinds.SERVICE, "one")["spec"]["selector"] == {"luntra.io/workload": "one-w1"}


@pytest.fixture
async def eight_of_nine() -> FleetWorld:
    """Two objects that hold four units each."""
    world = FleetWorld(9)
    world.apply("one", "v1", units=4)
    world.apply("two", "v1", units=4)
    await world.fleet.count()
    await world.turns()
    return world


async def test_what_ran_before_the_budget_counts_and_is_left_alone(eight_of_nine: FleetWorld) -> None:
    world = eight_of_nine
    world.budget = FleetWorld(6).budget
    world.start()
    await world.fleet.count()
    world.apply("three", "v1")
    await world.turns()
    assert world.kube.names(kinds.DEPLOYMENT) == ["one-w1", "two-w1"]
    assert "8 of 6 in use" in world.message(THREE)


async def test_budget_that_was_lowered_is_told_to_all_who_hold_too_much_until_they_do_not(
    eight_of_nine: FleetWorld,
) -> None:
    """Breaks if only the operator's log says so, if a restart makes it come and go, or if nobody is woken when it is over."""
    world = eight_of_nine
    assert world.over(ONE) == {}
    world.budget = FleetWorld(7).budget
    world.start()
    await world.fleet.count()
    assert {key for key, _ in world.woken} == {ONE, TWO}
    await world.turns(times=1)
    for key in (ONE, TWO):
        assert (
            "accelerators.total is 7, but versions that stay hold 8 nvidia.com/gpu, 4 of them"
            in world.over(key)["message"]
        )
        assert world.message(key) == "v1 serves with 1 pods"
    before = world.over(ONE)
    world.start()
    await world.turns(times=1)
    assert world.over(ONE) == before, "it is not known to be over before all is counted"
    await world.fleet.count()
    world.woken.clear()
    world.apply("two", "v1", units=4, replicas=0)
    await world.turns(TWO, times=3)
    assert (ONE, REFRESH) in world.woken
    await world.turns(ONE, times=1)
    assert (world.over(ONE), world.over(TWO)) == ({}, {})


async def test_nothing_is_granted_until_the_count_which_is_tried_again() -> None:
    world = FleetWorld(2)
    world.apply("one", "v1")
    await world.turns(times=3)
    assert "being counted" in world.message(ONE)
    assert world.kube.names(kinds.DEPLOYMENT) == []


def test_count_that_fails_is_tried_until_it_succeeds(caplog: pytest.LogCaptureFixture) -> None:
    world = FleetWorld(2)
    world.kube.failures["list", kinds.REPLICA_SET] = UnavailableError("no answer")

    async def story() -> None:
        counting = asyncio.create_task(world.fleet.count())
        await asyncio.sleep(COUNT_RETRY * 3)
        assert not world.fleet.ledger.counted
        world.kube.failures.clear()
        await counting

    in_fake_time(story())
    assert world.fleet.ledger.counted
    assert "nothing is granted before" in caplog.text


async def test_what_cannot_be_looked_at_counts_as_held_and_holds_up_nothing(world: FleetWorld) -> None:
    """Breaks if a rollback had to wait for the API server to list ReplicaSets."""
    await until_soaking(world)
    world.kube.failures["list", kinds.REPLICA_SET] = UnavailableError("no answer")
    world.now += timedelta(seconds=60)
    await world.turns(ONE)
    assert world.status(ONE)["phase"] == "Stable"
    assert world.fleet.ledger.used == 3
    assert await world.reconcile(ONE) == COUNT_RETRY


THREE_OBJECTS = ("one", "two", "three")


async def changed_at_once(
    cut: tuple[int, bool] | None, names: tuple[str, ...] = THREE_OBJECTS, spare: int = 1
) -> FleetWorld:
    """Objects change at once with room for some more units; the operator may be killed at one of its writes."""
    world = FleetWorld(len(names) + spare)
    for name in names:
        world.apply(name, "v1")
    await world.fleet.count()
    await world.turns(times=8)
    for name in names:
        world.apply(name, "v2", soak="1s")
    world.kube.count, world.kube.cut = 0, cut
    for _ in range(60):
        try:
            await world.turns(times=1)
        except Killed:
            world.kube.cut = None
            world.start()
            await world.fleet.count()
        if finished(world):
            break
    return world


def finished(world: FleetWorld) -> bool:
    statuses = [one["status"] for one in world.objects(MD)]
    return all(one["phase"] == "Stable" and one["stable"]["version"] == "v2" for one in statuses)


async def test_all_finish_within_the_budget() -> None:
    world = await changed_at_once(None)
    assert finished(world)
    await world.turns(times=1)
    assert (world.highest, world.fleet.ledger.used) == (4, 3)
    assert 60 < world.kube.count < 110


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("write", range(1, 100, 4))
async def test_all_finish_within_the_budget_wherever_the_operator_is_killed(write: int, after: bool) -> None:
    """Breaks if a grant is used before it is recorded, or one that is recorded is forgotten."""
    world = await changed_at_once((write, after))
    assert finished(world)
    assert world.highest == 4


async def test_twenty_that_change_at_once_finish_within_the_budget_though_the_operator_is_killed() -> None:
    world = await changed_at_once((200, True), tuple(f"model-{number}" for number in range(20)), spare=6)
    assert finished(world)
    assert world.highest == 26
