"""The operator's way to the API server, broken at one write: the process ends before or after it, or the answer is an error.

What took effect is recorded, with the time: the proof is in what the API server was told, not in what the operator meant.
"""

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from luntra_operator.controller.execute import Images
from luntra_operator.controller.queue import WorkQueue
from luntra_operator.controller.reconcile import DataPlane, Reconciler
from luntra_operator.kube.client import Kube
from luntra_operator.kube.errors import ConflictError, UnavailableError

Object = dict[str, Any]
Fault = Literal["killed-before", "killed-after", "conflict", "refused-by-500", "answer-lost"]
FAULTS: tuple[Fault, ...] = ("killed-before", "killed-after", "conflict", "refused-by-500", "answer-lost")

_POLL = 0.2
"""Seconds between two looks at the object; in place of watches, which have tests of their own."""


@dataclass(frozen=True)
class Applied:
    """A write that took effect: `content` is what the API server answered, `process` the number of the operator that wrote."""

    at: float
    process: int
    method: str
    path: str
    content: Object


@dataclass
class Faults:
    """Which write of all processes meets which fault; writes are counted from 1 once `armed`."""

    at: Mapping[int, Fault] = field(default_factory=dict)
    armed: bool = False
    writes: int = 0
    met: list[Fault] = field(default_factory=list)
    applied: list[Applied] = field(default_factory=list)
    refused: list[tuple[int, str]] = field(default_factory=list)
    """Writes that met a 500: how many had taken effect before, and the path."""
    processes: int = 0

    def next(self) -> Fault | None:
        """What the write that is about to be sent will meet."""
        if not self.armed:
            return None
        self.writes += 1
        fault = self.at.get(self.writes)
        if fault:
            self.met.append(fault)
        return fault


class FaultyKube(Kube):
    """The client of one operator process; `dead` once it was killed: then no request is sent or answered any more."""

    def __init__(self, kube: Kube, faults: Faults) -> None:
        """Use the connection of `kube`."""
        super().__init__(kube._client)
        self._faults, self.dead = faults, asyncio.Event()
        faults.processes += 1
        self._number = faults.processes

    async def _request(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None = None,
        body: Any = None,
        content_type: str = "application/json",
        accept: str = "application/json",
    ) -> Object:
        if self.dead.is_set():
            raise asyncio.CancelledError
        if method == "GET":
            answer = await super()._request(method, path, query, body, content_type, accept)
        else:
            answer = await self._write(method, path, query, body, content_type)
        if self.dead.is_set():
            raise asyncio.CancelledError
        return answer

    async def _write(
        self, method: str, path: str, query: Mapping[str, str] | None, body: Any, content_type: str
    ) -> Object:
        fault = self._faults.next()
        if fault == "killed-before":
            self.dead.set()
            raise asyncio.CancelledError
        if fault == "conflict":
            raise ConflictError(f"{method} {path}: the object has been modified; injected (409)")
        if fault == "refused-by-500":
            self._faults.refused.append((len(self._faults.applied), path))
            raise UnavailableError(f"{method} {path}: injected (500)")
        answer = await super()._request(method, path, query, body, content_type)
        self._faults.applied.append(Applied(time.monotonic(), self._number, method, path, answer))
        if fault == "killed-after":
            self.dead.set()
            raise asyncio.CancelledError
        if fault == "answer-lost":
            raise UnavailableError(f"{method} {path}: no answer; injected")
        return answer


async def operate(kube: Kube, gateway: DataPlane, faults: Faults, key: tuple[str, str], images: Images) -> None:
    """Run operators, a new one with an empty memory whenever one is killed, until cancelled."""
    while True:
        client = FaultyKube(kube, faults)
        queue = WorkQueue(Reconciler(client, gateway, images))
        async with asyncio.TaskGroup() as tasks:
            running = [tasks.create_task(queue.run()), tasks.create_task(_poll(queue, key))]
            await client.dead.wait()
            for task in running:
                task.cancel()


async def _poll(queue: WorkQueue, key: tuple[str, str]) -> None:
    while True:
        queue.add(key)
        await asyncio.sleep(_POLL)
