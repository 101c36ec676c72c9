"""A route of the user's is lent for a rollout: when it may be patched, and when it goes back as it was.

The user's own backend is the Service <name>. It gets all requests first, and only then do backends of ours go. It gets them only
after its endpoints were seen to be the stable version's for as long as a gateway may take to learn of them; before that, requests
could reach a version that was taken back.
"""

from luntra_operator.api.status import ServiceStatus

from .actions import Action, GiveRouteBack, HoldObject, ReleaseObject, WriteRoute
from .contention import yielded
from .turn import Timers, Turn


def followed_service(turn: Turn) -> ServiceStatus | None:
    """`status.service`: the workload whose endpoints the Service <name> has, and since when; None while no route is lent."""
    seen, known = turn.seen, turn.status.service
    if not seen.borrowed or seen.service is None or not seen.service_follows:
        return None
    found = ServiceStatus(workload=seen.service, homed=seen.homed, since=turn.now)
    return known if known and known.model_copy(update={"since": turn.now}) == found else found


def returnable(turn: Turn) -> bool:
    """Whether the next part of giving back may be done: the Service <name> leads to the stable version and the gateway knows it."""
    if not turn.seen.borrowed:
        return True
    known, stable = turn.status.service, turn.status.stable
    if known is None or stable is None or not known.workload == turn.seen.service == stable.workload:
        return False
    return turn.since(known.since) >= Timers().settle_fallback


def resting(turn: Turn) -> bool:
    """Whether nothing divides the traffic, or is about to."""
    status = turn.status
    return status.candidate is None and status.previous is None and status.withdrawal is None


def giving_back(turn: Turn) -> list[Action]:
    """The end of a loan, once the weights are those of rest: first the route, then, in a later turn, the object.

    A route that is left to whoever writes it again and again is not lent either.
    """
    over = resting(turn)
    if turn.seen.borrowed:
        return [GiveRouteBack()] if over and returnable(turn) else []
    return [ReleaseObject()] if turn.seen.held and (over or turn.spec.adopted is None or yielded(turn)) else []


def held_first(turn: Turn, actions: tuple[Action, ...]) -> tuple[Action, ...]:
    """The same actions; before the first patch of a route of the user's the object is held, so that its deletion cannot forget it."""
    writing = any(isinstance(action, WriteRoute) for action in actions)
    needed = writing and (turn.spec.adopted is not None or bool(turn.seen.borrowed))
    return (HoldObject(), *actions) if needed and not turn.seen.held else actions


def adopted(turn: Turn, actions: tuple[Action, ...]) -> list[str]:
    """`status.adopted`: what is lent now, and what the actions are about to borrow."""
    names = set(turn.seen.borrowed)
    if turn.spec.adopted is not None and any(isinstance(action, WriteRoute) for action in actions):
        names.add(turn.spec.adopted.name)
    return sorted(names)
