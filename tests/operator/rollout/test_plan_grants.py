"""A rollout under a budget of accelerators: what waits for a grant, what never does, and what users are told meanwhile."""

from dataclasses import replace
from datetime import timedelta

import pytest

from luntra_operator.api.status import GrantStatus
from luntra_operator.api.vocabulary import Reason
from luntra_operator.rollout import actions
from luntra_operator.rollout.conditions import refused
from luntra_operator.rollout.observed import Grants, Problem
from tests.operator.rollout.conftest import START, World, spec

V1, V2 = "digits-w1", "digits-w2"
SHORT = Problem(Reason.AWAITING_ACCELERATORS, f"{V2} needs 2 nvidia.com/gpu; 16 of 16 in use; 1st of 1 in line")
NEVER = Problem(Reason.ACCELERATORS_EXCEEDED, f"{V2} needs 20 nvidia.com/gpu, but there are 16 in all", permanent=True)


def grant(workload: str, seconds: float = 0, amount: int = 2) -> GrantStatus:
    return GrantStatus(
        workload=workload, resource="nvidia.com/gpu", amount=amount, since=START + timedelta(seconds=seconds)
    )


@pytest.fixture
def budgeted(world: World) -> World:
    """v1 is stable and holds what it needs; nothing more is granted."""
    world.grants = Grants({V1: 2}, held=(grant(V1),), asked=(grant(V2),), waiting=SHORT)
    return world


@pytest.fixture
def waiting(budgeted: World) -> World:
    """v2 waits for its grant."""
    budgeted.spec = spec("v2")
    budgeted.run()
    return budgeted


def granted(world: World) -> None:
    """The line has been served: v2 may have its pods from now on."""
    since = (world.now - START).total_seconds()
    world.grants = Grants({V1: 2, V2: 2}, held=(grant(V1), grant(V2, since)))


def test_candidate_is_recorded_and_nothing_of_it_is_made_before_its_grant(waiting: World) -> None:
    """Breaks if the workload is created in the turn that decides on it, of which the budget knows nothing yet."""
    assert (waiting.status.phase, sorted(waiting.workloads)) == ("Preparing", [V1])
    assert waiting.status.candidate
    assert waiting.status.candidate.workload == V2
    assert waiting.condition["Ready"] == ("False", "AwaitingAccelerators")
    assert waiting.condition["Reconciling"] == ("True", "AwaitingAccelerators")
    assert waiting.condition["Stalled"][0] == "False"
    assert waiting.condition["Available"] == ("True", "Serving")
    assert waiting.status.conditions[0].message == SHORT.message
    assert waiting.status.waiting_for == [grant(V2)]


def test_who_waits_is_not_looked_at_before_somebody_wakes_it(waiting: World) -> None:
    planned = waiting.turn()
    assert (planned.requeue_after, planned.actions) == (None, ())


def test_revision_is_stored_before_the_grant_which_is_counted_from_it(waiting: World) -> None:
    assert waiting.status.candidate
    assert waiting.status.candidate.revision in waiting.revisions


def test_without_a_stored_revision_it_is_looked_again_at_once(waiting: World) -> None:
    """Breaks if a crash before the revision is stored left an object that asks for nothing and that nobody wakes."""
    waiting.grants = Grants({V1: 2})
    assert waiting.status.candidate
    waiting.revisions.remove(waiting.status.candidate.revision)
    planned = waiting.turn()
    assert planned.requeue_after == 0.1
    assert planned.actions == (actions.KeepRevision(waiting.status.candidate.revision),)


def test_granted_candidate_rolls_out_and_its_grant_is_in_the_status_that_is_written_first(waiting: World) -> None:
    granted(waiting)
    planned = waiting.plan()
    assert [one.workload for one in planned.status.grants] == [V1, V2]
    assert planned.status.waiting_for == []
    assert any(isinstance(action, actions.CreateWorkload) for action in planned.actions)
    waiting.until("Soaking")


@pytest.mark.parametrize("hours", [0, 5])
def test_deadline_counts_from_the_grant(waiting: World, hours: int) -> None:
    """Breaks if the wait for a grant counts as not being ready."""
    waiting.versions["x"] = "v2"
    waiting.broken["v2"] = Problem(Reason.PODS_NOT_READY, "starting")
    waiting.now += timedelta(hours=hours)
    waiting.run()
    assert waiting.status.phase == "Preparing"
    granted(waiting)
    waiting.run(seconds=119)
    assert waiting.status.phase == "Preparing"
    waiting.run(seconds=2)
    assert waiting.status.rejected_reason == "DeadlineExceeded"


def test_what_never_fits_is_stalled_and_not_refused(budgeted: World) -> None:
    budgeted.grants = replace(budgeted.grants, waiting=NEVER)
    budgeted.spec = spec("v2")
    budgeted.run(seconds=3600)
    assert budgeted.status.phase == "Preparing"
    assert budgeted.condition["Stalled"] == ("True", "AcceleratorsExceeded")
    assert budgeted.condition["Reconciling"][0] == "False"
    assert budgeted.status.conditions[2].message == NEVER.message


def test_superseded_waiter_makes_room_for_the_next_version_at_once(waiting: World) -> None:
    waiting.spec = spec("v3")
    waiting.run()
    assert waiting.status.candidate
    assert waiting.status.candidate.version == "v3"
    assert sorted(waiting.workloads) == [V1]


def test_waiter_whose_spec_names_the_stable_version_again_is_at_rest(waiting: World) -> None:
    waiting.spec = spec("v1")
    waiting.grants = Grants({V1: 2}, held=(grant(V1),))
    waiting.run()
    assert (waiting.status.phase, waiting.status.candidate) == ("Stable", None)
    assert waiting.condition["Ready"] == ("True", "Stable")


def test_return_to_warm_pods_waits_for_nothing(waiting: World) -> None:
    """Breaks if a rollback asks for what the warm version has."""
    granted(waiting)
    waiting.until("Soaking")
    waiting.grants = Grants({V1: 0, V2: 2}, waiting=SHORT)
    waiting.kill(V2)
    waiting.run()
    assert waiting.weights[-1] == {V1: 100}


@pytest.mark.parametrize("phase", ["Shifting", "Soaking", "Stable"])
def test_growth_waits_without_holding_anything_else_back(waiting: World, phase: str) -> None:
    """Breaks if a rollout under way, whose pods hold what growth waits for, waits for that growth."""
    granted(waiting)
    waiting.until(phase)
    waiting.spec = waiting.spec.model_copy(update={"replicas": 5})
    waiting.grants = replace(waiting.grants, waiting=SHORT)
    waiting.until("Stable")
    assert waiting.workloads[V2].replicas == 2
    assert waiting.status.stable
    assert waiting.status.stable.version == "v2"
    assert waiting.condition["Ready"] == ("False", "AwaitingAccelerators")
    assert waiting.status.conditions[0].message == f"2 of 5 pods of v2 are ready; {SHORT.message}"
    waiting.grants = Grants({V2: 4}, waiting=SHORT)
    waiting.run()
    assert waiting.workloads[V2].replicas == 4
    waiting.grants = Grants({V2: 5})
    waiting.run()
    assert (waiting.workloads[V2].replicas, waiting.condition["Ready"][1]) == (5, "Stable")


def test_fewer_replicas_wait_for_nothing(budgeted: World) -> None:
    budgeted.spec = budgeted.spec.model_copy(update={"replicas": 1})
    budgeted.run()
    assert budgeted.workloads[V1].replicas == 1


@pytest.mark.parametrize("pods", [{}, {V1: 0}, {V1: 1}])
def test_what_runs_is_never_touched(world: World, pods: dict[str, int]) -> None:
    """Breaks if a budget that comes late, or is lowered, or an object without a status, scaled a serving version down."""
    world.grants = Grants(pods)
    world.run()
    assert world.workloads[V1].replicas == 2
    world.status = type(world.status)()
    world.run()
    assert (world.status.phase, world.workloads[V1].replicas) == ("Stable", 2)


def test_paused_object_that_waits_says_that_it_is_paused(waiting: World) -> None:
    waiting.spec = spec("v2", paused=True)
    waiting.run()
    assert waiting.condition["Stalled"] == ("True", "Paused")


def test_more_than_the_budget_is_said_beside_a_version_that_serves_well(world: World) -> None:
    """Breaks if a lower budget makes a healthy object look ill, or says nothing at all."""
    world.grants = Grants({V1: 2}, held=(grant(V1),), excess="accelerators.total is 1, but …")
    world.run()
    assert world.condition["OverBudget"] == ("True", "AcceleratorsExceeded")
    assert world.condition["Ready"] == ("True", "Stable")
    assert world.condition["Stalled"][0] == "False"
    told = next(one for one in world.status.conditions if one.type == "OverBudget")
    assert told.message == "accelerators.total is 1, but …"
    refusal = refused(world.status.conditions, 1, Reason.QUOTA_EXCEEDED, "no", world.now)
    assert told in refusal
    world.grants = Grants({V1: 2}, held=(grant(V1),))
    world.run()
    assert "OverBudget" not in world.condition
