"""What happened, one line each, for people: when, who, what."""

from collections.abc import Callable

from luntra_operator.kube import kinds

from .api_server import START, Object, Write, belongs_to
from .routes import backends, intent


class Trace:
    """Remembers writes and remarks cheaply; they become text when somebody wants to read it."""

    def __init__(self, clock: Callable[[], float]) -> None:
        """Start empty."""
        self._clock = clock
        self._entries: list[Write | tuple[float, str, str]] = []

    def heard(self, write: Write) -> None:
        """A write to the API server."""
        self._entries.append(write)

    def tell(self, who: str, what: str) -> None:
        """Anything else."""
        self._entries.append((self._clock(), who, what))

    def lines(self) -> list[str]:
        """The whole story."""
        return [_line(*entry) if isinstance(entry, tuple) else _written(entry) for entry in self._entries]


def _line(at: float, who: str, what: str) -> str:
    return f"{at - START:9.3f}  {who:<9} {what}"


def _written(write: Write) -> str:
    told = _DETAILS.get(write.kind.kind, _nothing)(write.body) if write.after else ""
    return _line(write.at, write.caller.name, f"{write.verb} {write.kind.kind} {write.name} {told}".rstrip())


def _nothing(_: Object) -> str:
    return ""


def _object(body: Object) -> str:
    status, spec = body.get("status", {}), body["spec"]
    rollout = spec.get("rollout", {})
    wanted = [f"wants {spec['model']['version']} x{spec['replicas']}"]
    wanted += ["paused"] * bool(rollout.get("paused")) + ["no gateway"] * ("traffic" not in spec)
    wanted.append("/".join(f"{step['weight']}%:{step['hold']}" for step in rollout.get("steps", [])))
    wanted += [f"{key}={value}" for key, value in body["metadata"].get("annotations", {}).items()]
    versions = [
        f"{role} {status[role]['version']}@{status[role]['workload']}"
        for role in ("stable", "candidate", "previous")
        if status.get(role)
    ]
    traffic = status.get("traffic")
    shares = [f"{traffic['workload']} {_shares(traffic)}"] if traffic else []
    taken = [f"withdrawn: {status['withdrawal']['reason']}"] if status.get("withdrawal") else []
    refused = [f"refused {status['rejectedReason']}"] if status.get("rejectedRevision") else []
    known = [f"{status.get('phase', '-')} #{status.get('attempt', 0)}", *versions, *shares, *taken, *refused]
    return f"[{' '.join(filter(None, wanted))}] {', '.join(known)}"


def _shares(traffic: Object) -> str:
    return "/".join(str(traffic.get(name, "-")) for name in ("desired", "written", "observed"))


def _route(body: Object) -> str:
    said = intent(belongs_to(body["metadata"]["name"]), body)
    parents = body.get("status", {}).get("parents", [])
    seen = {one["observedGeneration"] for parent in parents for one in parent["conditions"]}
    current = "in force" if seen == {body["metadata"]["generation"]} else "not read yet"
    return f"{backends(body)} for {said or None} ({current})"


def _pod(body: Object) -> str:
    status = body["status"]
    container = status["containerStatuses"][0]
    ready = "ready" if container["ready"] else "not ready"
    leaving = ", leaving" if "deletionTimestamp" in body["metadata"] else ""
    state: Object = next(iter(container["state"].values()), {})
    return f"{status['phase']}, {ready}, {container['restartCount']} restarts {state or ''}{leaving}"


_DETAILS: dict[str, Callable[[Object], str]] = {
    kinds.MODEL_DEPLOYMENT.kind: _object,
    kinds.HTTP_ROUTE.kind: _route,
    kinds.GRPC_ROUTE.kind: _route,
    kinds.POD.kind: _pod,
    kinds.DEPLOYMENT.kind: lambda body: f"x{body['spec']['replicas']}",
    kinds.ENDPOINT_SLICE.kind: lambda body: f"{len(body['endpoints'])} endpoints",
    kinds.SERVICE.kind: lambda body: f"-> {next(iter(body['spec']['selector'].values()))}",
    kinds.JOB.kind: lambda body: str(body.get("status", "")),
    kinds.EVENT.kind: lambda body: f"{body['reason']}: {body['message']}",
}
