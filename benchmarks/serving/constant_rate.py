"""Requests at a constant rate, whatever the server does: each has an instant at which it is due, and its latency counts from there.

A request that waits for a free connection because the server stands still has been waiting since it was due, so a stall is
seen by all who would have come meanwhile, and not only by those who were let in (the correction for coordinated omission
of wrk2). One thread with `select`, whose time-outs are exact to microseconds where an event loop's are to a millisecond.
"""

from __future__ import annotations

import select
import socket
import time
from array import array
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import httptools

if TYPE_CHECKING:
    from collections.abc import Callable

CONNECTIONS = 64
PATIENCE_SECONDS = 5.0
"""With so many seconds' worth of requests waiting, the server is given up as too slow for the rate."""
_ANSWER_SECONDS = 10.0
_KEPT_EVERY = 25
"""Of each so many answers one is kept for checking."""


@dataclass
class Record:
    """What came of the requests: instants at which they were due (`time.perf_counter`), and latencies, both in seconds.

    `errors` counts answers that were not 200 and requests without an answer, `resets` the connections that broke; `kept`
    are bodies of answers. `saturated`: the server could not keep up, and the run ended early.
    """

    due: array[float] = field(default_factory=lambda: array("d"))
    latencies: array[float] = field(default_factory=lambda: array("d"))
    errors: int = 0
    resets: int = 0
    kept: list[bytes] = field(default_factory=list)
    saturated: bool = False


class _Connection:
    """A keep-alive connection with at most one request under way, due at `due`."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=_ANSWER_SECONDS)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.due = 0.0
        self.complete = False
        self.body = b""
        self._parser = httptools.HttpResponseParser(self)

    def fileno(self) -> int:
        return self.socket.fileno()

    def send(self, request: bytes, due: float) -> None:
        self.due, self.complete, self.body = due, False, b""
        self.socket.sendall(request)

    def receive(self) -> bool:
        """Read what is there; whether the answer is complete. Raises OSError if the connection is over."""
        data = self.socket.recv(65536)
        if not data:
            raise ConnectionResetError("the server closed the connection")
        self._parser.feed_data(data)
        return self.complete

    @property
    def status(self) -> int:
        status: int = self._parser.get_status_code()
        return status

    @property
    def keep_alive(self) -> bool:
        return bool(self._parser.should_keep_alive())

    def on_body(self, chunk: bytes) -> None:
        self.body += chunk

    def on_message_complete(self) -> None:
        self.complete = True


class ConstantRate:
    """Sends `request` to `port` `rate` times in a second; gives up when `patience` seconds' worth of requests wait."""

    def __init__(self, port: int, request: bytes, rate: int, patience: float = PATIENCE_SECONDS) -> None:
        self._port, self._request, self._rate = port, request, rate
        self._most_waiting = patience * rate
        self._free = [_Connection(port) for _ in range(min(CONNECTIONS, rate))]
        self._busy: set[_Connection] = set()
        self._waiting: deque[float] = deque()
        self.record = Record()

    def run(self, ended: Callable[[], bool]) -> Record:
        """Send until `ended` says so, then wait for the answers that are missing. Raises OSError if nobody listens."""
        begin = time.perf_counter()
        sent = 0
        while not ended() and not self._out_of_patience():
            now = time.perf_counter()
            while (due := begin + sent / self._rate) <= now:
                self._waiting.append(due)
                sent += 1
            self._send()
            self._receive(max(due - time.perf_counter(), 0.0))
        limit = time.perf_counter() + _ANSWER_SECONDS
        while (self._busy or self._waiting) and time.perf_counter() < limit:
            self._send()
            self._receive(0.1)
        self.record.errors += len(self._busy) + len(self._waiting)
        for connection in (*self._busy, *self._free):
            connection.socket.close()
        return self.record

    @property
    def behind(self) -> bool:
        """Whether requests that are due wait for a free connection; may be asked on any thread."""
        return bool(self._waiting)

    def _out_of_patience(self) -> bool:
        self.record.saturated = len(self._waiting) > self._most_waiting
        return self.record.saturated

    def _send(self) -> None:
        while self._waiting and self._free:
            connection, due = self._free.pop(), self._waiting.popleft()
            try:
                connection.send(self._request, due)
            except OSError:
                self._broken(connection)
            else:
                self._busy.add(connection)

    def _receive(self, seconds: float) -> None:
        readable, _, _ = select.select(self._busy, [], [], seconds)
        now = time.perf_counter()
        for connection in readable:
            try:
                if not connection.receive():
                    continue
            except (OSError, httptools.HttpParserError):
                self._busy.discard(connection)
                self._broken(connection)
                continue
            self._busy.discard(connection)
            self._finished(connection, now)

    def _finished(self, connection: _Connection, now: float) -> None:
        record = self.record
        record.due.append(connection.due)
        record.latencies.append(now - connection.due)
        if connection.status != 200:
            record.errors += 1
        elif len(record.due) % _KEPT_EVERY == 0:
            record.kept.append(connection.body)
        if connection.keep_alive:
            self._free.append(connection)
        else:
            connection.socket.close()
            self._free.append(_Connection(self._port))

    def _broken(self, connection: _Connection) -> None:
        """A request that gets no answer."""
        self.record.errors += 1
        self.record.resets += 1
        connection.socket.close()
        self._free.append(_Connection(self._port))
