"""Metrics of live traffic: what they say of a version is scripted, pass, fail, no data or an error of the source."""

import asyncio
from dataclasses import dataclass, field
from typing import Literal

from luntra_operator.api.spec import ModelDeploymentSpec
from luntra_operator.api.status import ModelDeploymentStatus, Verdict
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

    async def judge(
        self, namespace: str, name: str, spec: ModelDeploymentSpec, status: ModelDeploymentStatus
    ) -> tuple[tuple[Judgement, ...], float | None]:
        """See `luntra_operator.controller.reconcile.Analysis`."""
        version = status.candidate or status.stable
        if name not in self.watched or version is None:
            return (), None
        await asyncio.sleep(0.02)
        verdict = self.moods.get(version.version, "Pass")
        self.told.setdefault(version.workload, set()).add(verdict)
        judgement = Judgement(METRIC, verdict, f"it is {verdict}", PATIENCE, self.watched[name])
        return (judgement,), INTERVAL
