"""What a pod says of a model: the part of ModelState in management.json that the operator goes by."""

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
