"""A net below the watches: now and then all objects are listed, worked on, and what is remembered of others is dropped."""

import asyncio
import logging
from typing import Any, Protocol

from luntra_operator.controller.queue import Key, WorkQueue
from luntra_operator.kube import kinds
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
    """List for ever; an object that is gone but remembered is worked on once more, which forgets it."""
    while True:
        found, whole = await _listed(kube, namespaces)
        keys = {(one["metadata"]["namespace"], one["metadata"]["name"]) for one in found}
        if whole and memory is not None:
            memory.keep_only({one["metadata"]["uid"] for one in found})
        for key in keys | (remembering.remembered if remembering else set()):
            queue.add(key)
        await asyncio.sleep(RESYNC)


async def _listed(kube: Kube, namespaces: tuple[str, ...]) -> tuple[list[dict[str, Any]], bool]:
    """The objects that are looked after, and whether these are all of them."""
    found, whole = [], True
    for namespace in namespaces or (None,):
        try:
            found += await kube.list(kinds.MODEL_DEPLOYMENT, namespace)
        except KubeError as error:
            log.warning("objects could not be listed, the watches go on: %s", error)
            whole = False
    return found, whole
