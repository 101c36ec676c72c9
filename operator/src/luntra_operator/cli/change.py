"""`luntra approve` and its like: read the object, change it, write it if nobody else has written meanwhile."""

from __future__ import annotations

from typing import TYPE_CHECKING

from luntra_operator.cli.objects import AccessError, ChangedMeanwhileError
from luntra_operator.cli.status import find
from luntra_operator.cli.verbs import VERBS, rollback

if TYPE_CHECKING:
    from luntra_operator.cli.objects import Objects

_ATTEMPTS = 10
"""The operator writes the status of a rollout that moves, so that some are spent on nothing."""


async def change(verb: str, namespace: str, name: str, to: str | None, objects: Objects) -> str:
    """Do what the verb says to one object; returns a sentence about it.

    Raises:
        MissingError: the object does not exist.
        NotPossibleError: the verb has nothing to do there.
        AccessError: the cluster cannot be asked, or others write faster than we can.
    """
    for _ in range(_ATTEMPTS):
        document = await find(namespace, name, objects)
        if verb == "rollback":
            changed, told = rollback(document, await objects.revisions(namespace, name), to)
        else:
            changed, told = VERBS[verb](document)
        try:
            await objects.replace(changed)
        except ChangedMeanwhileError:
            continue
        return told
    raise AccessError(f"{name} was changed by somebody else {_ATTEMPTS} times in a row; try again")
