"""The control: how fast anybody can react here who does nothing but write as soon as a watch tells of a write."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from benchmarks.operator.results import Reaction
from benchmarks.operator.stage import PERSON, WORLD
from luntra_operator.kube import kinds

if TYPE_CHECKING:
    from benchmarks.operator.stage import Stage

_NAME = "echo"
_WITHIN = 10.0


async def echoes(stage: Stage, times: int) -> Reaction:
    """Write a ConfigMap so many times, and let the world answer each with a write of its own."""
    namespace = await stage.namespace(_NAME)
    body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": _NAME, "namespace": namespace}}
    await stage.kube.create(kinds.CONFIG_MAP, body)
    answering = asyncio.create_task(stage.world.echo(namespace, _NAME))
    journal, samples = stage.journal, list[float]()
    for number in range(times):
        mark = len(journal.requests)
        await stage.kube.merge(kinds.CONFIG_MAP, namespace, _NAME, {"data": {"asked": str(number)}})

        def pair(mark: int = mark) -> list[float]:
            own = [one for one in journal.requests[mark:] if one.namespace == namespace]
            begun = [one.begun for one in own if one.user == PERSON]
            return begun[:1] + [one.ended for one in own if one.user == WORLD][:1]

        if await journal.until(lambda pair=pair: len(pair()) == 2, _WITHIN):  # type: ignore[misc] # mypy knows no such lambda
            begun, ended = pair()
            samples.append(round(ended - begun, 4))
    answering.cancel()
    return Reaction("echo", "echo", 0, tuple(samples), times - len(samples), _WITHIN)
