"""The port `Objects` over documents in memory."""

from __future__ import annotations

import copy
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from luntra_operator.cli.objects import ChangedMeanwhileError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

Document = dict[str, Any]


class InMemory:
    """`trouble` is raised once per entry that is not None, look by look; the first `conflicts` writes come too late."""

    def __init__(self, *documents: Document) -> None:
        self.documents = list(documents)
        self.stored: list[Document] = []
        self.trouble: list[Exception | None] = []
        self.conflicts = 0
        self.asked: list[tuple[str | None, str | None]] = []

    @asynccontextmanager
    async def opening(self, context: str | None, kubeconfig: str | None) -> AsyncIterator[InMemory]:
        self.asked.append((context, kubeconfig))
        yield self

    async def get(self, namespace: str, name: str) -> Document | None:
        if self.trouble and (error := self.trouble.pop(0)) is not None:
            raise error
        found = (one for one in await self.list(namespace) if one["metadata"]["name"] == name)
        return copy.deepcopy(next(found, None))

    async def revisions(self, _namespace: str, _name: str) -> list[Document]:
        return self.stored

    async def list(self, namespace: str | None) -> list[Document]:
        return [one for one in self.documents if namespace in (None, one["metadata"]["namespace"])]

    async def replace(self, document: Document) -> None:
        if self.conflicts:
            self.conflicts -= 1
            raise ChangedMeanwhileError
        names = [one["metadata"]["name"] for one in self.documents]
        self.documents[names.index(document["metadata"]["name"])] = document
