"""Weights: what the route should say, what it says, and whether the data plane follows.

A weight is *settled* when the route carries it, the gateway's controller has accepted exactly that
generation, and answers through the gateway agree. Where the gateway cannot be asked, a delay stands
in for the answers, and the status says so. Answers over HTTP say nothing of gRPC: there both are waited for.

A backend is *introduced* before it gets traffic: named at weight 0 until the data plane had time to learn
of it, because a proxy may hear of a route before it hears of the backend that the route names.
"""

from collections.abc import Mapping

from luntra_operator.api.status import TrafficStatus, VersionStatus
from luntra_operator.api.vocabulary import Phase

from .observed import BROKEN
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


def previewed(turn: Turn) -> str | None:
    """The candidate that a preview leads to: from its checks on until it is promoted or taken back, while it can answer."""
    shown = turn.status.phase in (Phase.CHECKING, Phase.SHIFTING, Phase.AWAITING_APPROVAL) and turn.seen.missing is None
    if turn.spec.preview is None or not shown or turn.status.candidate is None or turn.status.stable is None:
        return None
    return turn.candidate.workload if turn.candidate_workload.endpoints else None


def introducing(turn: Turn) -> bool:
    """Whether the route names the candidate, or is to name it, before its first traffic."""
    status = turn.status
    return status.phase is Phase.SHIFTING and status.step is None and turn.spec.divides


def _other(turn: Turn) -> VersionStatus | None:
    status, traffic = turn.status, turn.status.traffic
    versions = [version for version in (status.stable, status.candidate, status.previous) if version]
    return next((version for version in versions if traffic and version.workload != traffic.workload), None)


def selected_workload(turn: Turn) -> str | None:
    """The workload that the Service <name> should select.

    Beside a route it follows promotion; without one it is itself what moves the traffic, and to a first version also behind a
    route of the user's, which names it. Where a route comes back meanwhile, a version that has it all keeps the Service.
    """
    status, traffic = turn.status, turn.status.traffic
    alone = not turn.spec.divides or (turn.spec.adopted is not None and status.stable is None)
    if traffic is not None and traffic.desired == 100 and (alone or turn.seen.service == traffic.workload):
        return traffic.workload
    return status.stable.workload if status.stable else None


def intent(turn: Turn) -> str:
    """`<attempt>/<revision>/<weight>`: the decision that a write of the route carries out.

    Before its first step a candidate is not spoken of, so that weight 0 always means that it was taken back.
    """
    traffic, stable = turn.status.traffic, turn.status.stable
    if traffic is not None and traffic.desired == 0 and turn.status.withdrawal is None and stable:
        return f"{turn.status.attempt}/{stable.revision}/100"
    revision = _revisions(turn).get(traffic.workload) if traffic else None
    return f"{turn.status.attempt}/{revision or 'none'}/{traffic.desired if traffic else 0}"


def _revisions(turn: Turn) -> dict[str, str]:
    """Revisions by workload of all that may get traffic; one that was superseded before any was stable goes on serving."""
    status, traffic = turn.status, turn.status.traffic
    versions = [version for version in (status.stable, status.candidate, status.previous) if version]
    serving = turn.seen.versions.get(traffic.workload) if traffic else None
    return {version.workload: version.revision for version in ([serving] if serving else []) + versions}


def next_look(turn: Turn, timers: Timers) -> float:
    """Seconds until it is worth looking whether the data plane follows what was written.

    That its controller has accepted it comes as an event; of an introduction and of gRPC no answer tells, only the delay.
    """
    traffic = turn.status.traffic
    if traffic is None or traffic.accepted_at is None:
        return timers.acceptance_poll
    if not introducing(turn) and not turn.spec.grpc:
        return timers.settle_poll
    return max(timers.settle_poll, timers.settle_fallback - turn.since(traffic.accepted_at))


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
    nothing = {"accepted_at": None, "observed": None, "observed_by": None}
    if written != traffic.desired:
        since = turn.now if traffic.written == traffic.desired else traffic.settling_since
        return traffic.model_copy(update={"written": written, "settling_since": since, **nothing})
    if _edited(turn) and traffic.observed is not None:
        return traffic.model_copy(update={"settling_since": turn.now, **nothing})
    if traffic.observed == traffic.desired and traffic.written == written:
        return traffic
    since = (traffic.settling_since or traffic.decided_at) if traffic.written == written else turn.now
    present = traffic.model_copy(update={"written": written, "settling_since": since, **nothing})
    if not _accepted(turn):
        return present
    accepted = present.model_copy(update={"accepted_at": traffic.accepted_at or turn.now})
    witness = _witness(turn, accepted, timers)
    return accepted.model_copy(update={"observed": written if witness else None, "observed_by": witness})


def _accepted(turn: Turn) -> bool:
    """Whether the gateway's controller, where there is one, has read just what the route should say."""
    route = turn.seen.route
    if not turn.spec.divides:
        return True
    return (
        route is not None and route.current and route.weights == target_weights(turn) and route.frame == turn.seen.frame
    )


def _edited(turn: Turn) -> bool:
    """Whether the route is for another frame, or has a share for somebody who should have none."""
    route, target = turn.seen.route, target_weights(turn)
    if not turn.spec.divides or route is None:
        return False
    return route.frame != turn.seen.frame or (target is not None and shares(route.weights) != shares(target))


def shares(weights: Mapping[str, int]) -> dict[str, int]:
    """The weights without those of 0."""
    return {name: weight for name, weight in weights.items() if weight}


def _written(turn: Turn, traffic: TrafficStatus) -> int | None:
    """What the route gives, or the Service where the spec divides nothing; of a route that is left of another spec both must agree."""
    route = turn.seen.route
    given = route.weights.get(traffic.workload, None if introducing(turn) else 0) if route else None
    if turn.spec.divides:
        return given
    if turn.seen.service is None:
        return None
    left = route is not None and route.weights and given != traffic.desired
    return given if left else 100 if turn.seen.service == traffic.workload else 0


def _witness(turn: Turn, traffic: TrafficStatus, timers: Timers) -> str | None:
    """What shows that the data plane follows; None if nothing does yet."""
    answers = turn.seen.answers if turn.spec.divides else None
    if answers is not None and not _agrees(turn, traffic, answers):
        return None
    if answers is None or introducing(turn):  # no answer can tell that a backend without traffic is known
        return "Delay" if _late(turn, traffic, timers) else None
    # Nobody asks over gRPC.
    return "Probe" if not turn.spec.grpc or _late(turn, traffic, timers) else None


def _late(turn: Turn, traffic: TrafficStatus, timers: Timers) -> bool:
    return traffic.accepted_at is not None and turn.since(traffic.accepted_at) >= timers.settle_fallback


def _agrees(turn: Turn, traffic: TrafficStatus, answers: Mapping[str, int]) -> bool:
    """Whether the answers are those of the weights: none of a version that should have nothing, and none broken.

    A broken answer may be that of a dead candidate. It is forgiven where no stable pod could answer anyway, and where a
    withdrawal has waited for the whole step deadline.
    """
    revision = _revisions(turn)
    if any(answer not in revision.values() for answer in answers if answer != BROKEN):
        return False
    broken = answers.get(BROKEN, 0)
    ours = answers.get(revision.get(traffic.workload, ""), 0)
    others = sum(answers.values()) - ours - broken
    if traffic.desired == 0:
        late = turn.since(traffic.settling_since) >= turn.spec.step_deadline
        return ours == 0 and (not turn.stable_serves or (others > 0 and (broken == 0 or late)))
    if traffic.desired == 100:
        return ours > 0 and others == 0 and broken == 0
    return ours > 0 and (broken == 0 or not turn.stable_serves)
