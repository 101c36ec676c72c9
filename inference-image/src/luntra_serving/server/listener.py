"""All connections of the inference port: accept, watch the clock, leave without dropping a request."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from luntra_serving.server.connection import ARRIVAL_SECONDS, Connection

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

    from luntra_serving.server.exchange import Exchange

_BACKLOG = 2048
_TICK = 1.0


@dataclass(slots=True)
class Listener:
    """Hands every request that has arrived to `handle`, on the event loop. `max_body` is in bytes.

    Connections without a request stay open: a gateway that reuses one just when it is closed here would lose a request, and the
    gateway is the side that knows whether it is sending one.
    """

    handle: Callable[[Exchange], None]
    max_body: int
    draining: bool = False
    """Whether each answer asks its client to use another connection from now on."""
    _connections: set[Connection] = field(default_factory=set)
    _server: asyncio.Server | None = None
    _clock: asyncio.Task[None] | None = None
    _empty: asyncio.Event = field(default_factory=asyncio.Event)

    async def start(self, listening: socket.socket) -> None:
        """Accept connections from now on."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: Connection(self), sock=listening, backlog=_BACKLOG)
        self._clock = loop.create_task(self._watch())

    async def leave(self, limit: float) -> None:
        """Refuse new connections, end those without a request, and wait at most `limit` seconds for the others."""
        if self._server is None or self._clock is None:
            raise RuntimeError("a listener is started before it leaves")
        self.draining = True
        self._server.close()
        for connection in list(self._connections):
            if connection.idle:
                connection.close()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(limit):
                while self._connections:
                    self._empty.clear()
                    await self._empty.wait()
        for connection in list(self._connections):
            connection.close()
        self._clock.cancel()

    def opened(self, connection: Connection) -> None:
        """A connection has begun."""
        self._connections.add(connection)

    def closed(self, connection: Connection) -> None:
        """A connection is over."""
        self._connections.discard(connection)
        if not self._connections:
            self._empty.set()

    @property
    def connections(self) -> int:
        """Connections that are open."""
        return len(self._connections)

    async def _watch(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(_TICK)
            late = loop.time() - ARRIVAL_SECONDS
            for connection in list(self._connections):
                if connection.since is not None and connection.since < late:
                    connection.too_slow()
