"""The finalizer of objects whose weights are in a route of the user's, and what is done when such an object is deleted."""

from typing import Any

from luntra_operator.api.vocabulary import FINALIZER_ADOPTED
from luntra_operator.kube import kinds
from luntra_operator.kube.client import Kube
from luntra_operator.kube.errors import KindMissingError, NotFoundError
from luntra_operator.traffic import adopted
from luntra_operator.traffic.provider import Patch

from .observe import lent_routes

Object = dict[str, Any]


async def add(kube: Kube, owner: Object) -> None:
    """Let the deletion of `owner` wait for `farewell`.

    Raises:
        KubeError: the API server refused it, or the object has changed since it was read (ConflictError).
    """
    present = owner["metadata"].get("finalizers") or []
    await _set(kube, owner, [*present, FINALIZER_ADOPTED])


async def remove(kube: Kube, owner: Object) -> None:
    """Let the deletion of `owner` wait for nothing of ours; raises as `add` does."""
    present = owner["metadata"].get("finalizers") or []
    await _set(kube, owner, [name for name in present if name != FINALIZER_ADOPTED])


async def farewell(kube: Kube, owner: Object) -> None:
    """Give back what a deleted object has borrowed, whatever its spec says, then let it go.

    Raises:
        KubeError: a route could not be read or written; the object stays until it can.
    """
    if FINALIZER_ADOPTED not in owner["metadata"].get("finalizers", ()):
        return
    name, namespace = owner["metadata"]["name"], owner["metadata"]["namespace"]
    today = adopted.named(owner["spec"])
    for route in dict.fromkeys([*await lent_routes(kube, owner), *([today] if today else [])]):
        await _give_back(kube, namespace, name, route)
    await remove(kube, owner)


async def _give_back(kube: Kube, namespace: str, name: str, route: str) -> None:
    try:
        found = await kube.get(kinds.HTTP_ROUTE, namespace, route)
        patch = adopted.returned(name, found) if found else None
        if isinstance(patch, Patch):
            await kube.patch(kinds.HTTP_ROUTE, namespace, route, patch.operations)
    except (NotFoundError, KindMissingError):
        return  # there is nothing any more that could be given back


async def _set(kube: Kube, owner: Object, finalizers: list[str]) -> None:
    meta = owner["metadata"]
    written = await kube.patch(
        kinds.MODEL_DEPLOYMENT,
        meta["namespace"],
        meta["name"],
        [
            {"op": "test", "path": "/metadata/resourceVersion", "value": meta["resourceVersion"]},
            {"op": "add", "path": "/metadata/finalizers", "value": finalizers},
        ],
    )
    meta |= {"resourceVersion": written["metadata"]["resourceVersion"], "finalizers": finalizers}
