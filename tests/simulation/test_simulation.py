"""The whole controller in a simulated world: many seeds end well, each replays exactly, and a broken guard is found."""

import json
from collections.abc import Mapping
from typing import Any

import pytest

from luntra_operator.controller.execute import Executor
from luntra_operator.controller.observe import read_children, snapshot
from luntra_operator.controller.reconcile import Reconciler
from luntra_operator.rollout import converge, shift
from luntra_operator.rollout.actions import DeleteWorkload
from luntra_operator.rollout.plan import plan
from luntra_operator.rollout.turn import Turn
from tests.operator.controller.fake_time import in_fake_time

from .story import Story, tell

BATCHES, SEEDS = 6, 100


@pytest.mark.parametrize("batch", range(BATCHES))
def test_every_story_ends_well(batch: int) -> None:
    for seed in range(batch * SEEDS, (batch + 1) * SEEDS):
        outcome = tell(seed)
        assert outcome.violated is None, f"{outcome.violated}; replay: python -m tests.simulation --seed {seed}"


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_same_seed_tells_the_same_story(seed: int) -> None:
    assert tell(seed).trace.lines() == tell(seed).trace.lines()


def test_nobody_changes_what_is_stored() -> None:
    """The simulated API server makes no copies: whoever changed an object in place would change history."""

    async def story() -> None:
        told, stored = Story(4), []
        told.server.listeners.append(lambda write: stored.append((write.after, json.dumps(write.after))))
        assert (await told.told()).violated is None
        assert stored
        assert [body for body, text in stored if json.dumps(body) != text] == []

    in_fake_time(story())


async def _acts_before_it_writes_the_status(
    self: Reconciler, key: Any, owner: Any, declared: Any, status: Any
) -> float | None:
    children = await read_children(self._kube, owner, declared.spec)
    turn = Turn(declared.spec, status, snapshot(owner, declared, status, children), declared.revision, self._clock())
    planned = plan(await self._ask_data_plane(owner, turn))
    await Executor(self._kube, self._images, owner, declared.spec, children, planned.status.attempt).run(
        planned.actions
    )
    await self._write_status(key, owner, status, planned.status)
    return planned.requeue_after


def _unneeded(turn: Turn) -> list[DeleteWorkload]:
    versions = (turn.status.stable, turn.status.candidate, turn.status.previous)
    needed = {version.workload for version in versions if version}
    return [DeleteWorkload(name) for name in sorted(turn.seen.workloads) if name not in needed]


GUARDS: Mapping[str, tuple[Any, str, Any]] = {
    "each weight is held": (shift, "hold", lambda *_: 0.0),
    "the status is written first": (Reconciler, "_turn", _acts_before_it_writes_the_status),
    "a workload goes only when no route names it": (converge, "_leftovers", _unneeded),
}


@pytest.mark.parametrize("guard", GUARDS)
def test_broken_guard_is_found(guard: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(*GUARDS[guard])
    assert any(tell(seed).violated for seed in range(SEEDS)), f"nobody notices without this: {guard}"
