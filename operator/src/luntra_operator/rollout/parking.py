"""A route that the spec names no more is parked before it is deleted: how long it stays so.

A gateway that hears of a deleted route hears of its backends' end, too, perhaps a moment earlier. So the route loses its requests
first, and is deleted when the gateway's controller has read that and its proxies had time to follow; no answer could tell, for
nobody asks such a route. One that nobody reads, perhaps for want of the Gateway, is deleted after a longer while.

Nothing of this concerns a ModelDeployment that is deleted itself: its pods go too, and its clients get errors either way.
"""

from luntra_operator.api.status import ParkedStatus

from .actions import Action, DeleteRoute, ParkRoute, WriteRoute
from .turn import Timers, Turn


def followed_parking(turn: Turn) -> ParkedStatus | None:
    """`status.parked`: what is parked now, whether that was read, and since when both is so."""
    seen, known = turn.seen.parked, turn.status.parked
    if seen is None:
        return None
    found = ParkedStatus(routes=sorted(seen.routes), read=seen.read, since=turn.now)
    return known if known and known.model_copy(update={"since": turn.now}) == found else found


def unforgotten(turn: Turn) -> bool:
    """Whether proxies may still do as a route said before it was parked."""
    parked = turn.seen.parked
    return parked is not None and (not parked.read or _remaining(turn, Timers()) > 0)


def forgotten_routes(turn: Turn) -> list[Action]:
    """The deletion of what is parked, once it is due."""
    return [DeleteRoute()] if turn.seen.parked is not None and _remaining(turn, Timers()) <= 0 else []


def next_parking(turn: Turn, limits: Timers, actions: tuple[Action, ...]) -> list[float]:
    """Seconds until it is worth looking at parked routes again: none where there are none."""
    parks = any(
        isinstance(one, ParkRoute) or (isinstance(one, WriteRoute) and one.frame == "Replace") for one in actions
    )
    if turn.seen.parked is None:
        return [limits.acceptance_poll] if parks else []
    left = _remaining(turn, limits)
    return [left if left > 0 else limits.parking]  # its end comes as an event, unless somebody's finalizer holds it


def _remaining(turn: Turn, limits: Timers) -> float:
    known = turn.status.parked
    if known is None:
        return limits.settle_fallback
    return (limits.settle_fallback if known.read else limits.parking) - turn.since(known.since)
