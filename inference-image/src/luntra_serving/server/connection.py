"""One client's HTTP/1.1 connection: bytes in, exchanges out, answers back in order. Parsing is httptools' (llhttp's).

Guarantees: a request is handed on only when it has arrived whole; a body above the limit, headers without end, garbage and a
request that does not arrive in time are answered (413, 431, 400, 408) and end the connection; at most `PIPELINE` requests
of one connection are in work, and nothing more is read of it until one is answered.
"""

from __future__ import annotations

import asyncio
import socket
from collections import deque
from typing import TYPE_CHECKING, Protocol, cast

import httptools

from luntra_serving.errors import RequestError
from luntra_serving.server.exchange import Exchange, error_answer

if TYPE_CHECKING:
    from collections.abc import Callable

PIPELINE = 16
ARRIVAL_SECONDS = 30.0
"""A request has to arrive whole within this, from its first byte."""

_HEADER_BYTES = 64 << 10
_DISCARD_SECONDS = 1.0
"""For so long what a refused client still sends is taken: closed on unread data, it would not see the answer."""


class Host(Protocol):
    """What a connection is told by its listener."""

    max_body: int
    draining: bool

    @property
    def handle(self) -> Callable[[Exchange], None]:
        """Takes a request that has arrived."""

    def opened(self, connection: Connection) -> None:
        """A connection has begun."""

    def closed(self, connection: Connection) -> None:
        """A connection is over."""


class Connection(asyncio.Protocol):
    """Used from the event loop alone."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self._parser = httptools.HttpRequestParser(self)
        self._transport: asyncio.Transport | None = None
        self._waiting: deque[Exchange] = deque()
        self._arriving = Exchange(self)
        self._chunks: list[bytes] = []
        self._size = self._header_size = 0
        self._refused = False
        self.since: float | None = None
        """When the request that is arriving began to, in the loop's time."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """asyncio: the client is there."""
        self._transport = cast("asyncio.Transport", transport)  # uvloop's transports do not inherit from asyncio's
        client = transport.get_extra_info("socket")
        if client is not None:  # a peer that has vanished without a word is noticed
            client.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        self._host.opened(self)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        """asyncio: the client is gone; what is still in work has nobody to answer."""
        for exchange in self._waiting:
            exchange.gone = True
        self._transport = None
        self._host.closed(self)

    def data_received(self, data: bytes) -> None:
        """asyncio: some bytes."""
        if self._refused:
            return
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            return  # it is refused already
        except httptools.HttpParserError as error:
            if not self._refused:
                self._refuse(RequestError(400, f"this is not HTTP/1.1: {error}"))

    def on_message_begin(self) -> None:
        """httptools: the first byte of a request."""
        self._chunks, self._size, self._header_size = [], 0, 0
        self.since = asyncio.get_running_loop().time()

    def on_url(self, url: bytes) -> None:
        """httptools: a part of the request's target."""
        self._arriving.path += url
        self._count_header(len(url))

    def on_header(self, name: bytes, value: bytes) -> None:
        """httptools: a header."""
        self._arriving.headers[name.lower()] = value
        self._count_header(len(name) + len(value))

    def on_headers_complete(self) -> None:
        """httptools: the body is next."""
        headers = self._arriving.headers
        announced = headers.get(b"content-length", b"0")
        if self._parser.should_upgrade():
            self._refuse(RequestError(400, "this port changes to no other protocol; send no Upgrade header"))
        elif int(announced) > self._host.max_body:
            self._refuse(_too_large(self._host.max_body))
        elif headers.get(b"expect", b"").lower() == b"100-continue" and self._transport is not None:
            self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def on_body(self, chunk: bytes) -> None:
        """httptools: a part of the body."""
        self._size += len(chunk)
        if self._size > self._host.max_body:
            self._refuse(_too_large(self._host.max_body))
        else:
            self._chunks.append(chunk)

    def on_message_complete(self) -> None:
        """httptools: the request is whole."""
        exchange, self._arriving, self.since = self._arriving, Exchange(self), None
        if self._refused:
            return
        exchange.method = self._parser.get_method().decode("latin-1")
        exchange.keep_alive = self._parser.should_keep_alive()
        exchange.body = self._chunks[0] if len(self._chunks) == 1 else b"".join(self._chunks)
        self._chunks = []
        self._waiting.append(exchange)
        if len(self._waiting) >= PIPELINE and self._transport is not None:
            self._transport.pause_reading()
        self._host.handle(exchange)

    def flush(self) -> None:
        """Send what is answered, as far as it is that one's turn."""
        full = len(self._waiting) >= PIPELINE
        ready = []
        close = False
        while self._waiting and not close and (answer := self._waiting[0].response) is not None:
            close = self._host.draining or not self._waiting.popleft().keep_alive
            ready.append(answer.to_bytes(close=close))
        if self._transport is None or not ready:
            return
        self._transport.write(ready[0] if len(ready) == 1 else b"".join(ready))
        if close and self._refused:
            asyncio.get_running_loop().call_later(_DISCARD_SECONDS, self.close)
        elif close:
            self._transport.close()
        elif full and len(self._waiting) < PIPELINE:
            self._transport.resume_reading()

    @property
    def idle(self) -> bool:
        """Whether nothing is arriving and nothing in work."""
        return self.since is None and not self._waiting

    def too_slow(self) -> None:
        """Refuse the request that is arriving: its time is over."""
        self._refuse(RequestError(408, f"the request did not arrive within {ARRIVAL_SECONDS:g} seconds"))

    def close(self) -> None:
        """End the connection now."""
        if self._transport is not None:
            self._transport.close()

    def _count_header(self, size: int) -> None:
        self._header_size += size
        if self._header_size > _HEADER_BYTES:
            self._refuse(RequestError(431, f"the request's target and headers are larger than {_HEADER_BYTES} bytes"))

    def _refuse(self, error: RequestError) -> None:
        """Answer with an error after what is in work, and read nothing more."""
        if self._refused:
            return
        self._refused = True
        exchange, self._arriving = self._arriving, Exchange(self)
        exchange.keep_alive = False
        self.since, self._chunks = None, []
        self._waiting.append(exchange)
        exchange.answer(error_answer(error))


def _too_large(limit: int) -> RequestError:
    return RequestError(413, f"the body is larger than {limit} bytes, the limit (--max-body); send smaller batches")
