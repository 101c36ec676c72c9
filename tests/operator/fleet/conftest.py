"""Accounts in few words, for the tests of this folder."""

from datetime import UTC, datetime, timedelta

from luntra_operator.fleet.account import Account, Ask, Holding, Role
from luntra_operator.fleet.budget import Budget, Key

START = datetime(2026, 1, 1, tzinfo=UTC)


def at(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def budget(total: int = 16, per_namespace: int | None = None, **namespaces: int) -> Budget:
    return Budget("nvidia.com/gpu", total, per_namespace, namespaces)


def key(name: str) -> Key:
    """`a/one` is the object `one` in namespace `a`."""
    namespace, _, own = name.partition("/")
    return namespace, own


def held(amount: int, role: Role = "stable", ending: int = 0) -> Holding:
    return Holding(role, role, amount, START, ending)


def asked(amount: int, since: float = 0, role: Role = "candidate", least: int | None = None) -> Ask:
    return Ask(role, role, amount, least or amount, at(since))


def account(*parts: Holding | Ask, paused: bool = False) -> Account:
    """Each role is also the name of its workload."""
    holdings = tuple(part for part in parts if isinstance(part, Holding))
    return Account(holdings, tuple(part for part in parts if isinstance(part, Ask)), paused)
