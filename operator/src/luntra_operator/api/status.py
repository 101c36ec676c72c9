"""`status` of a ModelDeployment: what the operator knows, decided and did.

The engine's whole memory is here; a restarted operator continues from it and from live objects.
Times are RFC 3339 in UTC.
"""

from datetime import datetime
from typing import Literal

from pydantic import Field

from .base import StatusModel
from .vocabulary import Phase

Verdict = Literal["Pass", "Fail", "NoData", "Error"]
Better = Literal["Candidate", "Stable", "Neither"]


class VersionStatus(StatusModel):
    """One version and the workload that serves it."""

    revision: str = Field(description="Hash of model and serving; names the ControllerRevision.")
    version: str = Field(description="The user's name for the version.")
    digest: str = Field(description="Digest of the bundle.")
    workload: str = Field(description="Name of the Deployment, Service and ConfigMap.")
    ready_replicas: int = Field(default=0, description="Pods that are ready now.")


class StepStatus(StatusModel):
    """Where the traffic shift stands."""

    index: int = Field(description="Position in the list of steps, from 0; its length means the implied step to 100.")
    weight: int = Field(description="The step's weight in percent.")
    started_at: datetime | None = Field(
        default=None, description="When the gateway was seen to follow; the hold counts from here."
    )


class TrafficStatus(StatusModel):
    """Percent of requests for `workload` (the candidate, or the stable version when there is none): three numbers, never conflated."""

    workload: str = Field(description="The workload that the three numbers speak of; the other one has the rest.")
    desired: int = Field(description="What was decided.")
    decided_at: datetime = Field(description="When it was decided.")
    written: int | None = Field(default=None, description="What the route says.")
    settling_since: datetime | None = Field(
        default=None,
        description="When the route was written or last had to be restored; deadlines.step counts from here.",
    )
    accepted_at: datetime | None = Field(
        default=None,
        description="When the gateway's controller was seen to have accepted it; observedBy Delay counts from here.",
    )
    observed: int | None = Field(default=None, description="What the data plane was seen to follow; null until then.")
    observed_by: str | None = Field(
        default=None, description="How that was seen: Probe, or Delay when the gateway cannot be asked."
    )


class CheckAttempt(StatusModel):
    """One try of a check that could not be made."""

    attempt: int = Field(description="Running number of the try.")
    reason: str = Field(description="One word.")
    message: str = Field(description="One line for people.")
    ended_at: datetime = Field(description="When it was given up.")
    stable_failed: bool = Field(
        default=False,
        description="true: the candidate kept its own bounds, and the stable version could not be compared with.",
    )


class CheckStatus(StatusModel):
    """One check of one candidate: its result or, while it runs, how far it is."""

    name: str = Field(description="evaluation or benchmark.")
    revision: str = Field(description="The revision that was checked.")
    verdict: Verdict | None = Field(default=None, description="Pass, Fail, NoData or Error; null while it runs.")
    reason: str | None = Field(default=None, description="One word.")
    message: str | None = Field(
        default=None, description="One line for people, with figures; while it runs, what is in its way."
    )
    started_at: datetime | None = Field(default=None, description="When its first Job was asked for.")
    finished_at: datetime | None = Field(default=None, description="When its verdict was read.")
    attempt: int = Field(default=1, description="Running number of the try under way, or of the last one.")
    attempt_started_at: datetime | None = Field(
        default=None, description="When that try's Job was seen; before, when it may be asked for."
    )
    job: str | None = Field(default=None, description="Name of that try's Job, once it was seen.")
    failed_attempts: list[CheckAttempt] = Field(default_factory=list, description="Tries that could not be made.")
    candidate: dict[str, float] = Field(
        default_factory=dict,
        description="The candidate's figures, by name: the metric, or p50Ms, p99Ms, throughput, errorRate.",
    )
    stable: dict[str, float] = Field(default_factory=dict, description="The stable version's, where it was measured.")
    log: list[str] = Field(
        default_factory=list,
        description="Last lines of what the check did, at most 20 and 2 KiB; none if every bound holds.",
    )


class MetricStatus(StatusModel):
    """The last verdict of one metric of live traffic."""

    name: str = Field(description="The metric.")
    verdict: Verdict = Field(description="Pass, Fail, NoData or Error.")
    message: str = Field(description="One line for people, with the figures behind it.")
    since: datetime = Field(description="When it first said so, without a different verdict since.")
    dry_run: bool = Field(default=False, description="true: it is only told and decides nothing.")
    value: float | None = Field(default=None, description="Of the version that is judged.")
    samples: float | None = Field(default=None, description="How many requests, or values, are behind it.")
    stable_value: float | None = Field(default=None, description="Of the version that it is compared with.")
    stable_samples: float | None = Field(default=None, description="How many are behind that.")
    evidence: list[float] = Field(
        default_factory=list,
        description="Natural log of the evidence against each bound; a restarted operator goes on from there.",
    )
    interval: list[float] | None = Field(
        default=None, description="From where to where the value of the version that is judged may be."
    )
    stable_interval: list[float] | None = Field(
        default=None, description="The same of the version that it is compared with."
    )
    better: Better | None = Field(
        default=None,
        description="Candidate or Stable where the two intervals do not overlap, else Neither: no difference was found.",
    )


class HistoryEntry(StatusModel):
    """One finished rollout."""

    attempt: int = Field(description="Running number of the rollout.")
    revision: str = Field(description="Its revision.")
    version: str = Field(description="Its version.")
    outcome: Literal["Promoted", "RolledBack", "Superseded"] = Field(description="How it ended.")
    reason: str = Field(description="Why, in one word.")
    started_at: datetime = Field(description="When it began.")
    finished_at: datetime = Field(description="When it ended.")


class GrantStatus(StatusModel):
    """Accelerators of one workload out of the operator's budget."""

    workload: str = Field(description="The workload.")
    resource: str = Field(description="The extended resource, e.g. nvidia.com/gpu.")
    amount: int = Field(description="Units of it, of all its pods together.")
    since: datetime = Field(description="When they were granted; of those waited for, when they were asked for.")


class ConditionStatus(StatusModel):
    """A condition as in the Kubernetes API conventions."""

    type: str = Field(description="Ready, Reconciling, Stalled, Available or OverBudget.")
    status: Literal["True", "False", "Unknown"] = Field(description="True, False or Unknown.")
    reason: str = Field(description="One word; the reference lists them all.")
    message: str = Field(description="A sentence for people.")
    last_transition_time: datetime = Field(description="When status last changed.")
    observed_generation: int = Field(default=0, description="Generation of the spec that this speaks of.")


class ServiceStatus(StatusModel):
    """Which workload the endpoints of the Service <name> belong to; kept while a route of the user's has our weights."""

    workload: str = Field(description="The workload.")
    homed: bool = Field(default=False, description="Whether nothing but your backend gets requests.")
    since: datetime = Field(description="When both were first seen to be so.")


class ParkedStatus(StatusModel):
    """Routes of Luntra's that spec.traffic names no more: they get no request and are deleted once the gateway knows."""

    routes: list[str] = Field(description="Their kinds.")
    read: bool = Field(description="Whether the gateway's controller has read that they get no request.")
    since: datetime = Field(description="When both were first seen to be so.")


class Withdrawal(StatusModel):
    """Why the candidate is being taken back."""

    reason: str = Field(description="One word.")
    message: str = Field(description="A sentence for people.")
    rejected: bool = Field(description="true: the revision is refused; false: it was only withdrawn.")


class HandledIntents(StatusModel):
    """The values of the annotations luntra.io/approve, abort and retry that were last acted on."""

    approve: str | None = Field(default=None, description="Of luntra.io/approve.")
    abort: str | None = Field(default=None, description="Of luntra.io/abort.")
    retry: str | None = Field(default=None, description="Of luntra.io/retry.")


class ModelDeploymentStatus(StatusModel):
    """Observed state and the engine's memory."""

    observed_generation: int = Field(default=0, description="Generation of the spec that the operator last acted on.")
    phase: Phase = Field(default=Phase.PENDING, description="Where the object is in its life.")
    phase_started_at: datetime | None = Field(default=None, description="When it entered the phase.")
    stable: VersionStatus | None = Field(default=None, description="The version that users get.")
    candidate: VersionStatus | None = Field(default=None, description="The version under rollout.")
    previous: VersionStatus | None = Field(default=None, description="The version before, warm during the soak.")
    attempt: int = Field(default=0, description="Running number of rollouts.")
    attempt_started_at: datetime | None = Field(default=None, description="When the last one began.")
    next_ordinal: int = Field(default=1, description="Number of the next workload; never used twice.")
    grants: list[GrantStatus] = Field(
        default_factory=list, description="Accelerators that its workloads hold, until their pods are gone."
    )
    waiting_for: list[GrantStatus] = Field(
        default_factory=list, description="Accelerators that are asked for and not granted yet."
    )
    step: StepStatus | None = Field(default=None, description="Where the traffic shift stands.")
    traffic: TrafficStatus | None = Field(default=None, description="Decided, written and observed weight.")
    checks: list[CheckStatus] = Field(default_factory=list, description="Checks of the last candidate.")
    metrics: list[MetricStatus] = Field(
        default_factory=list, description="Last verdict of each metric of live traffic, of the last candidate."
    )
    restarts: dict[str, int] = Field(
        default_factory=dict, description="Restarts of pods, by UID, from before they were first ready."
    )
    withdrawal: Withdrawal | None = Field(default=None, description="Why the candidate is being taken back.")
    rejected_revision: str | None = Field(
        default=None, description="What automatic rollback refused; not tried again by itself."
    )
    rejected_reason: str | None = Field(default=None, description="Why it was refused, in one word.")
    rejected_message: str | None = Field(default=None, description="Why it was refused, in a sentence.")
    handled: HandledIntents = Field(
        default_factory=HandledIntents, description="Annotations that were last acted on; each value counts once."
    )
    adopted: list[str] = Field(
        default_factory=list, description="HTTPRoutes of yours that have Luntra's weights in them, or are about to."
    )
    service: ServiceStatus | None = Field(
        default=None, description="What the Service <name> was seen to follow, while a route of yours is adopted."
    )
    parked: ParkedStatus | None = Field(default=None, description="Routes that are about to be deleted.")
    repairs: list[datetime] = Field(
        default_factory=list,
        description="The last three times that an adopted route had to be repaired in this rollout.",
    )
    history: list[HistoryEntry] = Field(default_factory=list, description="The last ten rollouts, newest first.")
    conditions: list[ConditionStatus] = Field(
        default_factory=list, description="Ready, Reconciling, Stalled and Available; OverBudget while it is true."
    )
    replicas: int = Field(default=0, description="Pods of the stable version; for the scale subresource.")
    selector: str = Field(default="", description="Label selector of its pods; for the scale subresource.")
