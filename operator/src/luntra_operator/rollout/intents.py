"""What a person asks for by annotation: approve, abort, retry. Each value counts once, so it may stay in Git.

A value is `<version, digest or revision>[/token]`; another token makes it a new one. What was acted on is in `status.handled`.
"""

from typing import Any, Literal

from luntra_operator.api.status import VersionStatus

from .turn import Turn

Verb = Literal["approve", "abort", "retry"]


def asked(turn: Turn, verb: Verb, version: VersionStatus) -> str | None:
    """The annotation's value if it speaks of this version and was not acted on before."""
    value: str | None = getattr(turn.seen.intents, verb)
    if value is None or value == getattr(turn.status.handled, verb):
        return None
    return value if value.split("/")[0] in (version.revision, version.version, version.digest) else None


def handled(turn: Turn, verb: Verb, value: str) -> dict[str, Any]:
    """The change of the status that remembers a value as acted on."""
    return {"handled": turn.status.handled.model_copy(update={verb: value})}
