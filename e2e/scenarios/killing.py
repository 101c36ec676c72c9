"""SIGKILL for the operator, as the kernel or a lost node does it: no signal handler runs, no lease is given up."""

import time
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from e2e.installation import NAMESPACE, Installation
from e2e.scenarios.arena import Arena
from luntra_operator.kube import kinds
from luntra_operator.runtime.lease import NAME as LEASE

How = Literal["process", "pod"]
"""`process`: its container starts again in place. `pod`: the pod goes as well, and its successor waits for the lease to expire."""
OUTAGE = 60.0
"""Seconds within which somebody must lead again: the lease's 15, the pod's start, the kubelet's back-off."""


@dataclass(frozen=True)
class Kill:
    """One kill, at a time in seconds since the epoch."""

    at: float
    how: How


class Operator:
    """The operator's pod in the cluster."""

    def __init__(self, arena: Arena, installation: Installation) -> None:
        """Nothing is done to it yet."""
        self._arena, self._cluster = arena, installation.cluster
        self._killed: set[str] = set()
        self.kills: list[Kill] = []

    async def until_leading(self) -> None:
        """Wait until a process that was not killed holds the lease."""
        since = self.kills[-1].at if self.kills else 0.0

        async def leads() -> bool:
            lease = (await self._arena.kube.get(kinds.LEASE, NAMESPACE, LEASE) or {})["spec"]
            renewed = datetime.fromisoformat(lease["renewTime"]).timestamp()
            return renewed > since and lease["holderIdentity"] in await self._alive()

        await self._arena.until(leads, OUTAGE)

    async def kill(self, how: How) -> None:
        """Kill it now.

        Raises:
            HarnessError: the process has ended by itself, or the cluster said no.
        """
        for pod, container in (await self._alive()).items():
            self._killed.add(container)
            self._cluster.in_node("ctr", "--namespace=k8s.io", "task", "kill", "--signal=SIGKILL", container)
            if how == "pod":
                where = (f"--namespace={NAMESPACE}", "--grace-period=0", "--force", "--wait=false")
                self._cluster.kubectl("delete", "pod", pod, *where)
            self.kills.append(Kill(time.time(), how))

    async def _alive(self) -> dict[str, str]:
        """Containers that run and were not killed, by pod."""
        pods = await self._arena.kube.list(kinds.POD, NAMESPACE, "app.kubernetes.io/name=luntra-operator")
        found = {
            pod["metadata"]["name"]: container["containerID"].removeprefix("containerd://")
            for pod in pods
            for container in pod["status"].get("containerStatuses", [])
            if "running" in container["state"]
        }
        return {pod: container for pod, container in found.items() if container not in self._killed}
