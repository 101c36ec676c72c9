"""One run: all measurements in their order. What has been found by the time that one of them fails is not lost."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from benchmarks.operator.costs import at_rest, whole_rollouts
from benchmarks.operator.echo import echoes
from benchmarks.operator.fleet import loads
from benchmarks.operator.plan import QUICK, WHOLE
from benchmarks.operator.reactions import reactions
from benchmarks.operator.results import Adoption, Cost, Idle, Load, Named, Reaction, Results
from benchmarks.operator.stage import CONTENDERS, staged, together
from benchmarks.serving.machine import machine
from e2e.kind.errors import HarnessError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from benchmarks.operator.contenders.protocol import Contender
    from benchmarks.operator.plan import Plan
    from benchmarks.operator.stage import Stage
    from e2e.kind.progress import Progress

PARTS = ("reactions", "requests", "fleet")


async def run(quick: bool, parts: Sequence[str], progress: Progress) -> Results:
    """Measure the parts; a run that breaks off says so in its results.

    Raises:
        HarnessError: there is nothing to measure on.
    """
    here, broken_off = machine(), ""
    async with staged(progress) as stage:
        began = progress.elapsed
        found = _Run(stage, QUICK if quick else WHOLE, parts)
        try:
            await found.play()
        except HarnessError as error:
            broken_off = str(error)
        named = tuple(Named(one.name, one.title) for one in stage.contenders)
    return Results(
        machine=here,
        contenders=named,
        quick=quick,
        broken_off=broken_off,
        seconds=round(progress.elapsed - began, 1),
        reactions=tuple(found.reactions),
        adoptions=tuple(found.adoptions),
        costs=tuple(sorted(found.costs, key=_ours_first)),
        idle=tuple(sorted(found.idle, key=_ours_first)),
        loads=tuple(sorted(found.loads, key=_ours_first)),
    )


def _ours_first(one: Cost | Idle | Load) -> int:
    return CONTENDERS.index(one.contender)


@dataclass
class _Run:
    stage: Stage
    plan: Plan
    parts: Sequence[str]
    reactions: list[Reaction] = field(default_factory=list)
    adoptions: list[Adoption] = field(default_factory=list)
    costs: list[Cost] = field(default_factory=list)
    idle: list[Idle] = field(default_factory=list)
    loads: list[Load] = field(default_factory=list)

    async def play(self) -> None:
        """Requests are counted, whoever else is at work; so that goes on beside the other's reactions, which take long."""
        ours, theirs = self.stage.contenders
        if "reactions" in self.parts:
            self.reactions.append(await echoes(self.stage, self.plan.echoes))
        await self._react(ours)
        await together(self._ask(ours, (0,), self.plan.idle_seconds), self._react_and_ask(theirs))
        if "fleet" in self.parts:
            async for one in loads(self.stage, self.plan):
                if isinstance(one, Load):
                    self.loads.append(one)
                else:
                    self.reactions.append(one)

    async def _react(self, contender: Contender) -> None:
        if "reactions" in self.parts:
            found, adopted = await reactions(self.stage, contender, self.plan)
            self.reactions += found
            self.adoptions += adopted

    async def _ask(self, contender: Contender, intervals: Sequence[int], seconds: float) -> None:
        if "requests" in self.parts:
            self.costs.append(await whole_rollouts(self.stage, contender, self.plan.whole))
            for interval in intervals:
                self.idle.append(await at_rest(self.stage, contender, interval, self.plan.idle_objects, seconds))

    async def _react_and_ask(self, contender: Contender) -> None:
        await self._react(contender)
        await self._ask(contender, self.plan.intervals, self.plan.ticking_seconds)
