"""The workload's document: what this process is to serve. Parsing only; acting on it is `loading`.

Fields that are not known are ignored, so that an older server can read a newer operator's document.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from luntra_serving.bundle.canonical import describe_problems
from luntra_serving.bundle.manifest import Name
from luntra_serving.durations import parse_duration
from luntra_serving.errors import PermanentLoadError, Reason
from luntra_serving.swap.route import SessionRule

if TYPE_CHECKING:
    from pathlib import Path

_MAX_BYTES = 1 << 20
_LONGEST_TTL = 24 * 3600


def _check_ttl(text: str) -> str:
    if not 0 < parse_duration(text) <= _LONGEST_TTL:
        raise ValueError(f"{text!r} is out of range; it must be above 0 and at most 24h")
    return text


class Target(BaseModel):
    """A version and where its bundle is."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    version: Annotated[str, StringConstraints(min_length=1, max_length=128, pattern=r"^[\x21-\x7e]+$")]
    revision: Annotated[str, StringConstraints(min_length=1, max_length=128, pattern=r"^[\x21-\x7e]+$")] | None = None
    uri: Annotated[str, StringConstraints(min_length=1, max_length=2048)]
    digest: Annotated[str, StringConstraints(pattern=r"^sha256:[0-9a-f]{64}$")]


class Candidate(Target):
    """A second version for `weight` percent of the requests, in the pods that are named (all of them if none is).

    It gets copies of `shadow` percent of the requests that the stable version answers, too; nobody sees its answers to those.
    """

    weight: Annotated[int, Field(ge=0, le=100)] = 0
    shadow: Annotated[int, Field(ge=0, le=100)] = 0
    pods: tuple[str, ...] | None = None


class Session(BaseModel):
    """Requests with the same value in this header (over gRPC: in this metadata key) get the same version.

    With `ttl`, a duration such as 30m, a session stays with the version that answered its first request, whatever is promoted or
    rolled back meanwhile, until a request of it says `x-session-end: true` or none has come for so long.
    """

    model_config = ConfigDict(extra="ignore", frozen=True)

    header: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9-]{1,64}$", to_lower=True)]
    ttl: Annotated[str, AfterValidator(_check_ttl)] | None = None

    @property
    def rule(self) -> SessionRule:
        """What the swapper goes by."""
        return SessionRule(self.header, parse_duration(self.ttl) if self.ttl else None)


class Document(BaseModel):
    """The desired state of one pod."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    generation: Annotated[int, Field(ge=0)]
    model: Name
    stable: Target
    candidate: Candidate | None = None
    session: Session | None = None


def read_document(path: Path) -> Document:
    """Return the document in the file `path`. Raises PermanentLoadError (InvalidDocument) naming every problem."""
    try:
        with path.open("rb") as file:
            content = file.read(_MAX_BYTES)
    except OSError as error:
        problem = f"{path} cannot be read: {error.strerror}; mount the workload's document there"
        raise PermanentLoadError(Reason.INVALID_DOCUMENT, problem) from error
    try:
        return Document.model_validate_json(content)
    except ValidationError as error:
        problem = f"{path}: " + "; ".join(describe_problems(error))
        raise PermanentLoadError(Reason.INVALID_DOCUMENT, problem) from error
