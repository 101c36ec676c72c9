"""What the benchmark asks of a server, whoever made it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from benchmarks.serving.models import Model
    from benchmarks.serving.process import ServerProcess


@dataclass(frozen=True)
class Running:
    """A server that answers for one model at `path` of `port`.

    `reload` brings another version (`v1`, `v2`) into service and returns when the server says that it has, or at once if
    its way of being told is declarative; it raises HarnessError if it is refused. None: a restart is the only way.
    `grpc_port`: where it answers over gRPC, if that is compared.
    """

    process: ServerProcess
    port: int
    path: str
    reload: Callable[[str], None] | None
    grpc_port: int | None = None


class Server(Protocol):
    """A kind of server."""

    @property
    def name(self) -> str:
        """One word."""

    @property
    def title(self) -> str:
        """What the report calls it, with its release."""

    @property
    def binary(self) -> bool:
        """Whether its HTTP port speaks the binary tensor extension."""

    @property
    def reloading(self) -> str:
        """How it changes a model, in words for the report."""

    def start(self, model: Model, work: Path, core: int) -> Running:
        """Serve version v1 from the empty folder `work`, ready when this returns. Raises HarnessError."""
