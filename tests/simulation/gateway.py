"""A gateway: its controller reads routes and says so in their status; its proxies follow somewhat before or after that."""

import asyncio
import random
from collections import Counter

from luntra_operator.api.spec import ModelDeploymentSpec
from luntra_operator.api.vocabulary import LABEL_REVISION, LABEL_WORKLOAD
from luntra_operator.controller.dataplane import SAMPLES
from luntra_operator.kube import kinds
from luntra_operator.kube.kinds import Kind
from luntra_operator.rollout.observed import BROKEN

from .api_server import ApiServer, Caller, Write, belongs_to
from .cluster import Later
from .routes import ROUTES, backends

GATEWAY = Caller("gateway")
PROXY_LAG = 1.0
"""Longest time, in seconds, from reading a route, or EndpointSlices, to sending requests as they say."""


def _foreign(backend: str) -> bool:
    """Whether a backend is somebody else's; theirs exist."""
    return backend.startswith("foreign-")


class Gateway:
    """`in_force` and `hosts_in_force` are what the proxies do now, by route; `stuck_until` when the controller reads routes again.

    `leads` says to which workload's pods the Service of an object's name leads, as far as the proxies know.
    """

    def __init__(self, server: ApiServer, rng: random.Random, later: Later) -> None:
        """Serve the routes that `server` stores."""
        self._server, self._rng, self._later = server, rng, later
        self.in_force: dict[str, dict[str, int]] = {}
        self.hosts_in_force: dict[str, set[str]] = {}
        self.leads: dict[str, str | None] = {}
        self.stuck_until = 0.0
        self.reachable = True
        self._reads = self._told = 0
        self._learned: dict[str, int] = {}
        self._followed: dict[str, int] = {}

    def heard(self, write: Write) -> None:
        """Read a route again when it, or a Service, has changed."""
        if write.kind in ROUTES:
            self._later(self._rng.uniform(0.02, 0.5), self._read, write.kind, write.name)
        elif write.kind is kinds.SERVICE and write.verb != "patch":
            for kind in ROUTES:
                for route in self._server.all(kind):
                    if write.name in backends(route):
                        self._later(self._rng.uniform(0.02, 0.5), self._read, kind, route["metadata"]["name"])
        elif write.kind is kinds.ENDPOINT_SLICE and write.name == f"{(name := belongs_to(write.name))}-slice":
            uids = {endpoint["targetRef"]["uid"] for endpoint in write.after["endpoints"]} if write.after else set()
            pods = (pod for pod in self._server.all(kinds.POD) if pod["metadata"]["uid"] in uids)
            leads = next((pod["metadata"]["labels"][LABEL_WORKLOAD] for pod in pods), None)
            self._told += 1
            self._later(self._rng.random() * PROXY_LAG, self._learn, name, leads, self._told)

    def _learn(self, name: str, leads: str | None, number: int) -> None:
        if number > self._learned.get(name, 0):
            self.leads[name], self._learned[name] = leads, number

    def _read(self, kind: Kind, name: str) -> None:
        remaining = self.stuck_until - asyncio.get_running_loop().time()
        if remaining > 0:
            self._later(remaining, self._read, kind, name)
            return
        route = self._server.find(kind, name)
        told = backends(route) if route else {}
        hosts = set(route["spec"].get("hostnames") or ()) if route else set()
        self._reads += 1
        self._later(self._rng.random() * PROXY_LAG, self._follow, name, told, hosts, self._reads)
        if route is None:
            return
        missing = [name for name in told if not _foreign(name) and self._server.find(kinds.SERVICE, name) is None]
        conditions = [
            {"type": what, "status": "True" if good else "False", "reason": reason, "observedGeneration": generation}
            for generation in (route["metadata"]["generation"],)
            for what, good, reason in (
                ("Accepted", True, "Accepted"),
                ("ResolvedRefs", not missing, "BackendNotFound" if missing else "ResolvedRefs"),
            )
        ]
        parents = [{"parentRef": parent, "conditions": conditions} for parent in route["spec"]["parentRefs"]]
        self._server.report(GATEWAY, kind, name, {"parents": parents})

    def _follow(self, name: str, weights: dict[str, int], hosts: set[str], number: int) -> None:
        if number > self._followed.get(name, 0):
            self.in_force[name], self.hosts_in_force[name], self._followed[name] = weights, hosts, number

    async def answers(self, namespace: str, model: str, spec: ModelDeploymentSpec) -> Counter[str] | None:
        """What `luntra_operator.controller.dataplane.DataPlane` would see."""
        await asyncio.sleep(0.01)
        route = spec.adopted.name if spec.adopted else model
        told = self.in_force.get(route, {}).items()
        weights = {name: weight for name, weight in told if weight and not _foreign(name)}  # others send no revision
        asked = set((spec.gateway and spec.gateway.hostnames) or ())
        if not self.reachable or not weights or asked - self.hosts_in_force[route]:
            return None
        found = self._rng.choices(list(weights), list(weights.values()), k=SAMPLES)
        return Counter(self._revision(self.leads.get(model) if name == model else name) for name in found)

    def _revision(self, workload: str | None) -> str:
        piece = self._server.find(kinds.ENDPOINT_SLICE, f"{workload}-slice")
        deployment = self._server.find(kinds.DEPLOYMENT, workload or "")
        if not piece or not piece["endpoints"] or not deployment:
            return BROKEN
        revision: str = deployment["metadata"]["labels"][LABEL_REVISION]
        return revision
