"""What one ModelDeployment holds of the budget and what it asks for. Amounts are units of the budget's resource."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Literal

Role = Literal["stable", "candidate", "previous", "leaving"]
"""What a workload is to its object; leaving: nothing wants it any more, but it is still there."""


@dataclass(frozen=True, slots=True)
class Holding:
    """Units of one workload: granted to it, or used by it without ever having been granted.

    `staying` is for its Deployment, `ending` is what terminating pods hold on top until they are gone.
    """

    workload: str
    role: Role
    staying: int
    since: datetime
    ending: int = 0

    @property
    def amount(self) -> int:
        """All that nobody else can have."""
        return self.staying + self.ending


@dataclass(frozen=True, slots=True)
class Ask:
    """Units that a workload wants beyond what it holds; less than `least` of them are of no use to it."""

    workload: str
    role: Role
    amount: int
    least: int
    since: datetime


@dataclass(frozen=True, slots=True)
class Account:
    """One ModelDeployment; a `paused` one, or one whose spec cannot be read, lets go of nothing before a person acts."""

    holdings: tuple[Holding, ...] = ()
    asks: tuple[Ask, ...] = ()
    paused: bool = False

    @property
    def used(self) -> int:
        """Everything that it holds."""
        return sum(holding.amount for holding in self.holdings)

    @property
    def soaking(self) -> int:
        """What it holds for a version that is kept warm after its successor's promotion."""
        return sum(holding.amount for holding in self.holdings if holding.role == "previous")

    @property
    def kept(self) -> int:
        """What it goes on holding when its rollout, whichever way that ends, and its soak are over."""
        if self.paused:
            return self.used
        return max((one.staying for one in self.holdings if one.role in ("stable", "candidate")), default=0)

    def holding(self, workload: str) -> Holding | None:
        """What a workload holds, None if nothing."""
        return next((one for one in self.holdings if one.workload == workload), None)

    def beside(self, ask: Ask) -> int:
        """What it holds until the ask is fulfilled and used, so that both have to fit."""
        beside = ("stable",) if ask.role == "candidate" else ()
        return sum(one.staying for one in self.holdings if one.workload == ask.workload or one.role in beside)

    def granted(self, ask: Ask, amount: int, now: datetime) -> "Account":
        """The account with a part of an ask, or all of it, granted at `now`."""
        before = self.holding(ask.workload) or Holding(ask.workload, ask.role, 0, now)
        after = replace(before, staying=before.staying + amount)
        rest = (replace(ask, amount=ask.amount - amount),) if amount < ask.amount else ()
        return replace(
            self,
            holdings=(*_without(self.holdings, ask.workload), after),
            asks=(*(one for one in self.asks if one != ask), *rest),
        )


def _without(holdings: Iterable[Holding], workload: str) -> tuple[Holding, ...]:
    return tuple(one for one in holdings if one.workload != workload)
