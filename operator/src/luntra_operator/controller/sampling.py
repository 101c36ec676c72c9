"""Looks at the live traffic of rollouts, each in its own rhythm, beside the work queue.

A turn reads a dozen objects; a look reads figures. So looks are not made by turns: between two turns the figures are looked at
again and again, and only what they say for the first time wakes the queue, at once. A turn never waits for a source.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

from luntra_operator.api.spec import ModelDeploymentSpec
from luntra_operator.api.status import ModelDeploymentStatus, VersionStatus
from luntra_operator.pods.client import PodAddress
from luntra_operator.rollout.observed import Judgement

from .queue import Key, Priority

log = logging.getLogger(__name__)

Identity = tuple[str, int, str]


@dataclass(frozen=True, slots=True)
class Trial:
    """A version that gets traffic, or is about to, as the last turn saw it; `pods` are those of each workload, by its name."""

    uid: str
    namespace: str
    name: str
    spec: ModelDeploymentSpec
    status: ModelDeploymentStatus
    pods: Mapping[str, tuple[PodAddress, ...]] = field(default_factory=dict)

    @property
    def subject(self) -> VersionStatus | None:
        """The version that is judged: the candidate, or while the old one is still warm the new stable version."""
        return self.status.candidate or self.status.stable

    @property
    def beside(self) -> VersionStatus | None:
        """The version that it is compared with, as long as that one gets requests: not at 100 %, nor while it is only kept warm."""
        status = self.status
        whole = status.step is not None and status.step.weight == 100
        return status.stable if status.candidate and not whole else None

    @property
    def identity(self) -> Identity:
        """What stays the same from the first share of the traffic to the end of the soak."""
        return self.uid, self.status.attempt, self.subject.workload if self.subject else ""

    @property
    def step(self) -> str:
        """Names the step that the rollout is at, empty in the soak."""
        return f"{self.status.step.weight} %" if self.status.step else ""


class Judge(Protocol):
    """Judges one or more metrics of one trial from look to look."""

    @property
    def interval(self) -> float:
        """Seconds from one look to the next."""

    @property
    def judgements(self) -> tuple[Judgement, ...]:
        """What the last look came to, one for each of its metrics; before the first, nothing good."""

    def see(self, trial: Trial) -> None:
        """Go on with what the controller sees now: pods come and go, steps follow one another."""

    async def look(self) -> None:
        """Ask each source once. A source that does not answer is a judgement (Error), and nothing to raise."""


Analysis = Callable[[Trial], Sequence[Judge]]
"""Whoever has judges; none where no metric is declared. Each looks by itself: a slow source holds up no other."""


@dataclass(slots=True)
class _Seat:
    judge: Judge
    task: asyncio.Task[None] | None = None
    defect: str = ""

    @property
    def judgements(self) -> tuple[Judgement, ...]:
        """The judge's, or that it failed: an old verdict must not stand for a new one."""
        if not self.defect:
            return self.judge.judgements
        return tuple(replace(one, verdict="Error", message=self.defect) for one in self.judge.judgements)


@dataclass(slots=True)
class _Watched:
    identity: Identity
    declared: object
    seats: list[_Seat]


class Sampling:
    """The looks of all rollouts under way."""

    def __init__(self, analysis: Analysis, wake: Callable[[Key, Priority], None]) -> None:
        """Judges come from `analysis`; `wake` has a key worked on."""
        self._analysis, self._wake = analysis, wake
        self._watched: dict[Key, _Watched] = {}

    @property
    def keys(self) -> set[Key]:
        """Those that are looked at."""
        return set(self._watched)

    def judgements(self, key: Key, trial: Trial) -> tuple[Judgement, ...]:
        """What is known now; from now on the trial is looked at. A changed declaration begins from nothing."""
        watched = self._watched.get(key)
        if watched is None or (watched.identity, watched.declared) != (trial.identity, trial.spec.analysis):
            self.leave(key)
            seats = [_Seat(judge) for judge in self._analysis(trial)]
            if not seats:
                return ()
            watched = self._watched[key] = _Watched(trial.identity, trial.spec.analysis, seats)
        for seat in watched.seats:
            seat.judge.see(trial)
            # The watch library, when it gives up, cancels every task that it does not know.
            if seat.task is None or seat.task.done():
                seat.task = asyncio.get_running_loop().create_task(self._run(key, seat))
        return tuple(judgement for seat in watched.seats for judgement in seat.judgements)

    def leave(self, key: Key) -> None:
        """Look no more."""
        watched = self._watched.pop(key, None)
        for seat in watched.seats if watched is not None else ():
            if seat.task is not None:
                seat.task.cancel()

    def close(self) -> None:
        """Look at nothing any more."""
        for key in self.keys:
            self.leave(key)

    async def _run(self, key: Key, seat: _Seat) -> None:
        loop, said = asyncio.get_running_loop(), None
        while True:
            due = loop.time() + seat.judge.interval
            try:
                await seat.judge.look()
                seat.defect = ""
            except Exception as error:  # a defect of ours must not end the looks
                log.exception("%s/%s: its live traffic could not be judged", *key)
                seat.defect = f"the operator failed to judge it: {error!r}"[:300]
            now = {one.metric: one.verdict for one in seat.judgements}
            if now != said:
                said = now
                self._wake(key, Priority.URGENT if "Fail" in now.values() else Priority.NORMAL)
            await asyncio.sleep(max(due - loop.time(), 0.0))
