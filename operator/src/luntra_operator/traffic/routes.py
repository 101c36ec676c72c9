"""All objects that split the traffic of one ModelDeployment, under one decision.

The engine knows one route: one set of weights, one intent, one frame. Here the objects of all providers that the spec names, and
of those that it named before, are read into it and written from it. So a provider more or less in the spec is a change of the
frame: the new objects serve before the old ones go, and until then all have the same weights.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from luntra_operator.api.kinds import HTTP_ROUTE, Kind
from luntra_operator.api.spec import ModelDeploymentSpec
from luntra_operator.api.vocabulary import Reason

from .adopted import AdoptedHttpRoute, StrayHttpRoutes
from .grpcroute import OwnedGrpcRoute
from .httproute import OwnedHttpRoute
from .provider import Endpoint, Found, FrameChange, Obstacle, Patch, Provider, Question, Ref, RouteState, Write
from .virtualservice import OwnedVirtualService

PROVIDERS: Sequence[Provider] = (
    OwnedHttpRoute(),
    OwnedGrpcRoute(),
    AdoptedHttpRoute(),
    OwnedVirtualService(),
    StrayHttpRoutes(),
)
"""All there are. Where several are wanted they are written in this order, and the first that can be asked is probed."""

KINDS: tuple[Kind, ...] = tuple(dict.fromkeys(kind for provider in PROVIDERS for kind in provider.kinds))
"""All kinds of all providers."""


_INTENT = re.compile(r"([1-9][0-9]{0,9})/[^/]*/([0-9]{1,3})")


@dataclass(frozen=True, slots=True)
class Reading:
    """What was found. `state` is None where no object of ours exists; `frame` is what today's spec says.

    `agreed`: all objects carry the same weights; where not, `state` has the highest of each, so that a version has lost its
    traffic only when it has lost it everywhere. `parked` are objects, by kind, that the spec names no more and that only wait to be
    deleted; nothing else speaks of them. `missing` (a kind, a rule of the user's) and `conflict` (an object of somebody
    else) say why what the spec wants cannot be written, `postponed` what is left out for now, `unkept` why sessions cannot be kept.
    """

    state: RouteState | None
    agreed: bool
    frame: str
    missing: Obstacle | None
    postponed: Obstacle | None
    unkept: Obstacle | None
    conflict: str | None
    parked: Mapping[str, RouteState]


def question(spec: ModelDeploymentSpec) -> Question | None:
    """How to ask the data plane of a spec; None where nobody can be asked."""
    return next(filter(None, (provider.question(spec) for provider in PROVIDERS)), None)


def refs(name: str, spec: ModelDeploymentSpec, adopted: Sequence[str] = ()) -> tuple[Ref, ...]:
    """All objects to read for a ModelDeployment of that name, with the user's routes that have its weights in them."""
    named = [ref for provider in PROVIDERS for ref in provider.objects(name, spec)]
    return tuple(dict.fromkeys([*named, *(Ref(HTTP_ROUTE, route) for route in adopted)]))


def read(endpoint: Endpoint, found: Found) -> Reading:
    """The one route that all objects are together."""
    wanted = [provider for provider in PROVIDERS if provider.wanted(endpoint)]
    states = [_serving(provider, endpoint, found) for provider in wanted]
    others = (_serving(provider, endpoint, found) for provider in PROVIDERS if provider not in wanted)
    former = [state for state in others if state is not None]
    carrying = [state for state in states if state is not None] + [state for state in former if state.weights]
    agreed = all(state.weights == carrying[0].weights for state in carrying)
    missing = next(filter(None, (_obstacle(provider, endpoint, found) for provider in wanted)), None)
    told = next(filter(None, map(_told, wanted, states)), "")
    weights: dict[str, int] = {}
    for state in carrying:
        for name, weight in state.weights.items():
            weights[name] = max(weight, weights.get(name, 0))
    together = RouteState(
        weights=weights,
        intent=min((state.intent for state in carrying if state.intent), key=_age, default=None),
        # What is untouched is for any frame, but where others carry the traffic too it has to be seen to work first.
        frame=" ".join((state and not (former and state.untouched) and state.frame) or "" for state in states),
        widened=bool(former) or any(state.widened for state in states if state),
        current=agreed and all(state and state.current for state in states),
        message=missing.message if missing else told,
        preview=_preview([*filter(None, states), *(state for state in former if state.preview is not None)]),
        borrowed=any(state.borrowed for state in (*carrying, *former)),
    )
    return Reading(
        state=together if carrying or former else None,
        agreed=agreed,
        frame=" ".join(provider.frame(endpoint) for provider in wanted),
        missing=missing,
        postponed=next(filter(None, (provider.postponed(endpoint) for provider in PROVIDERS)), None),
        unkept=_unkept(endpoint.spec, wanted),
        conflict=next(filter(None, (provider.conflict(endpoint, found) for provider in wanted)), None),
        parked={provider.kinds[0].kind: state for provider, state in _parked(endpoint, found)},
    )


def write(
    endpoint: Endpoint, found: Found, weights: Mapping[str, int], intent: str, change: FrameChange
) -> tuple[Write, ...]:
    """What gives all objects these weights and makes the change of the frame; objects that are not wanted any more go last.

    One whose end could cost a request is parked instead, and stays until `delete_parked`. One that cannot be written must not keep a
    version in another one: each write is to be tried, whatever becomes of the others.
    """
    writes: list[Write] = []
    removals: list[Write] = []
    for provider in PROVIDERS:
        state = _serving(provider, endpoint, found)
        if provider.wanted(endpoint):
            if _obstacle(provider, endpoint, found) is None:
                own = _own_change(provider, endpoint, state, change)
                writes.extend(provider.write(endpoint, found, weights, intent, own))
        elif state is not None and change == "Replace":
            removals.extend(provider.remove(endpoint, found))
        elif state is not None:
            writes.extend(provider.write(endpoint, found, weights, intent, "Keep"))
    return (*writes, *removals)


def remove(endpoint: Endpoint, found: Found) -> tuple[Write, ...]:
    """What takes the endpoint out of all objects, but for those that are parked already."""
    serving = [provider for provider in PROVIDERS if _serving(provider, endpoint, found)]
    return tuple(one for provider in serving for one in provider.remove(endpoint, found))


def delete_parked(endpoint: Endpoint, found: Found) -> tuple[Write, ...]:
    """What deletes the parked objects that the spec does not name again."""
    return tuple(one for provider, _ in _parked(endpoint, found) for one in provider.remove(endpoint, found))


def give_back(endpoint: Endpoint, found: Found) -> tuple[Write, ...]:
    """What takes the endpoint out of the objects of others; those of ours stay as they are."""
    lent = [one for one in PROVIDERS if (state := one.read(endpoint, found)) is not None and state.borrowed]
    return tuple(write for provider in lent for write in provider.remove(endpoint, found))


def borrowed(endpoint: Endpoint, found: Found) -> frozenset[str]:
    """Names of the objects of others that have the endpoint's weights in them."""
    return frozenset(write.ref.name for write in give_back(endpoint, found) if isinstance(write, Patch))


def _serving(provider: Provider, endpoint: Endpoint, found: Found) -> RouteState | None:
    """What a provider's objects say; None also where they are parked, for they serve nobody then."""
    state = provider.read(endpoint, found)
    return None if state is None or state.parked else state


def _parked(endpoint: Endpoint, found: Found) -> list[tuple[Provider, RouteState]]:
    left = [(one, one.read(endpoint, found)) for one in PROVIDERS if not one.wanted(endpoint)]
    return [(provider, state) for provider, state in left if state is not None and state.parked]


def _own_change(provider: Provider, endpoint: Endpoint, state: RouteState | None, change: FrameChange) -> FrameChange:
    """The part of a change that concerns one provider; a frame that is today's stays as it is, with what others added to it."""
    if state is None:
        return "Replace"
    needed = state.widened if change == "Replace" else state.frame != provider.frame(endpoint)
    return change if needed else "Keep"


def _obstacle(provider: Provider, endpoint: Endpoint, found: Found) -> Obstacle | None:
    return _missing(provider, endpoint, found) or provider.obstacle(endpoint, found)


def _missing(provider: Provider, endpoint: Endpoint, found: Found) -> Obstacle | None:
    kind = next((ref.kind.kind for ref in provider.objects(endpoint.name, endpoint.spec) if ref not in found), None)
    if kind is None:
        return None
    advice = provider.absence.message
    return Obstacle(provider.absence.reason, f"the cluster has no {kind} kind; {advice}, then this continues by itself")


def _preview(states: Sequence[RouteState]) -> str | None:
    """Where all previews lead to; where objects differ something that no workload is called."""
    found = {state.preview for state in states}
    return found.pop() if len(found) == 1 else ",".join(sorted(name or "" for name in found)) or None


def _unkept(spec: ModelDeploymentSpec, wanted: Sequence[Provider]) -> Obstacle | None:
    kinds = " and ".join(provider.kinds[0].kind for provider in wanted if not provider.keeps_sessions)
    if spec.session is None or not kinds:
        return None
    return Obstacle(
        Reason.SESSIONS_NOT_KEPT,
        f"traffic.session: {kinds} cannot keep a session ({spec.session.header}) with one version, so no weight is raised; "
        "remove traffic.session, or what divides the traffic (then each session moves once, at promotion)",
    )


def _told(provider: Provider, state: RouteState | None) -> str:
    message = "there is none yet" if state is None else state.message
    return f"{provider.kinds[0].kind}: {message}" if message else ""


def _age(intent: str) -> tuple[int, int]:
    """The latest attempt first; of one attempt the lowest weight, for taking a version back must not be overlooked."""
    ours = _INTENT.fullmatch(intent)
    return (-int(ours[1]), int(ours[2])) if ours else (0, 0)
