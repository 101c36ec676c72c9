"""What one ModelDeployment holds of the accelerator budget and wants of it: pure, from its status, revisions and what lives."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from luntra_operator.api.status import GrantStatus, ModelDeploymentStatus, VersionStatus
from luntra_operator.api.vocabulary import Condition, Reason
from luntra_operator.fleet.account import Account, Ask, Holding, Role
from luntra_operator.fleet.report import Outlook
from luntra_operator.rollout.observed import Grants, Problem
from luntra_operator.rollout.turn import Turn
from luntra_operator.workloads.devices import devices
from luntra_operator.workloads.merge import TemplateError
from luntra_operator.workloads.revision import Revision
from luntra_operator.workloads.serving import deployment

from .held import Held

NOTHING = Held()

Object = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Want:
    """A version's workload: how many pods its object wants of it, and how many units each has; None: that is not known."""

    workload: str
    role: Role
    revision: str
    pods: int
    each: int | None

    @property
    def units(self) -> int:
        """What all the pods need."""
        return self.pods * (self.each or 0)


def wants(resource: str, owner: Object, turn: Turn, revisions: Mapping[str, Revision]) -> dict[str, Want]:
    """What an object wants now, by workload: nothing more for a version that is to go or that the spec has left behind."""
    found = {}
    for version, role in _versions(turn.status):
        superseded = role == "candidate" and (turn.status.withdrawal is not None or version.revision != turn.revision)
        pods = 0 if superseded or role == "previous" else turn.spec.replicas
        each = _each(resource, owner, version.workload, revisions.get(version.revision))
        found[version.workload] = Want(version.workload, role, version.revision, pods, each)
    return found


def _each(resource: str, owner: Object, workload: str, revision: Revision | None) -> int | None:
    if revision is None:
        return None
    try:
        template = deployment(owner, workload, revision, 1)["spec"]["template"]
    except TemplateError:
        return None  # no workload can be made of it, which whoever tries it says
    return devices(template["spec"], resource)


def account(turn: Turn, known: Account, wanted: Mapping[str, Want], lives: Mapping[str, Held]) -> Account:
    """The object's account: of what is `known` to be granted as much as is still wanted, or more where more lives."""
    holdings, asks = [], []
    idle = turn.spec.paused or turn.seen.invalid is not None
    asked = {one.workload: one.since for one in known.asks}
    for name in sorted(wanted.keys() | lives.keys()):
        want, live, before = wanted.get(name), lives.get(name, NOTHING), known.holding(name)
        role: Role = want.role if want else "leaving"
        granted, target = before.staying if before else 0, want.units if want else 0
        unclear = live.behind or (want is not None and want.each is None)
        staying = max(granted if unclear else min(granted, target), live.staying)
        if staying + live.ending:
            holdings.append(Holding(name, role, staying, before.since if before else turn.now, live.ending))
        if want and want.each and staying < target and not idle:
            least = want.each if staying else target
            asks.append(Ask(name, role, target - staying, least, asked.get(name, turn.now)))
    return Account(tuple(holdings), tuple(asks), idle)


def counted(resource: str, status: ModelDeploymentStatus, lives: Mapping[str, Held], now: datetime) -> Account:
    """What an object holds before anybody has looked closer: the more of what was recorded and of what lives."""
    roles = {version.workload: role for version, role in _versions(status)}
    known = [one for one in recorded(resource, status).holdings if one.workload in roles]
    return Account(larger(known, alive(lives, Account(), roles, now)))


def alive(lives: Mapping[str, Held], known: Account, roles: Mapping[str, Role], now: datetime) -> tuple[Holding, ...]:
    """What workloads hold by what lives of them alone."""
    since = {one.workload: one.since for one in known.holdings}
    return tuple(
        Holding(name, roles.get(name, "leaving"), live.staying, since.get(name, now), live.ending)
        for name, live in sorted(lives.items())
        if live.staying + live.ending
    )


def recorded(resource: str, status: ModelDeploymentStatus) -> Account:
    """The grants, and what was waited for, that a status tells of."""
    roles = {version.workload: role for version, role in _versions(status)}

    def told(entries: list[GrantStatus]) -> Iterator[tuple[str, Role, int, datetime]]:
        for one in entries:
            if one.resource == resource:
                yield one.workload, roles.get(one.workload, "leaving"), one.amount, one.since

    holdings = tuple(Holding(*one) for one in told(status.grants))
    asks = tuple(Ask(name, role, amount, amount, since) for name, role, amount, since in told(status.waiting_for))
    return Account(holdings, asks)


def told_of_excess(status: ModelDeploymentStatus) -> str | None:
    """What a status says of the budget being exceeded, which holds until all is counted."""
    return next((one.message for one in status.conditions if one.type == Condition.OVER_BUDGET), None)


def less(after: Account, known: Account) -> bool:
    """Whether something that was held is not any more."""
    for before in known.holdings:
        now = after.holding(before.workload)
        if now is None or now.staying < before.staying or now.ending < before.ending:
            return True
    return False


def larger(known: Iterable[Holding], measured: Iterable[Holding]) -> tuple[Holding, ...]:
    """The larger amounts of both, by workload."""
    both = {one.workload: one for one in measured}
    for before in known:
        after = both.get(before.workload, before)
        staying, ending = max(before.staying, after.staying), max(before.ending, after.ending)
        both[before.workload] = replace(after, since=before.since, staying=staying, ending=ending)
    return tuple(both[name] for name in sorted(both))


def stuck(after: Account, wanted: Mapping[str, Want], lives: Mapping[str, Held]) -> bool:
    """Whether only controllers that lag behind hold something that is not wanted: of when they follow nobody is told."""
    for one in after.holdings:
        live = lives.get(one.workload, NOTHING)
        target = wanted[one.workload].units if one.workload in wanted else 0
        if live.behind and one.staying > max(target, live.alive):
            return True
    return False


def granted(resource: str, turn: Turn, after: Account, wanted: Mapping[str, Want], outlook: Outlook | None) -> Grants:
    """What the engine is told."""

    def status(one: Holding | Ask) -> GrantStatus:
        return GrantStatus(workload=one.workload, resource=resource, amount=one.amount, since=one.since)

    pods = {}
    for name, want in wanted.items():
        holding = after.holding(name)
        if want.each:
            pods[name] = (holding.staying if holding else 0) // want.each
        elif want.each == 0 or want.revision != turn.revision:
            pods[name] = turn.spec.replicas  # it needs nothing, or its record is gone, of which creating it will tell
    problem = None
    if outlook is not None:
        reason = Reason.ACCELERATORS_EXCEEDED if outlook.never else Reason.AWAITING_ACCELERATORS
        problem = Problem(reason, outlook.message, permanent=outlook.never)
    return Grants(pods, tuple(map(status, after.holdings)), tuple(map(status, after.asks)), problem)


def _versions(status: ModelDeploymentStatus) -> Iterator[tuple[VersionStatus, Role]]:
    roles: tuple[Role, ...] = ("stable", "candidate", "previous")
    for role, version in zip(roles, (status.stable, status.candidate, status.previous), strict=True):
        if version is not None:
            yield version, role
