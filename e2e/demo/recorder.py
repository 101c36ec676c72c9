"""Follows a ModelDeployment's status and keeps what the picture and the summary need: weights and outcomes.

It only reads. A look that fails is one point less; the outcomes come from `status.history`, where none is lost.
"""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from e2e.demo.records import Outcome, Weight
from luntra_operator.cli.view import view

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

INTERVAL = 0.5
"""Seconds between two looks."""

Document = dict[str, Any]


class Recorder:
    """Weights of candidates over time and the outcomes of rollouts, from objects as they were seen.

    The first deployment is no rollout: there was nothing to replace.
    """

    def __init__(self) -> None:
        """Begin with nothing."""
        self.weights: list[Weight] = []
        self._outcomes: dict[tuple[str, str], Outcome] = {}
        self._first: set[str] = set()

    @property
    def outcomes(self) -> list[Outcome]:
        """The finished rollouts, oldest first."""
        return sorted(self._outcomes.values(), key=lambda one: one.finished)

    def saw(self, document: Document, at: float) -> None:
        """Take in the object as it was at `at` (seconds since the epoch)."""
        status = document.get("status") or {}
        seen = view(document, datetime.fromtimestamp(at, UTC))
        candidate = seen.version("candidate")
        if candidate is not None and seen.version("stable") is None:
            self._first.add(candidate.revision)
        elif candidate is not None:
            traffic = seen.traffic
            written = 0 if traffic is None else traffic.written if traffic.written is not None else traffic.desired
            self.weights.append(Weight(at, candidate.version, written))
        for entry in status.get("history") or []:
            key = (entry["revision"], entry["startedAt"])
            if entry["revision"] in self._first and entry["outcome"] == "Promoted":
                continue
            known = self._outcomes.get(key)
            if known is None or not known.message:
                self._outcomes[key] = _outcome(entry, status)


def _outcome(entry: Document, status: Document) -> Outcome:
    refused = entry["outcome"] == "RolledBack" and status.get("rejectedRevision") == entry["revision"]
    return Outcome(
        version=entry["version"],
        outcome=entry["outcome"],
        reason=entry.get("reason") or "",
        message=(status.get("rejectedMessage") or "") if refused else "",
        started=_seconds(entry["startedAt"]),
        finished=_seconds(entry["finishedAt"]),
    )


def _seconds(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


async def record(
    recorder: Recorder,
    look: Callable[[], Awaitable[Document | None]],
    stop: asyncio.Event,
    clock: Callable[[], float],
    interval: float = INTERVAL,
) -> None:
    """Look once per interval until `stop` is set, and once more then. What `look` raises is passed on."""
    while True:
        last = stop.is_set()
        document = await look()
        if document is not None:
            recorder.saw(document, clock())
        if last:
            return
        try:
            await asyncio.wait_for(stop.wait(), interval)
        except TimeoutError:
            continue
