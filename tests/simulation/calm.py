"""Calm stories: nothing bad happens, so every version is promoted, with exactly the declared weights and without a warning."""

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from luntra_operator.kube import kinds

from .api_server import ApiServer, Write
from .routes import ROUTES, backends
from .users import PLANS, VERSIONS, User
from .wire import OPERATOR

if TYPE_CHECKING:
    from luntra_operator.kube.kinds import Kind

LOOK = 2.0
"""Seconds between two looks of the user at the status."""


class Calm:
    """A user who declares one version after the other, each once the one before is stable, and approves what asks for it."""

    def __init__(self, server: ApiServer, user: User, later: Callable[..., object], rollouts: int) -> None:
        """Begin with the version that the user has declared; `rollouts` more follow."""
        self._server, self._user, self._later = server, user, later
        self._versions = [user.declared["version"]]
        self._left = rollouts
        self._weights: dict[tuple[Kind, str], list[int]] = {}
        self._warnings: list[str] = []
        self._look()

    def _look(self) -> None:
        status = (self._server.find(kinds.MODEL_DEPLOYMENT, self._user.name) or {}).get("status", {})
        self._user.approves()
        arrived = status.get("phase") == "Stable" and status["stable"]["version"] == self._versions[-1]
        if arrived and self._left:
            self._left -= 1
            self._versions.append(next(one for one in VERSIONS if one != self._versions[-1]))
            self._user.declare(version=self._versions[-1])
        self._later(LOOK, self._look)

    def heard(self, write: Write) -> None:
        """Remember the weights of each workload, and warnings."""
        if write.kind is kinds.EVENT and write.body["type"] == "Warning":
            self._warnings.append(write.body["message"])
        if write.kind in ROUTES and write.after and write.caller.name == OPERATOR:
            for name, weight in backends(write.after).items():
                weights = self._weights.setdefault((write.kind, name), [])
                if not weights or weights[-1] != weight:
                    weights.append(weight)

    def wrong(self) -> Iterator[str]:
        """Sentences about what is not as it should be at the end."""
        owner = self._server.find(kinds.MODEL_DEPLOYMENT, self._user.name) or {}
        ended = [(entry["version"], entry["outcome"]) for entry in owner["status"].get("history", ())]
        if ended[::-1] != [(version, "Promoted") for version in self._versions] or self._left:
            yield f"{self._versions} and {self._left} more should be promoted, but the history is {ended[::-1]}"
        yield from self._warnings
        if not self._user.declared["split"]:
            return
        steps = [step["weight"] for step in PLANS[self._user.declared["plan"]]]
        way = self._user.declared["way"]
        for kind in ROUTES if way == "grpc" else ROUTES[:1]:
            for number in range(1, len(self._versions) + 1):
                workload, last = f"{self._user.name}-w{number}", number == len(self._versions)
                rise = [100] if number == 1 else [0, *steps, 100]
                fall = [] if last else [*(100 - step for step in steps), 0]
                wanted = [rise + fall]
                if way == "adopted":  # the stable version has its share by the Service; in the soak it is named, at 0
                    wanted = (
                        [[] if last else [0]] if number == 1 else [[*rise, 0], *wanted]
                    )  # or the loan is not over yet
                found = self._weights.get((kind, workload), [])
                if found not in wanted:
                    yield f"{workload} should get {wanted[0]} % by {kind.kind}, but got {found} %"
