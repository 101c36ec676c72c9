"""What people are told: who waits, of how much it needs, who has it, and when it may be theirs; who has too much, of that."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from .account import Account
from .budget import Budget, Key
from .line import Entry, Served, attainable, sums


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


def exceeding(budget: Budget, accounts: Mapping[Key, Account]) -> frozenset[Key]:
    """Everybody whose versions stay where, all such versions together, there is not enough for them: waiting helps nobody."""
    kept = sums(accounts, "kept")
    in_all = sum(kept.values()) > budget.total
    return frozenset(
        key for key, one in accounts.items() if one.kept and (in_all or kept[key[0]] > budget.limit(key[0]))
    )


def excess(budget: Budget, accounts: Mapping[Key, Account], key: Key) -> str:
    """What one of those who are `exceeding` is told."""
    namespace, kept = key[0], sums(accounts, "kept")
    setting, limit, held, where = "accelerators.total", budget.total, sum(kept.values()), ""
    if kept[namespace] > budget.limit(namespace) < budget.total:
        setting, limit = budget.setting(namespace), budget.limit(namespace)
        held, where = kept[namespace], f" in namespace {namespace}"
    return (
        f"{setting} is {limit}, but versions that stay hold {held} {budget.resource}{where}, {accounts[key].kept} of them are this "
        "object's: nothing is taken away, and nothing granted; lower spec.replicas or spec.serving.resources, "
        f"or raise {setting} in the operator's chart"
    )


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
    namespace, beside = entry.key[0], account.beside(entry.ask)
    setting, limit = budget.setting(namespace), budget.limit(namespace)
    held = f" beside the {beside} that it holds meanwhile" if beside else ""
    fix = f"lower spec.replicas or spec.serving.resources, or raise {setting} in the operator's chart"
    return f"{_needs(budget, entry)}{held}, but {setting} is {limit}: {fix}"


def _ordinal(number: int) -> str:
    ending = "th" if number % 100 in (11, 12, 13) else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number}{ending}"
