"""The accelerator budget at work: what each object holds and wants is told to the one ledger, and whoever is served is woken.

What is decided is `fleet`'s, what an object holds and wants is `claims`'. A grant is made in memory, written into the
object's status with the next decision, and only then used. So after a crash between any two of these, statuses and live
objects together tell of everything that may hold a device.
"""

import asyncio
import logging
from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from pydantic import ValidationError

from luntra_operator.api.status import ModelDeploymentStatus
from luntra_operator.api.vocabulary import LABEL_DEPLOYMENT
from luntra_operator.fleet.account import Account
from luntra_operator.fleet.budget import Budget, Key
from luntra_operator.fleet.ledger import Ledger
from luntra_operator.kube import kinds
from luntra_operator.kube.client import Kube
from luntra_operator.kube.errors import KubeError
from luntra_operator.rollout.observed import Grants
from luntra_operator.rollout.turn import Turn

from . import claims
from .held import Held, held, labelled
from .observe import Children

log = logging.getLogger(__name__)

REFRESH = 10.0
"""Least seconds after which those who wait, or are over the budget, say anew where they stand; two a second, where there are many."""

LOOK_AGAIN = 1.0
"""Seconds until it is looked again whether controllers have let go of what has no pods any more: no watch tells of that."""

LOOK_LIMIT = 2.0
"""Seconds for which a turn, which may have a rollback to write, waits for what is only needed to give something back."""

COUNT_RETRY = 5.0
"""Seconds until it is tried again to count what the API server did not tell."""

Object = dict[str, Any]


class Fleet:
    """The budget of all ModelDeployments in `namespaces` (none given: in all); `wake` adds an object to the work queue."""

    def __init__(
        self,
        kube: Kube,
        budget: Budget,
        wake: Callable[[Key, float], None],
        namespaces: tuple[str, ...] = (),
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        """Grant nothing before `count`; `wake` gets seconds to wait, `clock` tells the time in UTC."""
        self.ledger = Ledger(budget)
        self._kube, self._wake, self._clock = kube, wake, clock
        self._resource = budget.resource
        self._namespaces: tuple[str | None, ...] = namespaces or (None,)

    async def count(self) -> None:
        """Count what is held, by all statuses and all that lives, however often the API server must be asked; then grant."""
        while True:
            try:
                found = await self._everybody()
            except KubeError as error:
                log.warning("accelerators in use could not be counted, nothing is granted before: %s", error)
                await asyncio.sleep(COUNT_RETRY)
            else:
                break
        granted = self.ledger.count(found, self._clock())
        used, total = self.ledger.used, self.ledger.budget.total
        log.log(
            logging.WARNING if used > total else logging.INFO, "%d of %d %s are in use", used, total, self._resource
        )
        self._tell(granted, self.ledger.waiting | self.ledger.exceeding)

    async def grants(self, key: Key, owner: Object, turn: Turn, children: Children) -> tuple[Grants, float | None]:
        """What an object may use now, and the seconds until it is worth looking again (None: somebody will wake it).

        It does not fail: what cannot be read counts as held.
        """
        wanted = claims.wants(self._resource, owner, turn, children.revisions)
        lives = held(self._resource, children.deployments, (), children.pods)
        known = self._known(key, turn.status)
        account, again = claims.account(turn, known, wanted, lives), None
        if claims.less(account, known):
            try:
                async with asyncio.timeout(LOOK_LIMIT):
                    lives = await self._look(key)
                known = self._known(key, turn.status)  # something may have been granted meanwhile
                account = claims.account(turn, known, wanted, lives)
            except (KubeError, TimeoutError) as error:
                log.warning("%s/%s: what it holds cannot be read and counts as before: %s", *key, error)
                known, again = self._known(key, turn.status), COUNT_RETRY
                account = replace(account, holdings=claims.larger(known.holdings, account.holdings))
        if claims.stuck(account, wanted, lives):
            again = again or LOOK_AGAIN
        self._settle(key, account)
        granted = claims.granted(self._resource, turn, self.ledger.account(key), wanted, self.ledger.outlook(key))
        over = self.ledger.excess(key) if self.ledger.counted else claims.told_of_excess(turn.status)
        return replace(granted, excess=over), again

    async def gone(self, key: Key) -> float | None:
        """An object was deleted: it wants nothing more, and what its pods hold is free when they are gone.

        Raises:
            KubeError: what it still holds could not be read; it counts as before.
        """
        if key not in self.ledger.accounts:
            return None
        self.step_aside(key)
        lives = await self._look(key)
        self._settle(key, Account(claims.alive(lives, self.ledger.account(key), {}, self._clock())))
        return LOOK_AGAIN if any(one.promised and one.behind for one in lives.values()) else None

    def step_aside(self, key: Key) -> None:
        """Whatever an object has asked for, it cannot use it now."""
        self._settle(key, replace(self.ledger.account(key), asks=()))

    def _settle(self, key: Key, account: Account) -> None:
        before, over = self.ledger.account(key), self.ledger.exceeding
        granted = self.ledger.settle(key, account, self._clock())
        if granted or before != account:
            self._tell(granted - {key}, (self.ledger.waiting | self.ledger.exceeding | over) - {key})

    def _tell(self, granted: Iterable[Key], others: frozenset[Key]) -> None:
        for key in granted:
            self._wake(key, 0.0)
        for key in others:
            self._wake(key, max(REFRESH, len(others) / 2))

    def _known(self, key: Key, status: ModelDeploymentStatus) -> Account:
        """What an object is known to hold and want: by the ledger, or before all is counted by its status.

        Since when it waits is in the status alone after a start.
        """
        account, told = self.ledger.account(key), claims.recorded(self._resource, status)
        if account == Account() and not self.ledger.counted:
            return told
        return account if account.asks else replace(account, asks=told.asks)

    async def _look(self, key: Key) -> dict[str, Held]:
        """What lives of an object's workloads, read one kind after the other, as `held` wants it."""
        namespace, selector = key[0], f"{LABEL_DEPLOYMENT}={key[1]}"
        deployments = await self._kube.list(kinds.DEPLOYMENT, namespace, selector)
        replica_sets = await self._kube.list(kinds.REPLICA_SET, namespace, selector)
        pods = await self._kube.list(kinds.POD, namespace, selector)
        return held(self._resource, deployments, replica_sets, pods)

    async def _everybody(self) -> dict[Key, Account]:
        """The accounts of all objects, and of deleted ones of which something lives."""
        accounts: dict[Key, Account] = {}
        for namespace in self._namespaces:
            objects = await self._kube.list(kinds.MODEL_DEPLOYMENT, namespace)
            statuses = {(one["metadata"]["namespace"], one["metadata"]["name"]): _status(one) for one in objects}
            deployments = labelled(await self._kube.list(kinds.DEPLOYMENT, namespace, LABEL_DEPLOYMENT))
            replica_sets = labelled(await self._kube.list(kinds.REPLICA_SET, namespace, LABEL_DEPLOYMENT))
            pods = labelled(await self._kube.list(kinds.POD, namespace, LABEL_DEPLOYMENT))
            for key in statuses.keys() | deployments.keys() | replica_sets.keys() | pods.keys():
                lives = held(self._resource, deployments.get(key, ()), replica_sets.get(key, ()), pods.get(key, ()))
                status = statuses.get(key) or ModelDeploymentStatus()
                account = claims.counted(self._resource, status, lives, self._clock())
                if account.holdings:
                    accounts[key] = account
        return accounts


def _status(body: Object) -> ModelDeploymentStatus:
    try:
        return ModelDeploymentStatus.model_validate(body.get("status", {}))
    except ValidationError as error:
        log.warning("the status of %s cannot be read, only what lives counts: %s", body["metadata"]["name"], error)
        return ModelDeploymentStatus()
