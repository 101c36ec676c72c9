"""The servers that are compared, in the order in which they are reported."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmarks.serving.environments import environment
from benchmarks.serving.peers import kserve, mlserver, triton
from benchmarks.serving.peers.luntra import Luntra

if TYPE_CHECKING:
    from collections.abc import Collection

    from benchmarks.serving.peers.protocol import Server
    from e2e.kind.progress import Progress

NAMES = (Luntra.name, triton.Triton.name, mlserver.MLServer.name, kserve.KServe.name)


def servers(names: Collection[str], progress: Progress) -> list[Server]:
    """The servers of these names, installed if they are not. Raises HarnessError."""
    found: list[Server] = []
    if Luntra.name in names:
        found.append(Luntra())
    if triton.Triton.name in names:
        found.append(triton.Triton(environment(triton.PACKAGE, triton.RELEASE, progress)))
    if mlserver.MLServer.name in names:
        found.append(mlserver.MLServer(environment(mlserver.PACKAGE, mlserver.RELEASE, progress)))
    if kserve.KServe.name in names:
        found.append(kserve.KServe(environment(kserve.PACKAGE, kserve.RELEASE, progress)))
    return found
