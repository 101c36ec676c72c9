"""What must be done so that the cluster matches the status just decided.

Level-triggered: it looks only at the status and at what exists, never at what happened before, so it
finishes what a crashed operator left half done. Traffic comes first, deletions last.
"""

from collections.abc import Mapping

from luntra_operator.api.status import VersionStatus
from luntra_operator.api.vocabulary import Phase

from .actions import (
    Action,
    CreateWorkload,
    DeleteWorkload,
    ForgetRevision,
    FrameChange,
    KeepRevision,
    ParkRoute,
    ProtectWorkload,
    RunCheck,
    ScaleWorkload,
    SelectWorkload,
    WriteRoute,
)
from .checking import current_run, declared_checks
from .contention import yielded
from .lending import giving_back, returnable
from .observed import Route
from .parking import forgotten_routes, unforgotten
from .settle import intent, previewed, selected_workload, shares, target_weights
from .turn import Timers, Turn


def converge(turn: Turn) -> tuple[Action, ...]:
    """The actions that are still missing, in the order in which they are safe."""
    gone = (*forgotten_routes(turn), *_leftovers(turn), *_forgotten(turn))
    return (*_traffic(turn), *_workloads(turn), *_checks(turn), *gone)


def _traffic(turn: Turn) -> list[Action]:
    actions: list[Action] = []
    route = turn.seen.route
    possible = route is not None or turn.seen.missing is None
    if turn.spec.divides and possible and not _untouched(turn) and not yielded(turn):
        weights = target_weights(turn)
        frame = _frame(turn, route)
        preview = previewed(turn)
        stale = route is None or not route.agreed or route.weights != weights or frame != "Keep"
        stale = stale or (route is not None and route.preview != preview)
        if weights and stale and _safe(turn, weights, route.weights if route else {}):
            actions.append(WriteRoute(weights, intent(turn), frame, preview))
    if not turn.spec.divides and route is not None and turn.seen.invalid is None:
        actions += _dropped(turn, route)
    if not actions and (route is None or not route.weights or _as_decided(turn, route)):
        actions += giving_back(turn)
    selected, present = selected_workload(turn), turn.seen.service
    before = {present: 100} if present else {}
    if selected and present != selected and turn.seen.service_owned and _safe(turn, {selected: 100}, before):
        actions.append(SelectWorkload(selected))
    return actions


def _untouched(turn: Turn) -> bool:
    """Whether a route of the user's needs no write: it names the Service <name>, which selects a first version.

    One that the spec named before goes only with a change of the frame.
    """
    alone = not turn.seen.borrowed and (turn.seen.route is None or not turn.seen.route.widened)
    return turn.spec.adopted is not None and turn.status.stable is None and alone


def _dropped(turn: Turn, route: Route) -> list[Action]:
    """A route that nothing wants any more goes; a lent one follows the Service until all of its traffic is the stable version's."""
    weights, stable = target_weights(turn) or {}, turn.status.stable
    own = not turn.seen.borrowed
    safe = _safe(turn, weights, route.weights)
    if returnable(turn) and (own or (safe and stable is not None and shares(weights) == {stable.workload: 100})):
        return [ParkRoute()]
    behind = weights and route.weights and not _as_decided(turn, route)
    return [WriteRoute(weights, intent(turn))] if behind and safe else []


def _as_decided(turn: Turn, route: Route) -> bool:
    """Whether the route gives what it should; where that would be unsafe it does not, and must not go back either."""
    return shares(route.weights) == shares(target_weights(turn) or {})


def _frame(turn: Turn, route: Route | None) -> FrameChange:
    """Where `spec.traffic` has changed, the new frame serves before the old one goes."""
    if route is None:
        return "Replace"
    if turn.seen.missing is not None:
        return "Keep"  # the new frame is written when all of it can be
    if route.frame != turn.seen.frame:
        return "Widen"
    traffic, stable = turn.status.traffic, turn.status.stable
    followed = traffic is not None and traffic.observed == traffic.desired
    # What is lent and not named any more goes back with all of its traffic to the stable version.
    back = not turn.seen.borrowed or stable is None or _safe(turn, {stable.workload: 100}, route.weights)
    return "Replace" if route.widened and followed and returnable(turn) and back else "Keep"


def _safe(turn: Turn, wanted: Mapping[str, int], present: Mapping[str, int]) -> bool:
    """Whether nobody would lose an answer: traffic that is served now is never left to versions of which none can answer.

    Where nothing serves anyway, or something still would, a stable version without a ready pod holds nothing up.
    """

    def served(shares: Mapping[str, int]) -> bool:
        return any(weight and turn.seen.workload(name).endpoints for name, weight in shares.items())

    return served(wanted) or not served(present)


def _versions(turn: Turn) -> list[VersionStatus]:
    status = turn.status
    return [version for version in (status.stable, status.candidate, status.previous) if version]


def _workloads(turn: Turn) -> list[Action]:
    actions: list[Action] = []
    status = turn.status
    missing = {version.revision for version in _versions(turn)} - turn.seen.revisions
    if turn.revision in missing:
        actions.append(KeepRevision(turn.revision))
    for version in _versions(turn):
        workload = turn.seen.workload(version.workload)
        replicas = turn.replicas(workload)
        granted = replicas > 0 or turn.spec.replicas == 0
        leaving = status.withdrawal is not None and version == status.candidate
        if not workload.complete and not leaving and version != status.previous:
            if granted:
                actions.append(CreateWorkload(version.workload, version.revision, replicas))
        elif workload.replicas not in (None, replicas):
            actions.append(ScaleWorkload(version.workload, replicas))
        protected = turn.spec.replicas > 1
        if workload.replicas is not None and workload.protected != protected:
            actions.append(ProtectWorkload(version.workload, protected))
    return actions


def _checks(turn: Turn) -> list[Action]:
    status = turn.status
    if status.phase is not Phase.CHECKING or status.candidate is None:
        return []
    workload = status.candidate.workload
    # A stable version that cannot answer is no measure: only the absolute bounds hold then, so that it never blocks a fix.
    stable = turn.stable.name if turn.stable and turn.stable_serves else None
    return [
        RunCheck(entry.name, workload, stable, entry.attempt)
        for entry in status.checks
        if entry.verdict is None
        and entry.name in declared_checks(turn)
        and turn.since(entry.attempt_started_at) >= 0  # a pause lies before another try
        and current_run(turn, entry) is None
    ]


def _leftovers(turn: Turn) -> list[Action]:
    """Workloads that no version needs, no route names and no proxy sends to any more."""
    return [DeleteWorkload(name) for name in _spare(turn) if _unreached(turn, name)]


def _spare(turn: Turn) -> list[str]:
    """Workloads that no version needs and no route names; none while a gateway's controller has something of it to read."""
    wanted = {version.workload for version in _versions(turn)}
    route, parked = turn.seen.route, turn.seen.parked
    named = {*route.weights, route.preview} if route else set()
    named |= {turn.seen.service} | turn.seen.returning | (parked.named if parked else set())
    # A route of the user's to a Service that never was leads nobody anywhere, whatever the gateway says of it.
    nowhere = route is not None and not route.weights and turn.seen.service is None
    unread = (route is not None and not route.current and not nowhere) or unforgotten(turn)
    return [] if unread else sorted(name for name in turn.seen.workloads if name not in wanted | named)


def _unreached(turn: Turn, workload: str) -> bool:
    """Whether the data plane is seen to follow what it was told last; it may be behind the gateway's controller.

    A look may miss a small share, so the delay passes besides. Where the stable version cannot answer, nothing agrees with its weight for
    long: then it is enough that the leftover answers nothing.
    """
    traffic, answers, version = turn.status.traffic, turn.seen.answers, turn.seen.versions.get(workload)
    if traffic is None:
        return True
    silent = answers is not None and (version is None or version.revision not in answers)
    followed = traffic.observed == traffic.desired or (silent and not turn.stable_serves)
    return followed and _remaining(turn) <= 0


def _remaining(turn: Turn) -> float:
    """Seconds for which a proxy may still do as it was told before; none is known of what was accepted long ago."""
    traffic = turn.status.traffic
    accepted = traffic.accepted_at if traffic else None
    return 0.0 if accepted is None else Timers().settle_fallback - turn.since(accepted)


def next_leftover(turn: Turn) -> list[float]:
    """Seconds until workloads that nobody needs may go, where there are any that have to wait."""
    left = _remaining(turn)
    return [left] if left > 0 and _spare(turn) else []


def _forgotten(turn: Turn) -> list[Action]:
    """Revisions that no version, no workload and no line of the history speaks of."""
    used = {version.revision for version in (*_versions(turn), *turn.seen.versions.values())}
    used |= {entry.revision for entry in turn.status.history} | {turn.revision}
    return [ForgetRevision(revision) for revision in sorted(turn.seen.revisions - used)]
