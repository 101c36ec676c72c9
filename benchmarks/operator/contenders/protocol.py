"""What a contender has to offer: how it is started, what a person writes, and how its routes are read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from luntra_operator.kube.client import Kube

Object = dict[str, Any]
OBJECTS = frozenset({"modeldeployments", "canaries"})
"""Resources of the contenders' own objects."""


@dataclass(frozen=True, slots=True)
class Wish:
    """What an object is made with: pods, seconds between two looks at its metric (0: it has none), steps that wait."""

    replicas: int = 1
    interval: int = 0
    gated: bool = False
    hold: str = "0s"


class Contender(Protocol):
    """One operator. It is a user of the API server by its `name`."""

    @property
    def name(self) -> str:
        """Its user at the API server."""

    @property
    def title(self) -> str:
        """Its name for people, with its version."""

    def crds(self) -> Path:
        """A file or folder of CRDs that it needs."""

    def command(self, kubeconfig: Path, port: int, options: Mapping[str, str]) -> tuple[list[str], dict[str, str]]:
        """The program, and what it needs in its environment; it answers /healthz on `port`."""

    def judging(self, interval: int, /) -> dict[str, str]:
        """Options with which it looks at its objects' metric every so many seconds."""

    async def create(self, kube: Kube, namespace: str, name: str, wish: Wish) -> None:
        """Make an object of version 1."""

    async def change(self, kube: Kube, namespace: str, name: str, version: int) -> None:
        """Write another version; one request."""

    def at_rest(self, status: Mapping[str, Any]) -> bool:
        """Whether nothing is under way."""

    def share(self, weights: Mapping[str, int], before: str) -> int:
        """Percent of the version under rollout, `before` being the backend of the one that had all."""

    def stable(self, weights: Mapping[str, int]) -> str:
        """The backend that has all the traffic."""

    def candidate_pods(self, name: str, weights: Mapping[str, int], before: str, /) -> str:
        """What the names of the new version's pods begin with."""
