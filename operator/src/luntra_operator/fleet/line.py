"""The line of those who ask, and who of them is served now.

The rule. First come asks that have waited longer than `PATIENCE`, in the order in which they were made. Then comes the
namespace that uses the smallest share of its own limit, and in it the ask that was made first; with each ask that is granted the
shares are looked at anew (progressive filling: Bertsekas and Gallager, Data Networks, 2nd edition, section 6.5.2; weighted
by limits as in Ghodsi et al., Dominant Resource Fairness, NSDI 2011, which comes to this for a single resource).

What is free is kept for the first in line that does not fit, and nobody behind it gets any: of the whole budget where that
is short, of the namespace's where only that is. This is the reservation of EASY (Lifka, The ANL/IBM SP Scheduling
System, 1995) without its backfilling, which would have to know when a rollout ends. So a large ask waits until enough was let go,
and no longer, however many small ones there are.

Nothing is kept for an ask that cannot be met by waiting, because versions that stay hold too much: it would keep everybody
else from what nobody uses. Such an ask stands aside until that changes; one that would not fit into an empty budget never
gets anything.
"""

from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime

from .account import Account, Ask
from .budget import Budget, Key

PATIENCE = 600.0
"""Seconds after which an ask is served before all that were made later, whatever the shares."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One ask and whose it is."""

    key: Key
    ask: Ask


@dataclass(slots=True)
class _Room:
    """What is used now, what will be for good, and what is kept for those in line, by namespace."""

    budget: Budget
    used: dict[str, int]
    kept: dict[str, int]
    awaited: dict[str, int] = field(default_factory=dict)

    def free(self, namespace: str) -> int:
        """Units that the namespace could be given now."""
        return min(self.budget.limit(namespace) - self.used.get(namespace, 0), self.free_in_all)

    @property
    def free_in_all(self) -> int:
        """Units that nobody uses."""
        return self.budget.total - sum(self.used.values())

    def attainable(self, entry: "Entry", account: Account) -> int:
        """Units that an ask could get once everything that ends by itself has ended, but for what it has to fit beside."""
        namespace = entry.key[0]
        inside = self.budget.limit(namespace) - self.kept.get(namespace, 0)
        own = max(account.beside(entry.ask) - account.kept, 0)
        return min(inside, self.budget.total - sum(self.kept.values())) - own

    def share(self, namespace: str) -> float:
        """The part of the namespace's own limit that it uses, or will when those before are served."""
        spoken_for = self.used.get(namespace, 0) + self.awaited.get(namespace, 0)
        return spoken_for / max(self.budget.limit(namespace), 1)


@dataclass(frozen=True, slots=True)
class Served:
    """Accounts after everybody who could be served was; who waits, in line; who stands aside, and who never fits."""

    accounts: Mapping[Key, Account] = field(default_factory=dict)
    granted: frozenset[Key] = frozenset()
    waiting: tuple[Entry, ...] = ()
    aside: tuple[Entry, ...] = ()
    never: tuple[Entry, ...] = ()


def never_fits(budget: Budget, key: Key, account: Account, ask: Ask) -> bool:
    """Whether an ask is too large even for a budget that nobody else uses anything of."""
    return account.beside(ask) + ask.least > budget.limit(key[0])


def serve(budget: Budget, accounts: Mapping[Key, Account], now: datetime) -> Served:
    """Go through the line once and grant what can be granted."""
    after = dict(accounts)
    room = _Room(budget, sums(accounts, "used"), sums(accounts, "kept"))
    waiting: list[Entry] = []
    aside: list[Entry] = []
    never: list[Entry] = []
    granted: set[Key] = set()
    full: set[str] = set()
    short = False
    for entry in _line([Entry(key, ask) for key, account in accounts.items() for ask in account.asks], room, now):
        key, namespace = entry.key, entry.key[0]
        part = 0 if short or namespace in full else _part(entry.ask, room.free(namespace))
        if part:
            before = after[key]
            after[key] = before.granted(entry.ask, part, now)
            granted.add(key)
            room.used[namespace] += part
            room.kept[namespace] += after[key].kept - before.kept
        if part == entry.ask.amount:
            continue
        rest = Entry(key, replace(entry.ask, amount=entry.ask.amount - part))
        if never_fits(budget, key, after[key], rest.ask):
            never.append(rest)
        elif room.attainable(rest, after[key]) < rest.ask.least:
            aside.append(rest)
        else:
            waiting.append(rest)
            room.awaited[namespace] = room.awaited.get(namespace, 0) + rest.ask.amount
            full.add(namespace)
            short = short or room.free_in_all < rest.ask.least
    return Served(after, frozenset(granted), tuple(waiting), tuple(aside), tuple(never))


def attainable(budget: Budget, accounts: Mapping[Key, Account], entry: Entry) -> int:
    """Units that an ask could get by waiting, beside what its object keeps."""
    room = _Room(budget, sums(accounts, "used"), sums(accounts, "kept"))
    return max(room.attainable(entry, accounts[entry.key]), 0)


def _line(entries: list[Entry], room: _Room, now: datetime) -> Iterator[Entry]:
    """The entries in the order of the rule; it looks at `room` each time, as the caller changes it."""
    entries.sort(key=lambda entry: (entry.ask.since, entry.key, entry.ask.workload))
    queues: dict[str, deque[Entry]] = {}
    for entry in entries:
        if (now - entry.ask.since).total_seconds() >= PATIENCE:
            yield entry
        else:
            queues.setdefault(entry.key[0], deque()).append(entry)
    while queues:
        namespace = min(queues, key=lambda name: (room.share(name), queues[name][0].ask.since, name))
        yield queues[namespace].popleft()
        if not queues[namespace]:
            del queues[namespace]


def _part(ask: Ask, free: int) -> int:
    """All of an ask, or as many of its smallest parts as there are."""
    return ask.amount if ask.amount <= free else max(free, 0) // ask.least * ask.least


def sums(accounts: Mapping[Key, Account], what: str) -> dict[str, int]:
    """What accounts come to by namespace: `used` or `kept`."""
    found: dict[str, int] = {}
    for (namespace, _), account in accounts.items():
        found[namespace] = found.get(namespace, 0) + getattr(account, what)
    return found
