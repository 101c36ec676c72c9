"""ModelDeployments as users declare, change and delete them, and everybody else who edits what is not theirs."""

import hashlib
import random
from collections.abc import Callable
from functools import cache
from typing import Any

from luntra_operator.api.vocabulary import ANNOTATION_ABORT, ANNOTATION_APPROVE, ANNOTATION_RETRY, API_VERSION, KIND
from luntra_operator.kube import kinds
from luntra_operator.kube.kinds import Kind

from .api_server import ApiServer, Caller, Object, copied
from .cluster import Later
from .routes import ROUTES, loan, names, users_route

USER = Caller("user")
FOREIGN = Caller("somebody")
MD = kinds.MODEL_DEPLOYMENT
VERSIONS = ("v1", "v2", "v3", "v4")
PLANS: dict[str, list[Object]] = {
    "three": [{"weight": 10, "hold": "5s"}, {"weight": 40, "hold": "3s"}, {"weight": 70, "hold": "2s"}],
    "two": [{"weight": 20, "hold": "4s"}, {"weight": 60, "hold": "4s"}],
    "one": [{"weight": 50, "hold": "8s"}],
    "none": [],
}
CHECKS: dict[str, Object] = {
    "evaluation": {
        "dataset": {"uri": "https://models.example/eval.npz", "digest": "sha256:" + "0" * 64},
        "metric": "accuracy",
        "min": 0.9,
        "timeout": "5s",
    },
    "benchmark": {"requests": 10, "timeout": "5s"},
}
DEFAULTS: dict[str, Any] = {
    "version": "v1",
    "plan": "two",
    "checks": "",
    "replicas": 2,
    "split": True,
    "approval": "Never",
    "patience": "40s",
    "soak": "6s",
    "paused": False,
    "host": "a.example",
    "way": "owned",
}


@cache
def _model(version: str) -> Object:
    digest = hashlib.sha256(version.encode()).hexdigest()
    return {"version": version, "uri": f"https://models.example/{version}", "digest": f"sha256:{digest}"}


def spec(declared: dict[str, Any]) -> Object:
    """The spec of an object; `checks` is any of e (evaluation) and b (benchmark), `split` says whether there is a gateway.

    The `way` behind it is `owned`, `grpc` (with a GRPCRoute beside the HTTPRoute) or `adopted`.
    """
    rollout: Object = {
        "soak": declared["soak"],
        "approval": declared["approval"],
        "deadlines": {"ready": "40s", "step": "60s", "approval": declared["patience"]},
        "checks": {name: block for name, block in CHECKS.items() if name[0] in declared["checks"]},
    }
    if declared["split"]:
        rollout["steps"] = PLANS[declared["plan"]]
    if declared["paused"]:
        rollout["paused"] = True
    gateway: Object = {"parentRefs": [{"name": "gateway"}], "hostnames": [declared["host"]]}
    if declared["way"] == "grpc":
        gateway["grpc"] = {"hostnames": [f"grpc.{declared['host']}"]}
    elif declared["way"] == "adopted":
        gateway = {"mode": "Adopted", "routeRef": {"name": users_route(declared["name"])}}
    traffic = {"traffic": {"gateway": gateway}} if declared["split"] else {}
    return {
        "model": _model(declared["version"]),
        "serving": {"runtime": {"deadline": "1s"}},
        "replicas": declared["replicas"],
        "rollout": rollout,
        **traffic,
    }


def written(name: str) -> Object:
    """The user's own route; its second rule is for the object of that name."""
    docs = {"matches": [{"path": {"value": "/docs"}}], "backendRefs": [{"name": "foreign-docs", "port": 80}]}
    model = {"name": "model", "matches": [{"path": {"value": "/"}}], "backendRefs": [{"name": name, "port": 8080}]}
    rules = {"parentRefs": [{"name": "gateway"}], "hostnames": ["shop.example"], "rules": [docs, model]}
    return {"metadata": {"name": users_route(name), "labels": {"team": "a"}}, "spec": rules}


class User:
    """Declares one object, and does to it and its route whatever it is told to."""

    def __init__(self, name: str, server: ApiServer, rng: random.Random, later: Later, **declared: Any) -> None:
        """Create the object."""
        self.name = name
        self._server, self._rng, self._later = server, rng, later
        self.declared = DEFAULTS | declared | {"name": name}
        self._tokens = 0
        self.least = 0
        self.restored = False
        self.adopts = self.declared["way"] == "adopted"
        if self.adopts:
            self.writes_route()
        self.create()

    def writes_route(self) -> None:
        """The route of their own, if it does not exist."""
        if self._server.find(kinds.HTTP_ROUTE, users_route(self.name)) is None:
            self._server.create(USER, kinds.HTTP_ROUTE, written(self.name))

    def create(self) -> None:
        """Create the object, unless it exists or its predecessor is not quite gone."""
        if self._server.find(MD, self.name) is None:
            body = {"apiVersion": API_VERSION, "kind": KIND, "metadata": {"name": self.name}}
            self._server.create(USER, MD, {**body, "spec": copied(spec(self.declared))})
        else:
            self._later(1.0, self.create)

    def declare(self, **changes: Any) -> None:
        """Change the spec."""
        self.declared |= changes
        self._server.edit(USER, MD, self.name, lambda body: body.update(spec=copied(spec(self.declared))))

    def new_version(self) -> None:
        """Any version, the stable one included."""
        self.declare(version=self._rng.choice(VERSIONS))

    def edited_plan(self) -> None:
        """Other steps, other checks, another soak."""
        checks = self._rng.choice(("", "", "e", "eb"))
        self.declare(plan=self._rng.choice(sorted(PLANS)), checks=checks, soak=self._rng.choice(("0s", "6s", "20s")))

    def scaled(self) -> None:
        """None to three replicas, but at `least` so many."""
        self.declare(replicas=max(self.least, self._rng.choice((0, 1, 2, 2, 3))))

    def paused(self) -> None:
        """For a while nothing may be touched."""
        self.declare(paused=True)
        self._later(self._rng.uniform(0.5, 20), lambda: self.declare(paused=False))

    def approval_mode(self) -> None:
        """Another one."""
        self.declare(approval=self._rng.choice(("Never", "BeforeTraffic", "BeforePromotion")))

    def moved_traffic(self) -> None:
        """With a gateway, or without."""
        self.declare(split=not self.declared["split"])

    def moved_way(self) -> None:
        """To a route of ours or back."""
        self.declare(way="owned" if self.declared["way"] == "adopted" else "adopted")

    def reapplied(self) -> None:
        """Somebody replaces the user's route by what it was at first."""

        def replace(route: Object) -> None:
            route["spec"] = copied(written(self.name)["spec"])
            route["metadata"].pop("annotations", None)

        self._server.edit(FOREIGN, kinds.HTTP_ROUTE, users_route(self.name), replace)

    def moved_host(self) -> None:
        """Under another host name."""
        self.declare(host=self._rng.choice(("a.example", "b.example", "c.example")))

    def autoscaled(self) -> None:
        """A HorizontalPodAutoscaler makes up its mind, again and again."""
        at = 0.0
        for _ in range(self._rng.randint(2, 6)):
            self._later(at, self._scaled_by_load)
            at += self._rng.uniform(0.5, 8)

    def _scaled_by_load(self) -> None:
        self.declare(replicas=self._rng.randint(1, 4))

    def two_changes(self) -> None:
        """Two at once, or nearly so."""
        changes = (
            self.new_version,
            self.new_version,
            self.edited_plan,
            self.scaled,
            self.moved_traffic,
            self.moved_host,
            self.asked,
        )
        for change in self._rng.sample(changes, 2):
            self._later(self._rng.choice((0.0, 0.0, 0.01, 0.3)), change)

    def status_lost(self) -> None:
        """The object is restored from a backup, which keeps no status, while all that belongs to it goes on."""
        self._tokens += 1

        def restore(body: Object) -> None:
            body.pop("status", None)
            body["metadata"].setdefault("annotations", {})["somebody/restored"] = str(self._tokens)

        self.restored = True
        self._server.edit(USER, MD, self.name, restore)

    def aborts(self) -> None:
        """Somebody wants the version back that was there before."""
        self.asks(ANNOTATION_ABORT, self.declared["version"])

    def asked(self) -> None:
        """Approve, abort or retry, mostly something that makes sense."""
        annotation = self._rng.choice((ANNOTATION_APPROVE, ANNOTATION_APPROVE, ANNOTATION_ABORT, ANNOTATION_RETRY))
        self.asks(annotation, self._rng.choice((self.declared["version"], *VERSIONS)))

    def asks(self, annotation: str, version: str) -> None:
        """Ask for something by an annotation, as if for the first time."""
        self._tokens += 1
        value = f"{version}/{self._tokens}"

        def annotate(body: Object) -> None:
            body["metadata"].setdefault("annotations", {})[annotation] = value

        self._server.edit(USER, MD, self.name, annotate)

    def approves(self) -> None:
        """Somebody has read that approval is wanted."""
        found = self._server.find(MD, self.name)
        if found and found.get("status", {}).get("phase") == "AwaitingApproval":
            version = found["status"]["candidate"]["version"]
            self._server.edit(
                USER, MD, self.name, lambda body: body["metadata"].update(annotations={ANNOTATION_APPROVE: version})
            )

    def recreated(self) -> None:
        """The object is deleted, in the background or in the foreground, and made anew before long."""
        if self._rng.random() < 0.5:
            self._server.delete(USER, MD, self.name)
        else:
            gone = "2026-01-01T00:00:00Z"
            self._server.edit(USER, MD, self.name, lambda body: body["metadata"].update(deletionTimestamp=gone))
        self._later(self._rng.choice((0.1, 2.0, 15.0)), self.create)

    def touched(self) -> None:
        """A label that nobody cares for makes a new resourceVersion."""
        label = {"touched": str(self._rng.randrange(1000))}
        self._server.edit(FOREIGN, MD, self.name, lambda body: body["metadata"].update(labels=label))

    # What others do to the route.

    def foreign_weights(self) -> None:
        """Somebody sets the weights of our backends to anything."""

        def change(route: Object) -> None:
            lent = loan(self.name, route) is not None
            for ref in _refs(route):
                if ref["name"].startswith(f"{self.name}-w") or (lent and ref["name"] == self.name):
                    ref["weight"] = self._rng.choice((0, 0, 10, 50, 100))

        self._edit_route(change)

    def foreign_content(self) -> None:
        """Somebody adds what only they understand."""
        number = self._rng.randrange(1000)

        def change(route: Object) -> None:
            rules, what = route["spec"]["rules"], self._rng.choice((0, 0, 1, 2, 3, 4, 4))
            mine: list[Object] = [
                rule
                for rule in rules
                if any(name == self.name or name.startswith(f"{self.name}-w") for name in _names(rule))
            ]
            if what == 0:
                route["metadata"].setdefault("annotations", {})["somebody/note"] = str(number)
            elif what == 1:
                route["metadata"]["labels"]["somebody"] = str(number)
            elif what == 2:
                extra = {"name": f"foreign-{number}", "port": 80, "weight": 1}
                rules.append({"matches": [{"path": {"value": f"/{number}"}}], "backendRefs": [extra]})
            elif what == 3 and mine:
                mine[0]["filters"] = [{"type": "RequestHeaderModifier", "set": number}]
            elif mine:
                mine[0]["backendRefs"].append({"name": f"foreign-{number}", "port": 80, "weight": 0})

        self._edit_route(change)

    def route_deleted(self) -> None:
        """Somebody deletes the route; users write theirs again before long."""
        for kind, name in self._any_route():
            self._server.delete(FOREIGN, kind, name)
            if name == users_route(self.name):
                self._later(self._rng.choice((0.5, 4.0)), self.writes_route)

    def _any_route(self) -> list[tuple[Kind, str]]:
        live = [(kind, name) for kind in ROUTES for name in names(self.name) if self._server.find(kind, name)]
        return [self._rng.choice(live)] if live else []

    def _edit_route(self, change: Callable[[Object], None]) -> None:
        for kind, name in self._any_route():
            self._server.edit(FOREIGN, kind, name, change)


def _refs(route: Object) -> list[Object]:
    return [ref for rule in route["spec"].get("rules") or [] for ref in rule.get("backendRefs") or []]


def _names(rule: Object) -> list[str]:
    return [ref["name"] for ref in rule.get("backendRefs") or []]
