"""Guards of the operator, each with a way to break it: a simulation that does not notice proves nothing.

They are broken from outside, in this process alone; the operator has no switch for it.
"""

from collections.abc import Mapping
from typing import Any
from unittest.mock import patch

from luntra_operator.controller.execute import Executor
from luntra_operator.controller.reconcile import Reconciler
from luntra_operator.rollout import converge, parking, shift
from luntra_operator.rollout import plan as plan_module
from luntra_operator.rollout.actions import DeleteWorkload
from luntra_operator.rollout.plan import plan
from luntra_operator.rollout.turn import Turn
from luntra_operator.traffic.gateway_api import OwnedRoute

from .story import Outcome, tell

SEEDS = 200
"""Within so many seeds each broken guard must be found."""


async def _acts_before_it_writes_the_status(self: Reconciler, key: Any, owner: Any, status: Any) -> float | None:
    spec, children, turn = await self._look(owner, status)
    planned = plan(await self._ask_data_plane(owner, turn))
    executor = Executor(self._kube, self._images, owner, spec, children, planned.status.attempt, self._keys())
    await executor.run(planned.actions)
    await self._write_status(key, owner, status, planned.status)
    return planned.requeue_after


def _unneeded(turn: Turn) -> list[DeleteWorkload]:
    versions = (turn.status.stable, turn.status.candidate, turn.status.previous)
    needed = {version.workload for version in versions if version}
    return [DeleteWorkload(name) for name in sorted(turn.seen.workloads) if name not in needed]


_patched = OwnedRoute.patch


def _without_test(*arguments: Any) -> list[dict[str, Any]]:
    return [operation for operation in _patched(*arguments) if operation["op"] != "test"]


GUARDS: Mapping[str, tuple[Any, str, Any]] = {
    "status-first": (Reconciler, "_turn", _acts_before_it_writes_the_status),
    "hold": (shift, "hold", lambda *_: 0.0),
    "leftovers-wait": (converge, "_leftovers", _unneeded),
    "resource-version": (OwnedRoute, "patch", _without_test),
    "traffic-to-the-living": (converge, "_safe", lambda *_: True),
    "parked-first": (OwnedRoute, "parking", lambda *_: []),
    "parked-until-followed": (parking, "_remaining", lambda *_: 0.0),
    "held-first": (plan_module, "held_first", lambda _, actions: actions),
}
"""What is put in place of each guard.

status-first: a decision is written before it is acted on. hold: each weight lasts. leftovers-wait: a workload goes only when no
route names it and the gateway knows. resource-version: a route is written as it was read. traffic-to-the-living: traffic that is
served is never left to versions that cannot. parked-first, parked-until-followed: a route loses its requests before it is deleted,
and the gateway knows. held-first: nothing is lent before the object's deletion waits for it.
"""


def told_without(guard: str, seed: int) -> Outcome:
    """The story of a seed with that guard broken."""
    with patch.object(*GUARDS[guard]):
        return tell(seed)


def first_found(guard: str, seeds: range) -> Outcome | None:
    """The first story that goes wrong for want of the guard, and not so with it."""
    for seed in seeds:
        outcome = told_without(guard, seed)
        if outcome.violated and outcome.violated != tell(seed).violated:
            return outcome
    return None
