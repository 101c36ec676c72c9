"""Metrics of live traffic: what they say of a version is scripted, pass, fail, no data or an error of the source."""

import asyncio
from dataclasses import dataclass, field
from typing import Literal

from luntra_operator.api.status import Verdict
from luntra_operator.controller.sampling import Trial
from luntra_operator.rollout.observed import Judgement

INTERVAL = 5.0
PATIENCE = 12.0
METRIC = "errors"

Otherwise = Literal["Hold", "Pass", "Fail"]


@dataclass
class Metrics:
    """`watched` says of which objects a metric is declared, and what its silence counts as after `PATIENCE` seconds.

    `moods` says what it tells of a version, Pass where nothing else is said; `told` remembers by workload what it told.
    """

    watched: dict[str, Otherwise] = field(default_factory=dict)
    moods: dict[str, Verdict] = field(default_factory=dict)
    told: dict[str, set[Verdict]] = field(default_factory=dict)

    def __call__(self, trial: Trial) -> "tuple[Watcher, ...]":
        """See `luntra_operator.controller.sampling.Analysis`."""
        return (Watcher(self, trial),) if trial.name in self.watched else ()

    def tell(self, trial: Trial, verdict: Verdict) -> tuple[Judgement, ...]:
        """Say this of the version."""
        assert trial.subject is not None
        self.told.setdefault(trial.subject.workload, set()).add(verdict)
        return (Judgement(METRIC, verdict, f"it is {verdict}", PATIENCE, self.watched[trial.name]),)


class Watcher:
    """Judges one version."""

    interval = INTERVAL

    def __init__(self, metrics: Metrics, trial: Trial) -> None:
        """Nothing is known yet."""
        self._metrics, self._trial = metrics, trial
        self.judgements = metrics.tell(trial, "NoData")

    def see(self, trial: Trial) -> None:
        """What the controller sees changes nothing here."""

    async def look(self) -> None:
        """Ask, for a moment."""
        assert self._trial.subject is not None
        await asyncio.sleep(0.02)
        self.judgements = self._metrics.tell(self._trial, self._metrics.moods.get(self._trial.subject.version, "Pass"))
