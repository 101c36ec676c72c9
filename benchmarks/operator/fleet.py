"""Memory and processor of a contender with few and many objects: idle ones, and some that roll.

Each size is measured on a process that has just been started, so that its start, which looks at everything, is measured too.
"""

from __future__ import annotations

import asyncio
import random
import time
from functools import partial
from statistics import median
from typing import TYPE_CHECKING

from benchmarks.operator.contenders.protocol import OBJECTS, Wish
from benchmarks.operator.journal import Key
from benchmarks.operator.results import Load, Reaction
from benchmarks.operator.stage import PERSON, together
from e2e.kind.errors import HarnessError
from luntra_operator.kube import kinds

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from benchmarks.operator.contenders.protocol import Contender
    from benchmarks.operator.journal import Journal
    from benchmarks.operator.plan import Plan
    from benchmarks.operator.stage import Stage
    from benchmarks.serving.process import ServerProcess

PER_NAMESPACE = 50
_LONGEST = 1200.0
_CALM = 10.0
"""Seconds after the start's work before a window begins."""
_SLICE = 5.0
_EDITS = 20


class Fleet:
    """A growing number of objects of one contender, 50 in a namespace."""

    def __init__(self, stage: Stage, contender: Contender, plan: Plan) -> None:
        """No object yet."""
        self._stage, self.contender, self._plan = stage, contender, plan
        self._keys: list[Key] = []

    async def grow(self, size: int, wish: Wish) -> list[Key]:
        """Make objects until there are so many, by an operator that is given all that it asks for; the new ones.

        Raises:
            HarnessError: they do not come to rest.
        """
        options = {} if self.contender.name == "luntra" else {"kubeconfig-qps": "2000", "kubeconfig-burst": "4000"}
        with self._stage.performing(self.contender, **options):
            return await self._make(size, wish)

    async def _make(self, size: int, wish: Wish) -> list[Key]:
        made = list[Key]()
        for number in range(len(self._keys), size):
            namespace = f"fleet-{self.contender.name}-{number // PER_NAMESPACE}"
            if number % PER_NAMESPACE == 0:
                await self._stage.namespace(namespace)
            made.append((namespace, f"model-{number}"))
            await self.contender.create(self._stage.kube, *made[-1], wish)
        self._keys += made
        await self._rest(made)
        return made

    async def _rest(self, keys: Sequence[Key]) -> None:
        waiting = set(keys)

        def rest() -> bool:
            waiting.difference_update([key for key in waiting if self._stage.resting(self.contender, *key)])
            self._stage.journal.requests.clear()
            return not waiting

        if not await self._stage.journal.until(rest, _LONGEST):
            raise HarnessError(
                f"{self.contender.title} does not come to rest with {len(waiting)} of {len(keys)} objects"
            )

    async def idle(self) -> Load:
        """Start the contender on all objects, and look at it while nothing happens."""
        self._stage.journal.forget()
        begun = time.time()
        with self._stage.performing(self.contender) as process:
            started = await self._looked_at_all(begun)
            return await self._window(process, started, 0, self._plan.window)

    async def rolling(self, keys: Sequence[Key], edited: int) -> tuple[Load, Reaction]:
        """The same while `keys` roll, judged every second; meanwhile the weights of so many idle objects are edited."""
        self._stage.journal.forget()
        begun = time.time()
        with self._stage.performing(self.contender, **self.contender.judging(1)) as process:
            started = await self._looked_at_all(begun)
            for key in keys:
                await self.contender.change(self._stage.kube, *key, 2)
            idle = [key for key in self._keys if key not in set(keys)]
            edits = asyncio.create_task(self._edit(random.sample(idle, min(edited, len(idle)))))
            load = await self._window(process, started, len(keys), self._plan.window, calm=0)
            return load, await edits

    async def _looked_at_all(self, begun: float) -> tuple[float, int]:
        """Seconds and requests until every object has been read."""
        journal, missing = self._stage.journal, set(self._keys)
        place = 0

        def seen() -> bool:
            nonlocal place
            for one in journal.requests[place:]:
                if one.user == self.contender.name and one.resource in OBJECTS:
                    missing.discard((one.namespace, one.name))
            place = len(journal.requests)
            return not missing

        if not await journal.until(seen, _LONGEST):
            raise HarnessError(f"{self.contender.title} does not look at {len(missing)} of {len(self._keys)} objects")
        return time.time() - begun, len(journal.since(begun, self.contender.name))

    async def _window(
        self, process: ServerProcess, started: tuple[float, int], rolling: int, seconds: float, calm: float = _CALM
    ) -> Load:
        journal = self._stage.journal
        await asyncio.sleep(calm)
        journal.forget()
        begun, resident, shares = time.monotonic(), list[int](), list[float]()
        first = last = process.processor_seconds
        moment = begun
        while moment - begun < seconds:
            await journal.until(lambda: False, _SLICE)
            now, taken = time.monotonic(), process.processor_seconds
            shares.append((taken - last) / (now - moment))
            resident.append(process.resident_bytes)
            last, moment = taken, now
        passed = moment - begun
        requests = [one for one in journal.requests if one.user == self.contender.name]
        looks = sum(one.verb == "get" and one.resource in OBJECTS for one in requests)
        return Load(
            contender=self.contender.name,
            objects=len(self._keys),
            rolling=rolling,
            seconds=round(passed, 1),
            start_seconds=round(started[0], 2),
            start_requests=started[1],
            resident_bytes=int(median(resident)),
            peak_bytes=max(resident),
            cores=round((last - first) / passed, 4),
            peak_cores=round(max(shares), 4),
            rate=round(len(requests) / passed, 2),
            visit_seconds=round(passed * len(self._keys) / looks, 1) if looks else 0.0,
        )

    async def _edit(self, keys: Sequence[Key]) -> Reaction:
        """Write another weight into idle routes, one after the other, and time the repair."""
        journal, samples, never = self._stage.journal, list[float](), 0
        for key in keys:
            mark, writes = time.time(), len(journal.routes[key])
            edit = [{"op": "replace", "path": "/spec/rules/0/backendRefs/0/weight", "value": 50}]
            await self._stage.kube.patch(kinds.HTTP_ROUTE, *key, edit)
            if await journal.until(partial(_written_since, journal, key, writes), 10):
                own = [one for one in journal.since(mark, PERSON) if (one.namespace, one.name) == key]
                samples.append(round(journal.routes[key][writes].at - own[0].begun, 4))
            else:
                never += 1
        return Reaction(self.contender.name, "edit under load", 0, tuple(samples), never, 10.0)


def _written_since(journal: Journal, key: Key, writes: int) -> bool:
    """Whether the contender has written a route more often than so."""
    return len(journal.routes[key]) > writes


async def loads(stage: Stage, plan: Plan) -> AsyncIterator[Load | Reaction]:
    """All sizes, then some rolling beside the largest; made side by side, measured alone. Raises HarnessError."""
    fleets = [Fleet(stage, contender, plan) for contender in stage.contenders]
    for size in plan.sizes:
        await _grown(stage, fleets, size)
        for fleet in fleets:
            with stage.progress.step(f"{fleet.contender.name}: {size} idle objects"):
                yield await fleet.idle()
    fresh = await _grown(stage, fleets, plan.sizes[-1] + plan.rolling)
    for fleet, rolling in zip(fleets, fresh, strict=True):
        with stage.progress.step(
            f"{fleet.contender.name}: {plan.rolling} objects roll beside {plan.sizes[-1]} idle ones"
        ):
            load, edited = await fleet.rolling(rolling, _EDITS if fleet.contender.name == "luntra" else 0)
        yield load
        if edited.samples or edited.never:
            yield edited


async def _grown(stage: Stage, fleets: Sequence[Fleet], size: int) -> list[list[Key]]:
    with stage.progress.step(f"make {size} objects of each"):
        return await together(*(fleet.grow(size, Wish(interval=10, hold="20s")) for fleet in fleets))
