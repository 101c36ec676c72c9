"""The net below the watches: which objects have changed, or a child of theirs, since they were all listed last.

To look at an object takes a dozen requests, at ten thousand objects at rest as at one. So all that belongs to any object is
listed instead, one request for each kind and page, and only what is not as it was at the last list is looked at.
"""

from collections import defaultdict
from dataclasses import dataclass
from typing import Any

from luntra_operator.api.vocabulary import LABEL_DEPLOYMENT
from luntra_operator.kube import kinds
from luntra_operator.kube.client import Kube
from luntra_operator.kube.errors import KindMissingError
from luntra_operator.traffic import routes

from .queue import Key

CHILDREN = (
    kinds.CONTROLLER_REVISION,
    kinds.DEPLOYMENT,
    kinds.SERVICE,
    kinds.CONFIG_MAP,
    kinds.POD_DISRUPTION_BUDGET,
    kinds.JOB,
    kinds.POD,
    kinds.ENDPOINT_SLICE,
    *routes.KINDS,
)
"""Kinds of what belongs to an object; all of it carries the object's label."""


@dataclass(frozen=True, slots=True)
class Listing:
    """What one list of everything found: all objects, by key and by UID, and those that are not as they were at the last one."""

    keys: set[Key]
    uids: set[str]
    changed: set[Key]


class Relist:
    """Remembers a fingerprint of each object and its children."""

    def __init__(self, kube: Kube) -> None:
        """Nothing is known yet."""
        self._kube = kube
        self._known: dict[str | None, dict[Key, int]] = {}

    async def listing(self, namespace: str | None) -> Listing:
        """List a namespace (None: all of them); the first time, everything in it has changed.

        What a turn did since is a change, too: the price is one turn too many, and an event that was missed is never
        taken for seen.

        Raises:
            KubeError: a list failed; nothing is remembered of this one.
        """
        objects = await self._kube.versions(kinds.MODEL_DEPLOYMENT, namespace)
        found: dict[Key, list[tuple[str, str]]] = defaultdict(list)
        for meta in objects:
            found[meta["namespace"], meta["name"]].append((meta["uid"], meta["resourceVersion"]))
        keys = set(found)
        for kind in CHILDREN:
            for meta in await self._children(kind, namespace):
                owner = (meta["namespace"], meta["labels"][LABEL_DEPLOYMENT])
                found[owner].append((meta["uid"], meta["resourceVersion"]))
        now = {key: hash(frozenset(versions)) for key, versions in found.items()}
        before = self._known.get(namespace, {})
        self._known[namespace] = now
        changed = {key for key, version in now.items() if before.get(key) != version}
        return Listing(keys, {meta["uid"] for meta in objects}, changed)

    async def _children(self, kind: kinds.Kind, namespace: str | None) -> list[dict[str, Any]]:
        try:
            return await self._kube.versions(kind, namespace, LABEL_DEPLOYMENT)
        except KindMissingError:
            return []
