"""Keep the operator's keys in a Secret of its own namespace, and turn them when it is time.

The operator makes them, not the chart: rendering the chart again would make new ones. Two operators that start at once agree, for
only one can create the Secret and every change names the version that it is of.
"""

import asyncio
import base64
import logging
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from luntra_operator.api.vocabulary import ANNOTATION_ROTATE, KEY_STORE
from luntra_operator.kube import kinds
from luntra_operator.kube.client import Kube
from luntra_operator.kube.errors import ConflictError, KubeError
from luntra_operator.pods.keys import KeysError, Ring, read_ring

log = logging.getLogger(__name__)

LOOK = 60.0
"""Seconds between two looks at the Secret."""

RETRY = 5.0
"""Seconds until a look that failed is repeated."""

_ENTRY = "ring.json"


class StoredKeys:
    """The keys as they were last seen; there are none before `refresh` has succeeded once."""

    def __init__(self, kube: Kube, namespace: str, clock: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        """Keep them in `namespace`; `clock` tells the time in UTC."""
        self._kube, self._namespace, self._clock = kube, namespace, clock
        self._ring: Ring | None = None
        self.known = asyncio.Event()

    @property
    def ring(self) -> Ring:
        """The keys. Only asked for once they are `known`."""
        if self._ring is None:
            raise LookupError("the keys are not known yet")
        return self._ring

    async def run(self, changed: Callable[[], object]) -> None:
        """Refresh for ever; `changed` is called when other public keys have to be handed out."""
        while True:
            before = self._ring
            try:
                await self.refresh()
            except (KubeError, KeysError) as error:
                log.warning("the keys for the pods' management ports could not be read or written: %s", error)
                await asyncio.sleep(RETRY)
                continue
            if before is not None and before.public != self.ring.public:
                changed()
            await asyncio.sleep(LOOK)

    async def refresh(self) -> None:
        """Read the Secret; make it, or turn the ring in it, where that is due.

        Raises:
            KubeError: it could not be read or written.
            KeysError: what is in it are no keys.
        """
        while True:
            secret = await self._kube.get(kinds.SECRET, self._namespace, KEY_STORE)
            try:
                ring = await self._made() if secret is None else await self._turned(secret)
            except ConflictError:
                continue  # another operator was faster; what it wrote counts
            self._ring = ring
            self.known.set()
            return

    async def _made(self) -> Ring:
        ring = Ring.new(self._clock())
        meta = {"name": KEY_STORE, "namespace": self._namespace, "labels": {"app.kubernetes.io/managed-by": "luntra"}}
        secret = {"apiVersion": "v1", "kind": "Secret", "type": "Opaque", "metadata": meta, "data": _data(ring)}
        await self._kube.create(kinds.SECRET, secret)
        log.info("made a key for the pods' management ports: Secret %s/%s", self._namespace, KEY_STORE)
        return ring

    async def _turned(self, secret: dict[str, Any]) -> Ring:
        try:
            known = read_ring(base64.b64decode(secret["data"][_ENTRY]).decode())
        except (KeyError, ValueError) as error:
            where = f"Secret {self._namespace}/{KEY_STORE}"
            raise KeysError(f"{where}: {error}; delete it, and a new key is made and handed out") from error
        asked = (secret["metadata"].get("annotations") or {}).get(ANNOTATION_ROTATE, "")
        ring = known.turned(self._clock(), asked)
        if ring != known:
            await self._kube.replace(kinds.SECRET, {**secret, "data": _data(ring)})
            log.info("the keys for the pods' management ports are turned: there are %d now", len(ring.keys))
        return ring


def _data(ring: Ring) -> dict[str, str]:
    return {_ENTRY: base64.b64encode(ring.stored().encode()).decode()}
