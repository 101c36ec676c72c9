"""What never changes under a user: pods that serve, stored revisions, the hosts that are asked for, and who is stable.

An upgraded operator changes no pod and starts no rollout (R14); a new host of the route serves before the old one goes (R18);
whoever becomes stable had all the traffic before, even where the status was lost (R19).
"""

from collections.abc import Callable

from luntra_operator.kube import kinds
from luntra_operator.traffic.owned import is_parked

from .api_server import ApiServer, Object, Write, belongs_to
from .gateway import Gateway
from .routes import ROUTES, backends, shares
from .wire import OPERATOR

MD = kinds.MODEL_DEPLOYMENT


class Constancy:
    """Looks at each write; `violated` is told what is wrong."""

    def __init__(self, server: ApiServer, gateway: Gateway, violated: Callable[[str], None]) -> None:
        """Judge what `server` tells."""
        self._server, self._gateway, self._violated = server, gateway, violated
        self._whole: dict[str, set[str]] = {}

    def heard(self, write: Write) -> None:
        """Judge one write."""
        before, after = write.before, write.after
        if after is None:
            return
        owner = belongs_to(write.name)
        alone = write.kind in ROUTES and self._server.find(kinds.HTTP_ROUTE, owner) is None  # the other one was deleted
        if write.kind is kinds.HTTP_ROUTE or alone:
            whole = {name for name, weight in shares(owner, backends(after), None).items() if weight == 100}
            self._whole.setdefault(owner, set()).update(whole)
        elif write.kind is kinds.SERVICE and write.name == _owner(after):
            self._whole.setdefault(write.name, set()).update(after["spec"]["selector"].values())
        if write.caller.name != OPERATOR or before is None:
            return
        if write.kind is kinds.DEPLOYMENT and before["spec"]["template"] != after["spec"]["template"]:
            self._violated(f"the pod template of {write.name} is changed")
        elif write.kind is kinds.CONTROLLER_REVISION:
            self._violated(f"the stored revision {write.name} is changed")
        elif write.kind in ROUTES and write.verb != "status":
            self._hosts(write.name, before, after)
        elif write.kind is MD and write.verb == "status":
            self._stable(after, before.get("status", {}), after["status"])

    def _hosts(self, name: str, before: Object, after: Object) -> None:
        if is_parked(before) or is_parked(after):
            return  # the spec names no host any more, or did not until now
        had, has = _hostnames(before), _hostnames(after)
        serving = self._gateway.hosts_in_force.get(name, set())
        if had - has and not has <= serving:
            self._violated(f"{name} gives up {sorted(had - has)} before the gateway serves {sorted(has)}")

    def _stable(self, owner: Object, before: Object, status: Object) -> None:
        name = owner["metadata"]["name"]
        stable, known = status.get("stable"), before.get("stable") or {}
        if stable and stable["workload"] not in (known.get("workload"), *self._whole.get(name, ())):
            self._violated(f"{stable['workload']} is stable and never had all the traffic")
        candidate = status.get("candidate") or {}
        attempt: int = before.get("attempt", 0)
        started = status["attempt"] > attempt > 0 and known
        returned = (before.get("previous") or {}).get("workload") == candidate.get("workload")
        if started and candidate.get("revision") == known["revision"] and not returned:
            self._violated(f"a rollout of {candidate['version']} starts, which is stable already")


def _hostnames(route: Object) -> set[str]:
    return set(route["spec"].get("hostnames") or ())


def _owner(body: Object) -> str | None:
    owners = body["metadata"].get("ownerReferences", ())
    return next((ref["name"] for ref in owners), None)
