"""Requests at the API server: of a whole rollout, and of an hour in which nothing happens."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from typing import TYPE_CHECKING

from benchmarks.operator.audit import Request
from benchmarks.operator.contenders.protocol import OBJECTS, Wish
from benchmarks.operator.results import Cost, Idle
from e2e.kind.errors import HarnessError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from benchmarks.operator.contenders.protocol import Contender
    from benchmarks.operator.stage import Stage

_LONGEST = 300.0
_SETTLING = 15.0


def kinds_of(requests: Iterable[Request]) -> dict[str, int]:
    """How many of each verb and resource, the most frequent first."""
    return dict(Counter(f"{one.verb} {one.resource}" for one in requests).most_common())


def split(requests: Iterable[Request], namespaces: frozenset[str]) -> tuple[list[Request], list[Request]]:
    """Those in the namespaces of objects, and all others."""
    own, shared = list[Request](), list[Request]()
    for one in requests:
        (own if one.namespace in namespaces else shared).append(one)
    return own, shared


async def whole_rollouts(stage: Stage, contender: Contender, objects: int) -> Cost:
    """One rollout to the end of each of so many objects, side by side; two pods, steps 20 and 60 without a wait."""
    stage.progress.note(f"{contender.name}: requests of {objects} rollouts")
    async with stage.namespaces(f"whole-{contender.name}", objects) as names:
        with stage.performing(contender):
            for name in names:
                await contender.create(stage.kube, name, "model", Wish(replicas=2))
            await _rest(stage, contender, names)
            stage.journal.forget(contender.name)
            begun = time.time()
            for name in names:
                await contender.change(stage.kube, name, "model", 2)
                stage.journal.statuses.pop((name, "model"))  # what counts is the next one
            await _rest(stage, contender, names)
            requests = stage.journal.since(begun, contender.name)
            own = {name: [one for one in requests if one.namespace == name] for name in names}
    return Cost(
        contender.name,
        tuple(len(found) for found in own.values()),
        tuple(round(max(one.ended for one in found) - begun, 2) for found in own.values()),
        kinds_of(one for found in own.values() for one in found),
    )


async def _rest(stage: Stage, contender: Contender, names: list[str]) -> None:
    if not await stage.journal.until(lambda: all(stage.resting(contender, name, "model") for name in names), _LONGEST):
        raise HarnessError(f"{contender.title} does not come to rest with {len(names)} objects")


async def at_rest(stage: Stage, contender: Contender, interval: int, objects: int, seconds: float) -> Idle:
    """Requests while so many objects of one pod rest, of a process that was started on them: it wrote nothing before.

    Its first seconds do not count.
    """
    stage.progress.note(f"{contender.name}: requests of {objects} idle objects in {seconds:g} s")
    async with stage.namespaces(f"idle-{contender.name}-{interval}", 1) as [name]:
        with stage.performing(contender):
            for number in range(objects):
                await contender.create(stage.kube, name, f"model-{number}", Wish(interval=interval))

            def rest() -> bool:
                return all(stage.resting(contender, name, f"model-{number}") for number in range(objects))

            if not await stage.journal.until(rest, _LONGEST):
                raise HarnessError(f"{contender.title} does not come to rest with {objects} objects")
            await asyncio.sleep(_SETTLING)
        with stage.performing(contender):
            await asyncio.sleep(_SETTLING)
            begun = time.time()
            await stage.journal.until(lambda: False, seconds)
            ended = time.time()
            requests = [one for one in stage.journal.since(begun, contender.name) if one.ended < ended]
    own, shared = split(requests, frozenset({name}))
    return Idle(
        contender=contender.name,
        interval=interval,
        objects=objects,
        seconds=round(ended - begun, 1),
        looks=sum(one.verb == "get" and one.resource in OBJECTS for one in own),
        own=len(own),
        lists=sum(one.verb == "list" for one in shared),
        shared=sum(one.verb != "list" for one in shared),
        kinds=kinds_of(requests),
    )
