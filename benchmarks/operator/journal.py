"""What has happened in the cluster so far, as the API server's audit log tells it, and waiting for what has not."""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from benchmarks.operator.audit import AuditLog, Request, weights

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

Key = tuple[str, str]
"""Namespace and name."""

POLL = 0.05
STATUSES = ("modeldeployments/status", "canaries/status")


@dataclass(frozen=True, slots=True)
class Weights:
    """One write of a route: who, when it was answered, and the weights since."""

    user: str
    at: float
    weights: dict[str, int]


class Journal:
    """Requests since the last `forget`; routes' weights and objects' statuses since the beginning.

    `guards` are called while something is waited for, and raise if it cannot come any more.
    """

    def __init__(self, log: Path) -> None:
        """Read from `log`."""
        self._log = AuditLog(log)
        self.requests: list[Request] = []
        self.routes: dict[Key, list[Weights]] = defaultdict(list)
        self.statuses: dict[Key, dict[str, Any]] = {}
        self.guards: list[Callable[[], None]] = []

    def read(self) -> None:
        """Take in what is new."""
        for request in self._log.read():
            self.requests.append(request)
            key = (request.namespace, request.name or _name(request))
            if request.body is None or request.code >= 300:
                continue
            if request.resource == "httproutes":
                self.routes[key].append(Weights(request.user, request.ended, weights(request.body)))
            elif request.resource in STATUSES:
                self.statuses[key] = request.body.get("status") or {}

    def forget(self, *users: str) -> None:
        """Drop the requests of `users`, of everybody if none is named, to keep memory bounded."""
        self.read()
        self.requests = [one for one in self.requests if users and one.user not in users]

    def since(self, moment: float, user: str) -> list[Request]:
        """What a user has asked for and was answered after `moment`."""
        return [request for request in self.requests if request.user == user and request.ended >= moment]

    async def until(self, holds: Callable[[], bool], seconds: float) -> bool:
        """Wait until `holds`; False if it did not within so many seconds. Whatever one of `guards` raises ends it."""
        limit = time.monotonic() + seconds
        while True:
            self.read()
            if holds():
                return True
            for guard in self.guards:
                guard()
            if time.monotonic() > limit:
                return False
            await asyncio.sleep(POLL)

    def close(self) -> None:
        """Let go of the log."""
        self._log.close()


def _name(request: Request) -> str:
    name: str = (request.body or {}).get("metadata", {}).get("name", "")
    return name
