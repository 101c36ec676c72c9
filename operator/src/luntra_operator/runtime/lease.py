"""Leader election by a coordination.k8s.io/v1 Lease, as client-go does it.

Two operators must never act at once, for instance while a node that hosts one is cut off. The holder
renews its Lease; another takes it over only after it has not seen it change for the whole lease duration on
its own clock, so clocks need not agree. A holder that cannot renew in time stops the process: a
restart is cheap, two writers are not.
"""

import asyncio
import contextlib
import logging
from datetime import UTC, datetime
from typing import Any

from luntra_operator.kube import kinds
from luntra_operator.kube.client import Kube
from luntra_operator.kube.errors import ConflictError, KubeError

log = logging.getLogger(__name__)

NAME = "luntra-operator"
DURATION = 15
"""Seconds without a renewal after which others may take over."""
RENEW_DEADLINE = 10.0
"""Seconds without a successful renewal after which the holder gives up."""
RETRY = 2.0
"""Seconds between two looks."""


class LeaseLostError(Exception):
    """The lease could not be renewed in time; this process must stop acting."""


class Lease:
    """One candidate for leadership."""

    def __init__(self, kube: Kube, namespace: str, identity: str) -> None:
        """Compete as `identity` for the Lease in `namespace`."""
        self._kube, self._namespace, self._identity = kube, namespace, identity
        self._seen: tuple[str, float] | None = None

    async def acquire(self) -> None:
        """Wait until this process is the leader."""
        while not await self._try():  # noqa: ASYNC110 - another process decides; there is nothing to wait on here
            await asyncio.sleep(RETRY)
        log.info("%s is the leader", self._identity)

    async def hold(self) -> None:
        """Renew until cancelled.

        Raises:
            LeaseLostError: no renewal succeeded for RENEW_DEADLINE seconds, be it that somebody else holds it.
        """
        loop = asyncio.get_running_loop()
        renewed = loop.time()
        while loop.time() - renewed < RENEW_DEADLINE:
            await asyncio.sleep(RETRY)
            started = loop.time()
            # A request that hangs must not carry this process beyond the time at which others take over.
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout_at(renewed + RENEW_DEADLINE):
                    if await self._try():
                        renewed = started
        raise LeaseLostError(f"lease {self._namespace}/{NAME} could not be renewed for {RENEW_DEADLINE:g} s")

    async def release(self) -> None:
        """Give the lease up at shutdown, so that a successor need not wait for it to expire."""
        try:
            lease = await self._kube.get(kinds.LEASE, self._namespace, NAME)
            if lease and lease["spec"].get("holderIdentity") == self._identity:
                lease["spec"] |= {"holderIdentity": "", "renewTime": _now()}
                await self._kube.replace(kinds.LEASE, lease)
        except KubeError as error:
            log.warning("the lease could not be released; a successor waits %d s: %s", DURATION, error)

    async def _try(self) -> bool:
        """Take or renew the lease once; False while somebody else holds it or the API server fails."""
        try:
            lease = await self._kube.get(kinds.LEASE, self._namespace, NAME)
            if lease is None:
                await self._kube.create(kinds.LEASE, self._new())
                return True
            if not self._free(lease):
                return False
            await self._kube.replace(kinds.LEASE, self._taken(lease))
        except ConflictError:
            return False
        except KubeError as error:
            log.warning("the lease could not be read or written: %s", error)
            return False
        return True

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


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
