"""Leader election by a coordination.k8s.io/v1 Lease, as client-go does it.

Two operators must never act at once, for instance while a node that hosts one is cut off. The holder
renews its Lease; another takes it over only after it has not seen it change for the whole lease duration on
its own clock, so clocks need not agree. A holder that cannot renew in time stops to act before that (`held`), and
competes anew.

A renewal is one PUT of the Lease as it was last written, as client-go's fast path is; it is read only where that fails.
"""

import asyncio
import contextlib
import logging
import math
from collections.abc import Awaitable
from datetime import UTC, datetime
from typing import Any, TypeVar

from luntra_operator.kube import kinds
from luntra_operator.kube.client import Kube
from luntra_operator.kube.errors import ConflictError, KubeError, NotFoundError, UnavailableError

log = logging.getLogger(__name__)

T = TypeVar("T")

NAME = "luntra-operator"
DURATION = 15
"""Seconds without a renewal after which others may take over."""
RENEW_DEADLINE = 10.0
"""Seconds without a successful renewal after which the holder gives up."""
RETRY = 2.0
"""Seconds between two looks."""
REQUEST = RENEW_DEADLINE / 2
"""Seconds that one request may take, so that one that hangs leaves time for another."""


class LeaseLostError(Exception):
    """The lease is not held any more; this process must stop acting."""


class Lease:
    """One candidate for leadership."""

    def __init__(self, kube: Kube, namespace: str, identity: str) -> None:
        """Compete as `identity` for the Lease in `namespace`."""
        self._kube, self._namespace, self._identity = kube, namespace, identity
        self._seen: tuple[str, float] | None = None
        self._written: dict[str, Any] | None = None
        self._renewed = -math.inf

    @property
    def held(self) -> bool:
        """Whether this process may act at this moment, however long it has slept before it asks.

        It is told by the monotonic clock and counts from before the last renewal was sent, so it ends DURATION - RENEW_DEADLINE
        seconds before anybody else may take over.
        """
        return asyncio.get_running_loop().time() - self._renewed < RENEW_DEADLINE

    async def acquire(self) -> None:
        """Wait until this process is the leader."""
        while not await self._try():  # noqa: ASYNC110 - another process decides; there is nothing to wait on here
            await asyncio.sleep(RETRY)
        log.info("%s is the leader", self._identity)

    async def hold(self) -> None:
        """Renew until cancelled.

        Raises:
            LeaseLostError: no renewal succeeded for RENEW_DEADLINE seconds, or somebody else holds it.
        """
        while self.held:
            await asyncio.sleep(RETRY)
            # A request that hangs must not carry this process beyond the time at which others take over.
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout_at(self._renewed + RENEW_DEADLINE):
                    await self._try()
        why = f"could not be renewed for {RENEW_DEADLINE:g} s" if math.isfinite(self._renewed) else "is somebody else's"
        raise LeaseLostError(f"lease {self._namespace}/{NAME} {why}")

    async def release(self) -> None:
        """Give the lease up at shutdown, so that a successor need not wait for it to expire."""
        try:
            lease = await _soon(self._kube.get(kinds.LEASE, self._namespace, NAME))
            if lease and lease["spec"].get("holderIdentity") == self._identity:
                lease["spec"] |= {"holderIdentity": "", "renewTime": _now()}
                await _soon(self._kube.replace(kinds.LEASE, lease))
        except KubeError as error:
            log.warning("the lease could not be released; a successor waits %d s: %s", DURATION, error)

    async def _try(self) -> bool:
        """Take or renew the lease once; False while somebody else holds it or the API server fails."""
        started = asyncio.get_running_loop().time()
        try:
            self._written = await self._again() or await self._anew()
        except ConflictError:
            return False
        except KubeError as error:
            log.warning("the lease could not be read or written: %s", error)
            return False
        self._renewed = started if self._written else -math.inf
        return self._written is not None

    async def _again(self) -> dict[str, Any] | None:
        """Renew the lease as it was last written; None where it is not so any more."""
        if self._written is None:
            return None
        known, self._written = self._written, None  # an answer that is lost leaves it unknown
        try:
            return await _soon(self._kube.replace(kinds.LEASE, self._taken(known)))
        except (ConflictError, NotFoundError):
            return None

    async def _anew(self) -> dict[str, Any] | None:
        """Look who holds the lease, and take it if it is free; None where it is not."""
        lease = await _soon(self._kube.get(kinds.LEASE, self._namespace, NAME))
        if lease is None:
            return await _soon(self._kube.create(kinds.LEASE, self._new()))
        return await _soon(self._kube.replace(kinds.LEASE, self._taken(lease))) if self._free(lease) else None

    def _free(self, lease: dict[str, Any]) -> bool:
        spec = lease["spec"]
        if spec.get("holderIdentity") in (self._identity, "", None):
            return True
        version, now = lease["metadata"]["resourceVersion"], asyncio.get_running_loop().time()
        if self._seen is None or self._seen[0] != version:
            self._seen = (version, now)
        return bool(now - self._seen[1] > spec.get("leaseDurationSeconds", DURATION))

    def _taken(self, lease: dict[str, Any]) -> dict[str, Any]:
        spec = dict(lease["spec"])
        if spec.get("holderIdentity") != self._identity:
            spec |= {"acquireTime": _now(), "leaseTransitions": spec.get("leaseTransitions", 0) + 1}
        spec |= {"holderIdentity": self._identity, "leaseDurationSeconds": DURATION, "renewTime": _now()}
        return {**lease, "spec": spec}

    def _new(self) -> dict[str, Any]:
        empty = {
            "apiVersion": kinds.LEASE.api_version,
            "kind": kinds.LEASE.kind,
            "metadata": {"name": NAME, "namespace": self._namespace},
            "spec": {"leaseTransitions": -1},
        }
        return self._taken(empty)


async def _soon(request: Awaitable[T]) -> T:
    try:
        async with asyncio.timeout(REQUEST):
            return await request
    except TimeoutError as error:
        raise UnavailableError(f"no answer within {REQUEST:g} s") from error


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
