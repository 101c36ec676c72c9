"""What the demo writes down while it runs: answers, weights and outcomes; and how answers travel through a file.

Plain values only. Times are seconds since the epoch, latencies seconds, weights percent.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class Answer:
    """One request and what came of it, by the time at which it was sent.

    `error` is empty only for an answer of status 200 that names its version and has a prediction of the right shape.
    `status` is 0 where there was no answer at all.
    """

    at: float
    latency: float
    status: int
    version: str
    label: int
    predicted: int | None
    error: str = ""

    @property
    def failed(self) -> bool:
        """Whether a version got the request and failed on it."""
        return self.status == 500 and bool(self.version)

    @property
    def lost(self) -> bool:
        """Whether there was no answer for any other reason: the fault of who replaces versions."""
        return bool(self.error) and not self.failed


@dataclass(frozen=True, slots=True)
class Weight:
    """The share that the operator gave to a candidate, as seen at a time."""

    at: float
    version: str
    percent: int


@dataclass(frozen=True, slots=True)
class Outcome:
    """One finished rollout: Promoted, RolledBack or Superseded; `message` has the figures of a refusal."""

    version: str
    outcome: str
    reason: str
    message: str
    started: float
    finished: float


def line(answer: Answer) -> str:
    """Write an answer as one line of JSON."""
    return json.dumps(asdict(answer)) + "\n"


def read_answers(path: Path) -> list[Answer]:
    """Read all complete lines of a file of answers."""
    return Tail(path).new()


class Tail:
    """Reads a file of answers while it is being written; a line that is not complete yet is left for later."""

    def __init__(self, path: Path) -> None:
        """Start at the beginning; the file need not exist yet."""
        self._path = path
        self._offset = 0

    def new(self) -> list[Answer]:
        """Give the answers that were added since the last call."""
        if not self._path.exists():
            return []
        with self._path.open("rb") as file:
            file.seek(self._offset)
            content = file.read()
        complete = content[: content.rfind(b"\n") + 1]
        self._offset += len(complete)
        return [Answer(**json.loads(text)) for text in complete.splitlines()]


def versions_of(answers: Iterable[Answer]) -> list[str]:
    """Give the versions in the order of their first answer."""
    return list(dict.fromkeys(answer.version for answer in answers if answer.version))
