"""The one place where accelerators are granted: accounts of all ModelDeployments, and what follows when one changes.

A grant exists from the moment it is made here, so two objects that are reconciled at once cannot both get the last unit. It is
not kept here alone: whoever uses the ledger writes a grant into the object's status before anything is created with it, and
tells the ledger first what statuses and live objects say (`count`). Before that everything that is held is taken note of and nothing
is granted. Nothing here awaits anything; one ledger belongs to one event loop.
"""

from collections.abc import Mapping
from datetime import datetime

from .account import Account
from .budget import Budget, Key
from .line import Served, serve
from .report import Outlook, exceeding, excess, outlook


class Ledger:
    """Accounts by object, and the line of those who wait."""

    def __init__(self, budget: Budget) -> None:
        """Know of nobody, and grant nothing before `count`."""
        self.budget = budget
        self.counted = False
        self._served = Served()
        self.exceeding: frozenset[Key] = frozenset()
        """Everybody who holds for good what, all together, is more than there is."""

    @property
    def accounts(self) -> Mapping[Key, Account]:
        """Everybody who holds or wants anything."""
        return self._served.accounts

    def account(self, key: Key) -> Account:
        """One object's account, an empty one if it holds and wants nothing."""
        return self.accounts.get(key) or Account()

    @property
    def used(self) -> int:
        """Units that are held in all."""
        return sum(account.used for account in self.accounts.values())

    @property
    def awaited(self) -> int:
        """Units that are asked for and not granted."""
        return sum(ask.amount for account in self.accounts.values() for ask in account.asks)

    @property
    def waiting(self) -> frozenset[Key]:
        """Everybody who wants more than there is."""
        return frozenset(key for key, account in self.accounts.items() if account.asks)

    def count(self, found: Mapping[Key, Account], now: datetime) -> frozenset[Key]:
        """Take over what was found in the cluster and begin to grant; an account that is known already is newer.

        Returns who was granted something.
        """
        self.counted = True
        return self._serve({**found, **self.accounts}, now)

    def settle(self, key: Key, account: Account, now: datetime) -> frozenset[Key]:
        """Replace an account and serve the line.

        Returns who was granted something, `key` perhaps among them.
        """
        accounts = {**self.accounts, key: account}
        if account == Account():
            del accounts[key]
        return self._serve(accounts, now)

    def _serve(self, accounts: Mapping[Key, Account], now: datetime) -> frozenset[Key]:
        self._served = serve(self.budget, accounts, now) if self.counted else Served(accounts)
        self.exceeding = exceeding(self.budget, self.accounts) if self.counted else frozenset()
        return self._served.granted

    def outlook(self, key: Key) -> Outlook | None:
        """What an object waits for, in words; None if for nothing."""
        if not self.counted and self.account(key).asks:
            return Outlook("the accelerators in use are being counted after a start of the operator")
        return outlook(self.budget, self._served, key)

    def excess(self, key: Key) -> str | None:
        """What an object that is `exceeding` is told; None where it is not."""
        return excess(self.budget, self.accounts, key) if key in self.exceeding else None
