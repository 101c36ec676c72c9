"""What those who wait are told: how much they need, who has it, and when it may be theirs."""

from collections.abc import Iterable
from dataclasses import dataclass

from .account import Account
from .budget import Budget, Key
from .line import Entry, Served, attainable


@dataclass(frozen=True, slots=True)
class Outlook:
    """A sentence for people; `never`: only a person can change it."""

    message: str
    never: bool = False


def outlook(budget: Budget, served: Served, key: Key) -> Outlook | None:
    """What the object waits for, None if for nothing; of several things the first one in line."""
    for entry in served.never:
        if entry.key == key:
            return Outlook(_never(budget, served.accounts[key], entry), never=True)
    for place, entry in enumerate(served.waiting, 1):
        if entry.key == key:
            line = f"{_ordinal(place)} of {len(served.waiting)} in line"
            return Outlook(f"{_needs(budget, entry)}; {_in_use(budget, served, entry)}; {line}")
    for entry in served.aside:
        if entry.key == key:
            most = attainable(budget, served.accounts, entry)
            stays = f"versions that stay leave at most {most} of them: raise the budget, or lower replicas somewhere"
            return Outlook(f"{_needs(budget, entry)}; {_in_use(budget, served, entry)}; {stays}")
    return None


def _needs(budget: Budget, entry: Entry) -> str:
    return f"{entry.ask.workload} needs {entry.ask.amount} {budget.resource}"


def _in_use(budget: Budget, served: Served, entry: Entry) -> str:
    """Of the namespace's budget where that is what is short, else of the whole."""
    namespace, limit = entry.key[0], budget.limit(entry.key[0])
    inside = [account for (where, _), account in served.accounts.items() if where == namespace]
    if limit < budget.total and limit - _used(inside) < entry.ask.least:
        return f"{_used(inside)} of {limit} of namespace {namespace} in use{_soaks(inside)}"
    return f"{_used(served.accounts.values())} of {budget.total} in use{_soaks(served.accounts.values())}"


def _used(accounts: Iterable[Account]) -> int:
    return sum(account.used for account in accounts)


def _soaks(accounts: Iterable[Account]) -> str:
    soaking = sum(account.soaking for account in accounts)
    return f", {soaking} of them held by soaks" if soaking else ""


def _never(budget: Budget, account: Account, entry: Entry) -> str:
    ask, namespace = entry.ask, entry.key[0]
    limit, beside = budget.limit(namespace), account.beside(ask)
    whose = "in all" if limit == budget.total else f"for namespace {namespace}"
    held = f" beside the {beside} that it holds meanwhile" if beside else ""
    fix = "lower replicas or resources, or raise the operator's setting accelerators"
    return f"{_needs(budget, entry)}{held}, but there are {limit} {whose}: {fix}"


def _ordinal(number: int) -> str:
    ending = "th" if number % 100 in (11, 12, 13) else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number}{ending}"
