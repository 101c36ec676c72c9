"""`luntra status`: look at the objects, once or once a second, and show them.

What it shows is `render`'s business; how it gets at the objects is the port's.
"""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Literal

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.text import Text

from luntra_operator.cli.objects import AccessError, ModelDeployment, Objects
from luntra_operator.cli.render import listing, rollout
from luntra_operator.cli.view import view

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

INTERVAL = 1.0
"""Seconds between two looks with --watch."""


class MissingError(Exception):
    """The named object does not exist; the text says which do."""


@dataclass(frozen=True)
class Query:
    """What to show: one object by name, or all of a namespace (None: of all namespaces)."""

    name: str | None
    namespace: str | None
    output: Literal["table", "json"] = "table"


async def show(query: Query, objects: Objects, console: Console) -> None:
    """Show once.

    Raises:
        MissingError: the named object does not exist.
        AccessError: the cluster cannot be asked.
    """
    found = await _look(query, objects)
    if query.output == "json":
        console.out(_as_json(query, found, indent=2), highlight=False)
    else:
        console.print(draw(query, found, datetime.now(UTC)))


async def watch(
    query: Query, objects: Objects, console: Console, pause: Callable[[], Awaitable[None]] | None = None
) -> None:
    """Show again and again until cancelled; a cluster that does not answer for a while is said, and asked again.

    Raises:
        MissingError: the named object does not exist, or does no longer.
        AccessError: the cluster cannot be asked at the first look.
    """
    found = await _look(query, objects)
    rest = pause or (lambda: asyncio.sleep(INTERVAL))
    if query.output == "json":
        await _watch_as_json(query, found, objects, console, rest)
    with Live(console=console, auto_refresh=False, transient=False) as live:
        trouble = ""
        while True:
            drawn = draw(query, found, datetime.now(UTC))
            live.update(Group(drawn, Text(trouble, "yellow")) if trouble else drawn, refresh=True)
            await rest()
            try:
                found, trouble = await _look(query, objects), ""
            except AccessError as error:
                trouble = f"not up to date: {error}"


async def _watch_as_json(
    query: Query, found: list[ModelDeployment], objects: Objects, console: Console, rest: Callable[[], Awaitable[None]]
) -> None:
    """Print a line of JSON whenever something has changed."""
    last = ""
    while True:
        text = _as_json(query, found, indent=None)
        if text != last:
            console.out(text, highlight=False)
        last = text
        await rest()
        found = await _look(query, objects)


def draw(query: Query, found: list[ModelDeployment], now: datetime) -> RenderableType:
    """Draw what was found: in full where one was asked for, else a line each."""
    views = [view(document, now) for document in found]
    if query.name is not None:
        return Group(*(rollout(one) for one in views))
    if not views:
        where = f"in namespace {query.namespace}" if query.namespace else "in any namespace"
        return Text(f"no ModelDeployments {where}")
    return listing(sorted(views, key=lambda one: (one.namespace, one.name)), with_namespace=query.namespace is None)


async def _look(query: Query, objects: Objects) -> list[ModelDeployment]:
    if query.name is None or query.namespace is None:
        return await objects.list(query.namespace)
    return [await find(query.namespace, query.name, objects)]


async def find(namespace: str, name: str, objects: Objects) -> ModelDeployment:
    """Give one object.

    Raises:
        MissingError: it does not exist.
        AccessError: the cluster cannot be asked.
    """
    found = await objects.get(namespace, name)
    if found is not None:
        return found
    others = ", ".join(sorted(one["metadata"]["name"] for one in await objects.list(namespace)))
    there = f"there are: {others}" if others else "there are none; give another namespace with -n, or -A for all"
    raise MissingError(f"no ModelDeployment {name!r} in namespace {namespace!r}; {there}")


def _as_json(query: Query, found: list[ModelDeployment], indent: int | None) -> str:
    content = found[0] if query.name is not None else found
    return json.dumps(content, indent=indent, ensure_ascii=False)
