"""One rollout, or its rollback, against the real API server with faults; and what must hold of all that it wrote."""

import asyncio
import secrets
from collections.abc import Awaitable, Callable, Mapping
from itertools import pairwise
from typing import Any

from luntra_operator.kube import kinds
from luntra_operator.kube.client import Kube
from tests.integration import actors
from tests.integration.faults import Applied, Fault, Faults, operate
from tests.integration.test_operator_scenarios import IMAGES, NAME, Cluster, model_deployment

Object = dict[str, Any]
HOLD = 0.5
STEPS = [{"weight": weight, "hold": f"{HOLD}s"} for weight in (20, 60)]
WITHIN = 120.0
"""Seconds that each half of a run may take: a dozen of them share two processors."""


class Run:
    """One rollout from v1 to v2, or its rollback because v2 dies at 60 %, with faults."""

    def __init__(self, cluster: Cluster, *, bad: bool, at: Mapping[int, Fault]) -> None:
        self.cluster, self.bad, self.faults = cluster, bad, Faults(at)

    async def go(self) -> None:
        """Let it happen, and look at what it came to."""
        cluster, key = self.cluster, (self.cluster.namespace, NAME)
        operator = asyncio.create_task(operate(cluster.kube, cluster.gateway, self.faults, key, IMAGES))
        try:
            async with cluster.actors():
                await self._apply("v1")
                await cluster.until(lambda: self._is("Stable", "v1"), WITHIN)
                if self.bad:
                    cluster.kubelet.serving = self._dies
                self.faults.armed = True
                await self._apply("v2")
                await cluster.until(
                    lambda: self._is("RolledBack", "v1") if self.bad else self._is("Stable", "v2"), WITHIN
                )
                await cluster.until(self._tidy, WITHIN)
        finally:
            operator.cancel()
            await asyncio.gather(operator, return_exceptions=True)

    async def _apply(self, version: str) -> None:
        # A bad version's pods die at 60 %, which a busy machine may tell late: that step is long enough.
        steps = [STEPS[0], {**STEPS[1], "hold": "30s"}] if self.bad else STEPS
        body = model_deployment(self.cluster.namespace, version, steps=steps, soak="0s", deadlines={"ready": "1m"})
        body["spec"]["serving"]["runtime"]["deadline"] = "100ms"
        await self.cluster.kube.apply(kinds.MODEL_DEPLOYMENT, body)

    async def _is(self, phase: str, stable: str) -> bool:
        status = await self.cluster.status()
        return (status.get("phase"), (status.get("stable") or {}).get("version")) == (phase, stable)

    async def _tidy(self) -> bool:
        gone = "digits-w2" if self.bad else "digits-w1"
        return gone not in {child["metadata"]["name"] for child in await self.cluster.children()}

    def _dies(self, pod: Object) -> Object:
        reached = any(weights.get("digits-w2") == 60 for weights in self.cluster.gateway.weights)
        if reached and "digits-w2" in pod["metadata"]["name"]:
            return actors.crashed(139, "segmentation fault")(pod)
        return actors.running(pod)

    # What must hold.

    def wrong(self) -> list[str]:
        """Sentences about broken promises."""
        return [*self._weights(), *self._steps(), *self._statuses()]

    def _weights(self) -> list[str]:
        found, desired, withdrawn = [], 0, False
        for number, write in enumerate(self.faults.applied):
            if status := _status(write):
                withdrawn = withdrawn or _rejected(status)
                desired = _desired(status)
            weights = _route(write) or {}
            share = weights.get("digits-w2")
            if weights and sum(weights.values()) != 100:
                found.append(f"weights {weights} do not add up")
            if share not in (None, desired) and not (share == 0 and self._could_not_be_recorded(number)):
                found.append(f"the route gives {share} % where the status says {desired} %")
            if share and withdrawn:
                found.append(f"the refused version gets {share} %")
        return found

    def _could_not_be_recorded(self, number: int) -> bool:
        """Whether the write before this one was a refused status, and the next status takes v2 back: only then is it done first (R20)."""
        refused = any(at == number and path.endswith(f"{NAME}/status") for at, path in self.faults.refused)
        later = (status for write in self.faults.applied[number:] if (status := _status(write)))
        return refused and _rejected(next(later, {}))

    def _steps(self) -> list[str]:
        shares: list[tuple[int, float]] = []
        for write in self.faults.applied:
            weights = _route(write)
            share = (weights or {}).get("digits-w2", 0)
            if weights is not None and (not shares or shares[-1][0] != share):
                shares.append((share, write.at))
        expected = [0, 20, 60, 0] if self.bad else [0, 20, 60, 100]
        if [share for share, _ in shares] != expected:
            return [f"v2 got {[share for share, _ in shares]} %, not {expected}"]
        lasted = {share: later - earlier for (share, earlier), (_, later) in pairwise(shares)}
        return [
            f"{weight} % lasted {lasted[weight]:.3f} s only"
            for weight in ([20] if self.bad else [20, 60])
            if lasted[weight] < HOLD
        ]

    def _statuses(self) -> list[str]:
        statuses = [status for write in self.faults.applied if (status := _status(write))]
        attempts = [status["attempt"] for status in statuses]
        found = [f"attempts {attempts}"] if attempts != sorted(attempts) or max(attempts) > 2 else []
        outcomes = [(entry["version"], entry["outcome"]) for entry in statuses[-1]["history"]]
        expected = [("v2", "RolledBack" if self.bad else "Promoted"), ("v1", "Promoted")]
        return found + ([f"history {outcomes}"] if outcomes != expected else [])


def _status(write: Applied) -> Object | None:
    status: Object | None = write.content.get("status") if write.path.endswith(f"{NAME}/status") else None
    return status


def _rejected(status: Object) -> bool:
    """Whether v2 is being taken back for good."""
    rejected: bool = (status.get("withdrawal") or {}).get("rejected", False)
    return rejected


def _desired(status: Object) -> int:
    """Percent that v2 should have."""
    traffic = status.get("traffic") or {"workload": "", "desired": 0}
    desired: int = traffic["desired"]
    return 100 - desired if traffic["workload"] == "digits-w1" else desired


def _route(write: Applied) -> dict[str, int] | None:
    if "/httproutes" not in write.path or "spec" not in write.content:
        return None
    return {ref["name"]: ref["weight"] for ref in write.content["spec"]["rules"][0]["backendRefs"]}


async def told(
    kube: Kube,
    *,
    bad: bool,
    at: Mapping[int, Fault],
    meddle: Callable[[Cluster], Awaitable[None]] | None = None,
) -> Run:
    """A run in a namespace of its own; `meddle` edits what it likes meanwhile."""
    name = f"test-{secrets.token_hex(4)}"
    space = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
    await kube.create(kinds.Kind("", "v1", "namespaces", "Namespace"), space)
    run = Run(Cluster(kube, name), bad=bad, at=at)
    others = asyncio.ensure_future(meddle(run.cluster)) if meddle else None
    try:
        await run.go()
    finally:
        if others:
            others.cancel()
            await asyncio.gather(others, return_exceptions=True)
    return run
