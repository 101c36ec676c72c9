"""A net below the watches: now and then all is listed, what has changed is worked on, what is remembered of others dropped."""

import asyncio
import logging
from typing import Protocol

from luntra_operator.controller.queue import Key, Priority, WorkQueue
from luntra_operator.controller.relist import Listing, Relist
from luntra_operator.kube.client import Kube
from luntra_operator.kube.errors import KubeError

log = logging.getLogger(__name__)

RESYNC = 600.0
"""Seconds between two lists of all objects."""


class Memory(Protocol):
    """What keeps something of each object and may have missed that one was deleted."""

    def keep_only(self, uids: set[str]) -> None:
        """Forget everything about other objects than these."""


class Remembering(Protocol):
    """What keeps something of each key until it sees that its object is gone."""

    @property
    def remembered(self) -> set[Key]:
        """Keys of which something is kept."""


async def resync(
    kube: Kube,
    queue: WorkQueue,
    namespaces: tuple[str, ...],
    memory: Memory | None = None,
    remembering: Remembering | None = None,
) -> None:
    """List for ever, and have all that has changed since looked at, and what is gone but remembered, which forgets it."""
    relist = Relist(kube)
    while True:
        found = await _listed(relist, namespaces)
        whole = len(found) == len(namespaces or (None,))
        keys = {key for one in found for key in one.changed}
        if whole and memory is not None:
            memory.keep_only({uid for one in found for uid in one.uids})
        if whole and remembering is not None:
            keys |= remembering.remembered - {key for one in found for key in one.keys}
        for key in keys:
            queue.add(key, priority=Priority.BACKGROUND)
        await asyncio.sleep(RESYNC)


async def _listed(relist: Relist, namespaces: tuple[str, ...]) -> list[Listing]:
    """What could be listed."""
    found = []
    for namespace in namespaces or (None,):
        try:
            found.append(await relist.listing(namespace))
        except KubeError as error:
            log.warning("objects could not be listed, the watches go on: %s", error)
    return found
