"""Weights: what the route should say, what it says, and whether the data plane follows.

A weight is *settled* when the route carries it, the gateway's controller has accepted exactly that
generation, and answers through the gateway agree. Where the gateway cannot be asked, a delay stands
in for the answers, and the status says so.

A backend is *introduced* before it gets traffic: named at weight 0 until the data plane had time to learn
of it, because a proxy may hear of a route before it hears of the backend that the route names.
"""

from collections.abc import Mapping

from luntra_operator.api.status import TrafficStatus, VersionStatus
from luntra_operator.api.vocabulary import Phase

from .turn import Timers, Turn


def target_weights(turn: Turn) -> dict[str, int] | None:
    """Percent by workload that the route should carry; None while nothing may be routed yet.

    A version at 0 is named while it has ready pods and its first traffic or the end of its last requests
    is near; one without a ready pod is never named.
    """
    status, traffic = turn.status, turn.status.traffic
    if traffic is None:
        return None
    other = _other(turn)
    weights = {traffic.workload: traffic.desired}
    if other is not None:
        weights = {other.workload: 100 - traffic.desired, **weights}
    kept = {name: weight for name, weight in weights.items() if weight or _named_at_zero(turn, name)}
    return kept if any(kept.values()) and (status.stable or traffic.desired) else None


def _named_at_zero(turn: Turn, name: str) -> bool:
    named = turn.seen.route is not None and name in turn.seen.route.weights
    expected = named or turn.status.phase in (Phase.SHIFTING, Phase.SOAKING)
    return expected and turn.seen.workload(name).endpoints > 0


def introducing(turn: Turn) -> bool:
    """Whether the route names the candidate, or is to name it, before its first traffic."""
    status = turn.status
    return status.phase is Phase.SHIFTING and status.step is None and turn.spec.gateway is not None


def _other(turn: Turn) -> VersionStatus | None:
    status, traffic = turn.status, turn.status.traffic
    versions = [version for version in (status.stable, status.candidate, status.previous) if version]
    return next((version for version in versions if traffic and version.workload != traffic.workload), None)


def selected_workload(turn: Turn) -> str | None:
    """The workload that the Service <name> should select.

    With a gateway it follows promotion; without one it is itself what moves the traffic.
    """
    status, traffic = turn.status, turn.status.traffic
    if turn.spec.gateway is None and traffic is not None and traffic.desired == 100:
        return traffic.workload
    return status.stable.workload if status.stable else None


def intent(turn: Turn) -> str:
    """`<attempt>/<revision>/<weight>`: the decision that a write of the route carries out.

    Before its first step a candidate is not spoken of, so that weight 0 always means that it was taken back.
    """
    traffic, stable = turn.status.traffic, turn.status.stable
    if traffic is not None and traffic.desired == 0 and turn.status.withdrawal is None and stable:
        return f"{turn.status.attempt}/{stable.revision}/100"
    versions = (turn.status.stable, turn.status.candidate, turn.status.previous)
    revision = next((v.revision for v in versions if v and traffic and v.workload == traffic.workload), "none")
    return f"{turn.status.attempt}/{revision}/{traffic.desired if traffic else 0}"


def taken_back(turn: Turn, version: VersionStatus) -> str | None:
    """Says that the version has lost its traffic to a rollback which could not be recorded in the status then."""
    route = turn.seen.route
    if route is None or route.intent != f"{turn.status.attempt}/{version.revision}/0":
        return None
    return "the route says that its traffic was taken away while the status could not be written"


def follow(turn: Turn, timers: Timers) -> TrafficStatus | None:
    """`status.traffic` with `written` and `observed` brought up to what is seen now."""
    traffic = turn.status.traffic
    if traffic is None:
        return None
    written = _written(turn, traffic)
    if written != traffic.desired:
        since = turn.now if traffic.written == traffic.desired else traffic.settling_since
        nothing = {"observed": None, "observed_by": None}
        return traffic.model_copy(update={"written": written, "settling_since": since, **nothing})
    moved = turn.seen.route is not None and turn.spec.gateway is not None and turn.seen.route.frame != turn.seen.frame
    if moved and traffic.observed is not None:
        return traffic.model_copy(update={"settling_since": turn.now, "observed": None, "observed_by": None})
    if traffic.observed == traffic.desired and traffic.written == written:
        return traffic
    since = (traffic.settling_since or traffic.decided_at) if traffic.written == written else turn.now
    present = traffic.model_copy(update={"written": written, "settling_since": since})
    witness = _witness(turn, present, timers)
    seen = {"observed": written, "observed_by": witness} if witness else {"observed": None, "observed_by": None}
    return present.model_copy(update=seen)


def _written(turn: Turn, traffic: TrafficStatus) -> int | None:
    if turn.spec.gateway is None:
        return (100 if turn.seen.service == traffic.workload else 0) if turn.seen.service else None
    if turn.seen.route is None:
        return None
    return turn.seen.route.weights.get(traffic.workload, None if introducing(turn) else 0)


def _witness(turn: Turn, traffic: TrafficStatus, timers: Timers) -> str | None:
    route, answers = turn.seen.route, turn.seen.answers
    if turn.spec.gateway is not None:
        if route is None or not route.current or route.weights != target_weights(turn):
            return None
        if route.frame != turn.seen.frame:
            return None
        if answers is not None and not _agrees(turn, traffic, answers):
            return None
        if answers is not None and not introducing(turn):  # no answer can tell that a backend without traffic is known
            return "Probe"
    return "Delay" if turn.since(traffic.settling_since) >= timers.settle_fallback else None


def _agrees(turn: Turn, traffic: TrafficStatus, answers: Mapping[str, int]) -> bool:
    versions = (turn.status.stable, turn.status.candidate, turn.status.previous)
    revision = {version.workload: version.revision for version in versions if version}
    ours = answers.get(revision.get(traffic.workload, ""), 0)
    others = sum(answers.values()) - ours
    if traffic.desired == 0:
        return ours == 0 and others > 0
    return ours > 0 and (traffic.desired < 100 or others == 0)
