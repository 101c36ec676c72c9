"""How fast a contender reacts: to a new spec, to a bad metric, to a pod that dies, to weights that somebody else writes.

One round is one rollout of several objects side by side, each to its first step and back. Both contenders look at a metric
every 10 s, the shortest that Flagger keeps, and one bad look is enough for both.
"""

from __future__ import annotations

import asyncio
import random
from collections import defaultdict
from dataclasses import dataclass
from itertools import count, repeat
from typing import TYPE_CHECKING, Literal

from benchmarks.operator.contenders.protocol import Wish
from benchmarks.operator.results import Adoption, Reaction, What
from benchmarks.operator.stage import PERSON, WORLD, together
from e2e.kind.errors import HarnessError
from luntra_operator.kube import kinds

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from benchmarks.operator.audit import Request
    from benchmarks.operator.contenders.protocol import Contender
    from benchmarks.operator.journal import Weights
    from benchmarks.operator.plan import Plan
    from benchmarks.operator.stage import Stage

FLOOR = 10
FIRST_STEP, FOREIGN = 20, 50
_LONGEST = 120.0
_OBJECT = "model"
_versions = count(2)
"""No object gets a version twice: one that was refused would not be tried again."""

Event = Literal["edit", "bad", "death"]
Events = tuple[Event, ...]
_BAD: Events = ("bad",)
_EDIT: Events = ("edit",)
_DEATH: Events = ("death",)
_EDIT_BAD: Events = ("edit", "bad")
_EDIT_DEATH: Events = ("edit", "death")


@dataclass(frozen=True, slots=True)
class Mark:
    """A moment in the journal: how many requests there were, and how many writes of a namespace's route."""

    namespace: str
    requests: int
    writes: int


class Rounds:
    """Rounds of one contender, and what they found."""

    def __init__(
        self, stage: Stage, contender: Contender, interval: int, plan: Plan, namespaces: Sequence[str]
    ) -> None:
        """Every object has one of `namespaces` for itself."""
        self._stage, self._contender, self._plan = stage, contender, plan
        self._interval, self._namespaces = interval, namespaces
        self._samples: dict[What, list[float]] = defaultdict(list)
        self._never: dict[What, int] = defaultdict(int)
        self._next: list[int] = []

    async def play(self, *events: Event) -> None:
        """One rollout of each object; `events` happen at its first step. Raises HarnessError if one gets stuck."""
        await together(*(self._round(namespace, events) for namespace in self._namespaces))
        self._stage.journal.forget(self._contender.name, PERSON, WORLD)

    def reactions(self) -> list[Reaction]:
        """What was found so far."""
        return [
            Reaction(
                self._contender.name,
                what,
                self._interval,
                tuple(round(sample, 4) for sample in self._samples[what]),
                self._never[what],
                self._plan.patience if self._never[what] else 0.0,
            )
            for what in dict.fromkeys((*self._samples, *self._never))
        ]

    def adoptions(self) -> list[Adoption]:
        """What followed the edits that were not repaired."""
        return [Adoption(self._contender.name, FOREIGN, tuple(self._next))] if self._next else []

    async def _round(self, namespace: str, events: Sequence[Event]) -> None:
        stage, key = self._stage, f"{namespace}/{_OBJECT}"
        await self._any_phase()
        before = self._contender.stable(stage.now(namespace, _OBJECT))
        await self._first_weight(namespace, before)
        stage.source.close_gate(key)
        if "edit" in events:
            await self._edit(namespace, before)
        await asyncio.sleep(1)
        await self._any_phase()
        if "death" in events:
            await self._death(namespace, before)
        ended = stage.resting(self._contender, namespace, _OBJECT)
        if not ended and self._contender.share(stage.now(namespace, _OBJECT), before) == FIRST_STEP:
            await self._bad(namespace, before, timed="bad" in events)
        await self._until_rest(namespace)
        stage.source.turn_good(key)

    async def _any_phase(self) -> None:
        """Wait so that what comes next meets the contender's ticks at any phase."""
        await asyncio.sleep(random.uniform(0, self._interval))  # noqa: S311 - no secret

    async def _until_rest(self, namespace: str) -> None:
        resting = await self._stage.journal.until(
            lambda: self._stage.resting(self._contender, namespace, _OBJECT), _LONGEST
        )
        if not resting:
            raise HarnessError(f"{self._contender.title} does not come to rest with {namespace}/{_OBJECT}")

    async def _first_weight(self, namespace: str, before: str) -> None:
        mark = self._mark(namespace)
        await self._contender.change(self._stage.kube, namespace, _OBJECT, next(_versions))
        shifted = await self._written(mark, lambda share: share > 0, before)
        if shifted is None:
            raise HarnessError(f"{self._contender.title} gives {namespace}/{_OBJECT} no traffic within {_LONGEST:g} s")
        begun = self._asked(mark, PERSON).begun
        answers = [one.ended for one in self._since(mark, self._contender.name) if one.writes and one.ended > begun]
        self._samples["noticed"].append(min(answers) - begun)
        self._samples["first weight"].append(shifted.at - begun)

    async def _edit(self, namespace: str, before: str) -> None:
        mark = self._mark(namespace)
        edit = [{"op": "replace", "path": f"/spec/rules/0/backendRefs/{i}/weight", "value": FOREIGN} for i in (0, 1)]
        await self._stage.kube.patch(kinds.HTTP_ROUTE, namespace, _OBJECT, edit)
        repaired = await self._written(mark, lambda share: share == FIRST_STEP, before, self._plan.patience)
        if repaired is not None:
            self._samples["edit"].append(repaired.at - self._asked(mark, PERSON).begun)
            return
        self._never["edit"] += 1
        self._stage.source.open_gate(f"{namespace}/{_OBJECT}")
        following = await self._written(mark, lambda _: True, before)
        if following is not None:
            self._next.append(self._contender.share(following.weights, before))

    async def _bad(self, namespace: str, before: str, *, timed: bool) -> None:
        key, mark = f"{namespace}/{_OBJECT}", self._mark(namespace)
        turned = self._stage.source.turn_bad(key)
        gone = await self._written(mark, lambda share: share == 0, before)
        told = self._stage.source.first_told(key, turned)
        if gone is None or told is None:
            raise HarnessError(f"{self._contender.title} leaves {key} its traffic although its metric is bad")
        if timed:
            self._samples["bad"].append(gone.at - turned)
            self._samples["told"].append(gone.at - told)

    async def _death(self, namespace: str, before: str) -> None:
        stage, mark = self._stage, self._mark(namespace)
        pods = self._contender.candidate_pods(_OBJECT, stage.now(namespace, _OBJECT), before)
        pod = await stage.world.crash(namespace, pods)
        gone = await self._written(mark, lambda share: share == 0, before, self._plan.patience)
        if gone is None:
            self._never["death"] += 1
            await stage.world.revive(pod)
        else:
            self._samples["death"].append(gone.at - self._asked(mark, WORLD).begun)

    def _mark(self, namespace: str) -> Mark:
        journal = self._stage.journal
        journal.read()
        return Mark(namespace, len(journal.requests), len(journal.routes[namespace, _OBJECT]))

    def _since(self, mark: Mark, user: str) -> list[Request]:
        requests = self._stage.journal.requests[mark.requests :]
        return [request for request in requests if request.user == user and request.namespace == mark.namespace]

    def _asked(self, mark: Mark, user: str) -> Request:
        """What happened after the mark: the first write of the one who did it."""
        return next(request for request in self._since(mark, user) if request.writes)

    async def _written(
        self, mark: Mark, fits: Callable[[int], bool], before: str, seconds: float = _LONGEST
    ) -> Weights | None:
        """The contender's first write of the route since the mark after which the candidate's percent fits."""
        written = self._stage.journal.routes[mark.namespace, _OBJECT]

        def found() -> Weights | None:
            fresh = written[mark.writes :]
            return next((one for one in fresh if fits(self._contender.share(one.weights, before))), None)

        await self._stage.journal.until(lambda: found() is not None, seconds)
        return found()


async def reactions(stage: Stage, contender: Contender, plan: Plan) -> tuple[list[Reaction], list[Adoption]]:
    """All rounds of one contender. Raises HarnessError."""
    found, adopted = list[Reaction](), list[Adoption]()
    async with stage.namespaces(f"react-{contender.name}", plan.objects) as namespaces:
        for number, (interval, rounds) in enumerate(_rounds(contender, plan)):
            with stage.performing(contender, **contender.judging(interval)):
                if number == 0:
                    await _create(stage, contender, namespaces)
                playing = Rounds(stage, contender, interval, plan, namespaces)
                for events in rounds:
                    with stage.progress.step(f"{contender.name}: {' and '.join(events)}, metric every {interval} s"):
                        await playing.play(*events)
            found += playing.reactions()
            adopted += playing.adoptions()
    return found, adopted


def _rounds(contender: Contender, plan: Plan) -> list[tuple[int, list[Events]]]:
    """Intervals, and for each the events of its rounds. What never gets a reaction is tried once."""
    if contender.name == "luntra":
        return [
            (FLOOR, list(repeat(_EDIT_BAD, plan.slow_rounds))),
            (1, [*repeat(_EDIT_BAD, plan.fast_rounds), *repeat(_EDIT_DEATH, plan.deaths)]),
        ]
    return [(FLOOR, [*repeat(_BAD, plan.slow_rounds), _EDIT, _DEATH])]


async def _create(stage: Stage, contender: Contender, namespaces: Sequence[str]) -> None:
    for namespace in namespaces:
        await contender.create(stage.kube, namespace, _OBJECT, Wish(replicas=2, interval=FLOOR, gated=True))

    def rest() -> bool:
        return all(stage.resting(contender, namespace, _OBJECT) for namespace in namespaces)

    if not await stage.journal.until(rest, _LONGEST):
        raise HarnessError(f"{contender.title} does not come to rest with its first {len(namespaces)} objects")
