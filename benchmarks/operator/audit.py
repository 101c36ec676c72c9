"""The API server's audit log: who asked for what, when, and what became of it. Parsing is pure; `AuditLog` reads the file.

All times of the benchmark are the API server's own, so that neither side's clock nor this harness's own delays count.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

WRITES = frozenset({"create", "update", "patch", "delete", "deletecollection"})


@dataclass(frozen=True, slots=True)
class Request:
    """One request: `resource` has its subresource after a slash; `begun` and `ended` are seconds of the epoch.

    `body` is what an HTTPRoute was after the write, or the object with the status that was written; None elsewhere. A watch
    counts as one request, ended when it began to be answered.
    """

    user: str
    verb: str
    resource: str
    namespace: str
    name: str
    code: int
    begun: float
    ended: float
    body: dict[str, Any] | None = None

    @property
    def writes(self) -> bool:
        """Whether it changed something."""
        return self.verb in WRITES and self.code < 300


def policy(contenders: Sequence[str], people: Sequence[str]) -> str:
    """The audit policy: everything that `contenders` ask for, and what `people` write; the content of routes and statuses."""
    verbs = ["create", "update", "patch"]
    routes = [{"group": "gateway.networking.k8s.io", "resources": ["httproutes"]}]
    statuses = [
        {"group": "luntra.io", "resources": ["modeldeployments/status"]},
        {"group": "flagger.app", "resources": ["canaries/status"]},
    ]
    rules = [
        {"level": "RequestResponse", "users": [*contenders], "verbs": verbs, "resources": routes},
        {"level": "Request", "users": [*contenders], "verbs": verbs, "resources": statuses},
        {"level": "Metadata", "users": [*contenders]},
        {"level": "Metadata", "users": [*people], "verbs": verbs},
        {"level": "None"},
    ]
    return json.dumps(
        {
            "apiVersion": "audit.k8s.io/v1",
            "kind": "Policy",
            "omitStages": ["RequestReceived"],
            "omitManagedFields": True,
            "rules": rules,
        }
    )


def parse(line: bytes) -> Request | None:
    """The request of one line of the log; None for the end of a watch, whose beginning was a line too.

    Raises:
        ValueError: the line is no audit event.
    """
    try:
        event = json.loads(line)
        status = event.get("responseStatus") or {}
        if event["verb"] == "watch" and event["stage"] == "ResponseComplete" and status.get("code") == 200:
            return None
        target = event.get("objectRef") or {"resource": event["requestURI"].partition("?")[0]}
        parts = (target.get("resource", ""), target.get("subresource"))
        return Request(
            user=event["user"]["username"],
            verb=event["verb"],
            resource="/".join(part for part in parts if part),
            namespace=target.get("namespace", ""),
            name=target.get("name", ""),
            code=status.get("code", 0),
            begun=_moment(event["requestReceivedTimestamp"]),
            ended=_moment(event["stageTimestamp"]),
            body=event.get("responseObject") or event.get("requestObject"),
        )
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"no audit event, {error!r} is missing: {line[:200]!r}") from error


def weights(route: dict[str, Any]) -> dict[str, int]:
    """Weights of a route's first rule by backend; a backend without one has 1, says the Gateway API."""
    rules = route.get("spec", {}).get("rules") or [{}]
    return {ref["name"]: ref.get("weight", 1) for ref in rules[0].get("backendRefs") or []}


def _moment(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


class AuditLog:
    """Reads what has been added to a log since it was read last."""

    def __init__(self, path: Path) -> None:
        """Begin at the log's beginning."""
        self._file = path.open("rb")
        self._rest = b""

    def read(self) -> list[Request]:
        """The requests of all lines that are complete by now. Raises ValueError."""
        *lines, self._rest = (self._rest + self._file.read()).split(b"\n")
        return [request for request in map(parse, filter(None, lines)) if request is not None]

    def close(self) -> None:
        """Let go of the file."""
        self._file.close()
