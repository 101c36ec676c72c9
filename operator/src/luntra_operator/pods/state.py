"""What a pod says of a model: the parts of ModelState and ModelStats in management.json that the operator goes by."""

from pydantic import Field

from luntra_operator.api.base import StatusModel


class VersionState(StatusModel):
    """One version in a pod."""

    version: str
    revision: str | None = None
    digest: str
    state: str
    stage: str | None = None
    reason: str | None = None
    message: str | None = None
    in_flight: int = 0


class ModelState(StatusModel):
    """One model in a pod; `stable` and `candidate` are versions that answer now, `weight` the candidate's percent."""

    name: str
    observed_generation: int
    ready: bool
    draining: bool
    stable: str | None = None
    candidate: str | None = None
    weight: int = 0
    versions: tuple[VersionState, ...] = ()


class LatencyState(StatusModel):
    """Requests by how long they took: pairs of an upper bound in seconds, null for none, and how many took no longer."""

    count: int
    buckets: tuple[tuple[float | None, int], ...]


class VersionStats(StatusModel):
    """What one version was asked since the process began; `since` is its first request, by the pod's clock, null before it."""

    revision: str | None
    since: float | None
    in_flight: int
    codes: dict[int, int]
    latency: LatencyState


class FeedbackStats(StatusModel):
    """What feedback said of one version's predictions: each is worth 0 to 1, right ones 1, wrong ones 0."""

    count: int
    reward_sum: float


class ModelStats(StatusModel):
    """Counters of one model in a pod; `instance` names the process, `at` is now by the pod's clock, in seconds since 1970."""

    instance: str
    at: float
    draining: bool
    versions: tuple[VersionStats, ...]
    feedback: dict[str, FeedbackStats] = Field(default_factory=dict)
