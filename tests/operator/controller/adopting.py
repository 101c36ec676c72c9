"""An operator in memory whose object adopts a route of the user's, and a data plane that is late to learn of Services."""

import copy
import json
from datetime import timedelta
from typing import Any

from luntra_operator.kube import kinds
from tests.operator.controller.in_memory import KEY, MD, Operator, model

Object = dict[str, Any]
ROUTE = "shop"
LAG = timedelta(seconds=3)
"""So much later than the API server the gateway learns which pods a Service has; of routes it learns at once."""


def user_route() -> Object:
    """What the user wrote: two rules, the second one for the model, with filters, a time-out and unknown fields."""
    header = {"type": "RequestHeaderModifier", "requestHeaderModifier": {"set": [{"name": "x-team", "value": "a"}]}}
    return {
        "metadata": {"name": ROUTE, "namespace": "team-a", "labels": {"team": "a"}, "annotations": {"note": "keep"}},
        "spec": {
            "parentRefs": [{"name": "gateway", "sectionName": "http"}],
            "hostnames": ["shop.example"],
            "rules": [
                {"backendRefs": [{"name": "docs", "port": 80, "weight": 3}]},
                {
                    "name": "digits",
                    "matches": [{"path": {"type": "PathPrefix", "value": "/v2/models/digits"}}],
                    "timeouts": {"request": "3s"},
                    "backendRefs": [
                        {"name": "canary", "port": 80, "weight": 0},
                        {"name": "digits", "port": 8080, "filters": [header], "surprise": True},
                        {"name": "other", "port": 80, "weight": 0},
                    ],
                },
            ],
        },
    }


class Adopting(Operator):
    """An operator, its object and the user's route; `served` are the shares that the gateway's users really get, by workload."""

    def __init__(self) -> None:
        super().__init__()
        self.served: list[dict[str, int]] = []
        self._leads: list[tuple[Any, str]] = []
        body = self.kube.peek(MD, "digits")
        body["spec"]["traffic"] = {"gateway": {"mode": "Adopted", "routeRef": {"name": ROUTE}}}
        self.kube.put(kinds.HTTP_ROUTE, user_route())

    @property
    def route(self) -> Object:
        """The route without what the API server adds."""
        found = copy.deepcopy(self.kube.peek(kinds.HTTP_ROUTE, ROUTE))
        found.pop("status", None)
        for key in ("resourceVersion", "generation", "uid"):
            found["metadata"].pop(key)
        return found

    @property
    def restored(self) -> bool:
        """Whether the route is byte for byte what the user wrote."""
        return json.dumps(self.route) == json.dumps(user_route())

    @property
    def finalizers(self) -> list[str]:
        """Of the ModelDeployment."""
        found: list[str] = self.kube.peek(MD, "digits")["metadata"].get("finalizers", [])
        return found

    def shares(self, name: str = ROUTE, rule: int = 1) -> dict[str, int]:
        """Weights of the refs that are ours, by Service."""
        refs = self.kube.peek(kinds.HTTP_ROUTE, name)["spec"]["rules"][rule]["backendRefs"]
        return {ref["name"]: ref.get("weight", 1) for ref in refs if ref["name"].startswith("digits")}

    def reapply(self) -> None:
        """Somebody replaces the route by what the user wrote."""
        self.kube.put(kinds.HTTP_ROUTE, user_route())

    def play_cluster(self) -> None:
        """Pods are ready at once, EndpointSlices follow Services, the gateway follows routes and, later, Services."""
        for name in self.kube.names(kinds.DEPLOYMENT):
            deployment = self.kube.peek(kinds.DEPLOYMENT, name)
            labels = deployment["spec"]["template"]["metadata"]["labels"]
            for number in range(deployment["spec"]["replicas"]):
                if f"{name}-{number}" not in self.kube.names(kinds.POD):
                    self.pod(f"{name}-{number}", labels)
            self._slice(name, name)
        if "digits" in self.kube.names(kinds.SERVICE):
            selected = self.kube.peek(kinds.SERVICE, "digits")["spec"]["selector"]["luntra.io/workload"]
            self._slice("digits", selected)
            if not self._leads or self._leads[-1][1] != selected:
                self._leads.append((self.now, selected))
        for name in self.kube.names(kinds.HTTP_ROUTE):
            self._follow(self.kube.peek(kinds.HTTP_ROUTE, name))

    def _slice(self, service: str, workload: str) -> None:
        pods = [name for name in self.kube.names(kinds.POD) if name.startswith(f"{workload}-")]
        ready = [n for n in pods if self.kube.peek(kinds.POD, n)["status"]["conditions"][0]["status"] == "True"]
        labels = {"luntra.io/model-deployment": "digits", "kubernetes.io/service-name": service}
        metadata = {"name": service, "namespace": "team-a", "labels": labels}
        endpoints = [{"addresses": [name]} for name in ready]
        self.kube.put(kinds.ENDPOINT_SLICE, {"metadata": metadata, "endpoints": endpoints})

    def _follow(self, route: Object) -> None:
        generation = route["metadata"]["generation"]
        accepted = [
            {"type": kind, "status": "True", "observedGeneration": generation} for kind in ("Accepted", "ResolvedRefs")
        ]
        route["status"] = {"parents": [{"parentRef": {"name": "gateway"}, "conditions": accepted}]}
        known = [workload for at, workload in self._leads if at + LAG <= self.now] or [w for _, w in self._leads[:1]]
        total: dict[str, int] = {}
        where = (route["metadata"]["name"], int(route["metadata"]["name"] == ROUTE))
        for name, weight in (self.shares(*where) if known else {}).items():
            workload = known[-1] if name == "digits" else name
            total[workload] = total.get(workload, 0) + weight
        served = {name: weight * 100 // sum(total.values()) for name, weight in total.items() if weight}
        if served and (not self.served or self.served[-1] != served):
            self.served.append(served)
        revisions = {name: self.kube.peek(kinds.DEPLOYMENT, name)["metadata"]["labels"] for name in served}
        self.gateway.seen = {revisions[name]["luntra.io/revision"]: weight for name, weight in served.items()} or None

    async def turn(self) -> float | None:
        """One reconciliation."""
        self.play_cluster()
        return await self.reconcile(KEY)

    async def rest(self, seconds: float = 60, step: float = 0.5) -> None:
        """Let time pass, looking again as often as the operator wants, and at least every `step`."""
        end = self.now + timedelta(seconds=seconds)
        while self.now < end:
            again = await self.turn()
            self.now += timedelta(seconds=min(step, again or step) or 0.05)

    def roll_out(self, version: str = "v2", **rollout: Any) -> None:
        """The user wants another version."""
        rollout = {"steps": [{"weight": 20, "hold": "4s"}], "soak": "4s", **rollout}
        self.edit(model=model(version), rollout=rollout, serving={"runtime": {"deadline": "500ms"}})
