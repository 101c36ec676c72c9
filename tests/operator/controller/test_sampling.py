"""Looks beside the queue: in their own rhythm, waking it only for what is new, never outliving what they are for."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
import pytest_asyncio

from luntra_operator.api.spec import ModelDeploymentSpec
from luntra_operator.api.status import ModelDeploymentStatus, Verdict, VersionStatus
from luntra_operator.controller.queue import Key, Priority
from luntra_operator.controller.sampling import Sampling, Trial
from luntra_operator.rollout.observed import Judgement

KEY = ("team-a", "digits")
SPEC = {
    "model": {"version": "v2", "uri": "file:///m", "digest": "sha256:" + "a" * 64},
    "rollout": {"analysis": {"metrics": [{"name": "errors", "errorRate": {}, "max": 0.05}]}},
}


def trial(workload: str = "digits-w2", attempt: int = 1, **analysis: object) -> Trial:
    spec = {**SPEC, "rollout": {"analysis": {**SPEC["rollout"]["analysis"], **analysis}}}  # type: ignore[index]
    candidate = VersionStatus(revision="r2", version="v2", digest="sha256:2", workload=workload)
    status = ModelDeploymentStatus(attempt=attempt, candidate=candidate)
    return Trial("uid", *KEY, ModelDeploymentSpec.model_validate(spec), status)


class Scripted:
    """Says one verdict after the other, the last one for ever."""

    interval = 0.001

    def __init__(self, *script: Verdict | Exception) -> None:
        self.script, self.looks, self.looked = list(script), 0, asyncio.Event()
        self.judgements = (Judgement("errors", "NoData", "no look yet"),)
        self.seen: list[Trial] = []

    def see(self, now: Trial) -> None:
        self.seen.append(now)

    async def look(self) -> None:
        self.looks += 1
        self.looked.set()
        said = self.script.pop(0) if len(self.script) > 1 else self.script[0]
        if isinstance(said, Exception):
            raise said
        self.judgements = (Judgement("errors", said, said),)


class World:
    """Judges by name of the workload, and what the queue was told."""

    def __init__(self) -> None:
        self.judges: dict[str, Scripted] = {}
        self.made: list[str] = []
        self.woken: list[Priority] = []
        self.sampling = Sampling(self.judge, self.wake)

    def judge(self, now: Trial) -> list[Scripted]:
        assert now.subject is not None
        self.made.append(now.subject.workload)
        return [self.judges[now.subject.workload]] if now.subject.workload in self.judges else []

    def wake(self, key: Key, priority: Priority) -> None:
        assert key == KEY
        self.woken.append(priority)

    def ask(self, now: Trial | None = None) -> list[Verdict]:
        return [one.verdict for one in self.sampling.judgements(KEY, now or trial())]

    async def looked(self, judge: Scripted, times: int) -> None:
        async with asyncio.timeout(10):
            while judge.looks < times:
                judge.looked.clear()
                await judge.looked.wait()


@pytest_asyncio.fixture
async def world() -> AsyncIterator[World]:
    world = World()
    yield world
    world.sampling.close()


async def test_nothing_is_known_before_the_first_look(world: World) -> None:
    """Breaks if a candidate goes on because nobody has looked yet."""
    world.judges["digits-w2"] = Scripted("Pass")
    assert world.ask() == ["NoData"]


async def test_a_verdict_wakes_the_queue_once_and_a_fail_at_once(world: World) -> None:
    judge = world.judges["digits-w2"] = Scripted("Pass", "Pass", "Pass", "Fail")
    world.ask()
    await world.looked(judge, 8)
    assert world.woken == [Priority.NORMAL, Priority.URGENT]
    assert world.ask() == ["Fail"]


async def test_a_trial_goes_on_from_turn_to_turn_and_hears_of_each(world: World) -> None:
    judge = world.judges["digits-w2"] = Scripted("Pass")
    now = trial()
    for _ in range(3):
        world.ask(now)
    assert world.made == ["digits-w2"]
    assert judge.seen == [now] * 3


@pytest.mark.parametrize(
    "after", [trial("digits-w3"), trial(attempt=2), replace(trial(), uid="another"), trial(interval="1s")]
)
async def test_another_candidate_attempt_object_or_declaration_begins_from_nothing(world: World, after: Trial) -> None:
    """Breaks if the evidence against one version is held against another."""
    first = world.judges["digits-w2"] = world.judges["digits-w3"] = Scripted("Fail")
    world.ask()
    await world.looked(first, 2)
    world.judges["digits-w2"] = world.judges["digits-w3"] = Scripted("Pass")
    assert world.ask(after) == ["NoData"]
    looks = first.looks
    await world.looked(world.judges["digits-w2"], 5)
    assert first.looks <= looks + 1


async def test_whoever_declares_nothing_is_not_looked_at(world: World) -> None:
    assert world.ask() == []
    assert world.sampling.keys == set()


async def test_nobody_is_looked_at_who_is_left(world: World) -> None:
    judge = world.judges["digits-w2"] = Scripted("Pass")
    world.ask()
    assert world.sampling.keys == {KEY}
    await world.looked(judge, 1)
    world.sampling.leave(KEY)
    looks = judge.looks
    await asyncio.sleep(0)
    assert (judge.looks, world.sampling.keys) == (looks, set())


async def test_a_defect_is_an_error_and_ends_no_looks(world: World, caplog: pytest.LogCaptureFixture) -> None:
    """Breaks if the last verdict stands while nobody looks any more."""
    judge = world.judges["digits-w2"] = Scripted("Pass", ZeroDivisionError("1/0"), "Pass", "Pass")
    world.ask()
    await world.looked(judge, 2)
    seen = []
    async with asyncio.timeout(10):
        while judge.looks < 4:
            seen += world.ask()
            await asyncio.sleep(0)
    assert "Error" in seen
    assert "could not be judged" in caplog.text
    assert len(world.woken) == 3  # Pass, Error, Pass


async def test_looks_that_somebody_cancelled_go_on_with_the_next_turn(world: World) -> None:
    """Breaks if the watch library, which cancels what it does not know, ends all looks for good."""
    judge = world.judges["digits-w2"] = Scripted("Pass")
    world.ask()
    await world.looked(judge, 1)
    for task in asyncio.all_tasks() - {asyncio.current_task()}:
        task.cancel()
    await asyncio.sleep(0.01)
    looks = judge.looks
    world.ask()
    await world.looked(judge, looks + 2)
