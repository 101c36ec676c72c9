"""One turn of the engine: what it may look at, and the form of what it decides."""

from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from luntra_operator.api.spec import ModelDeploymentSpec
from luntra_operator.api.status import ModelDeploymentStatus, VersionStatus
from luntra_operator.api.vocabulary import Phase

from .actions import Event
from .observed import Observed, Problem, Workload


@dataclass(frozen=True, slots=True)
class Turn:
    """Everything that a decision is made from; `revision` is that of today's spec, `now` is in UTC."""

    spec: ModelDeploymentSpec
    status: ModelDeploymentStatus
    seen: Observed
    revision: str
    now: datetime

    def since(self, moment: datetime | None) -> float:
        """Seconds since `moment`; 0 where there is none."""
        return (self.now - moment).total_seconds() if moment else 0.0

    @property
    def stable(self) -> Workload | None:
        """The stable version's workload as observed, None before the first promotion."""
        return self.seen.workload(self.status.stable.workload) if self.status.stable else None

    @property
    def stable_serves(self) -> bool:
        """Whether a pod of the stable version can answer."""
        return self.stable is not None and self.stable.endpoints > 0

    @property
    def candidate(self) -> VersionStatus:
        """The version under rollout; only asked for where there is one."""
        if self.status.candidate is None:
            raise LookupError("there is no candidate in this phase")
        return self.status.candidate

    @property
    def candidate_workload(self) -> Workload:
        """The candidate's workload as observed."""
        return self.seen.workload(self.candidate.workload)

    def replicas(self, workload: Workload) -> int:
        """Pods that a workload may have: what the spec says or what it was granted, but never fewer than are asked for now."""
        granted = self.seen.grants.pods
        if granted is None:
            return self.spec.replicas
        return min(self.spec.replicas, max(granted.get(workload.name, 0), workload.replicas or 0))

    def update(self, phase: Phase | None = None, **changes: Any) -> ModelDeploymentStatus:
        """The status with these changes; entering a phase stamps its beginning."""
        if phase is not None and phase != self.status.phase:
            changes |= {"phase": phase, "phase_started_at": self.now}
        return self.status.model_copy(update=changes)


@dataclass(frozen=True, slots=True)
class Decision:
    """The next status and, where it stays the same, what is waited for and when to look again (seconds)."""

    status: ModelDeploymentStatus
    events: tuple[Event, ...] = ()
    waiting: Problem | None = None
    wake: float | None = None
    urgent: bool = False

    def because(self, problem: Problem | None) -> "Decision":
        """The same decision, with what it waits for."""
        return replace(self, waiting=problem)


@dataclass(frozen=True, slots=True)
class Timers:
    """Durations of the engine itself, in seconds."""

    settle_poll: float = 0.5
    acceptance_poll: float = 2.0
    settle_fallback: float = field(default=5.0)
    drain: float = 30.0
    parking: float = 60.0
