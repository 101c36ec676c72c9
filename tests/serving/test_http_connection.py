"""One HTTP connection: order, limits, and clients that are slow, rude, or in a hurry. Bytes in, bytes out, no sockets."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from luntra_serving.server.connection import PIPELINE, Connection
from luntra_serving.server.exchange import Answer, Exchange

if TYPE_CHECKING:
    from collections.abc import Iterator

GET = b"GET /v2/health/live HTTP/1.1\r\nHost: x\r\n\r\n"


class Transport:
    """Keeps what is written."""

    def __init__(self) -> None:
        self.written = b""
        self.closed = self.paused = False

    def write(self, data: bytes) -> None:
        assert not self.closed
        self.written += data

    def close(self) -> None:
        self.closed = True

    def pause_reading(self) -> None:
        self.paused = True

    def resume_reading(self) -> None:
        self.paused = False

    def get_extra_info(self, _name: str) -> None:
        return None


class Client:
    """A connection and both of its ends."""

    max_body = 100
    draining = False

    def __init__(self) -> None:
        self.arrived: list[Exchange] = []
        self.open: set[Connection] = set()
        self.transport = Transport()
        self.connection = Connection(self)
        transport: Any = self.transport
        self.connection.connection_made(transport)

    def handle(self, exchange: Exchange) -> None:
        self.arrived.append(exchange)

    def opened(self, connection: Connection) -> None:
        self.open.add(connection)

    def closed(self, connection: Connection) -> None:
        self.open.remove(connection)

    def send(self, *parts: bytes) -> None:
        for part in parts:
            self.connection.data_received(part)

    @property
    def statuses(self) -> list[int]:
        """Statuses of the answers so far."""
        return [int(part.split(b" ", 1)[0]) for part in self.transport.written.split(b"HTTP/1.1 ")[1:]]


def ok(text: str) -> Answer:
    return Answer(200, text.encode(), "text/plain")


@pytest.fixture
async def client() -> Client:
    return Client()


async def test_request_arrives_whole_however_it_is_cut(client: Client) -> None:
    message = b"POST /v2/models/m/infer?x=1 HTTP/1.1\r\nHost: h\r\nX-Two: 2\r\nContent-Length: 11\r\n\r\nhello world"
    for place in range(1, len(message)):
        client.send(message[:place], message[place:])
    client.send(*(bytes([byte]) for byte in message))
    assert len(client.arrived) == len(message)
    for exchange in client.arrived:
        assert (exchange.method, exchange.path, exchange.body) == ("POST", b"/v2/models/m/infer?x=1", b"hello world")
        assert exchange.header("x-two") == "2"


async def test_answers_leave_in_the_order_of_the_requests(client: Client) -> None:
    client.send(GET * 3)
    first, second, third = client.arrived
    third.answer(ok("third"))
    second.answer(ok("second"))
    assert client.transport.written == b""
    first.answer(ok("first"))
    assert [client.transport.written.index(text) for text in (b"first", b"second", b"third")] == sorted(
        client.transport.written.index(text) for text in (b"first", b"second", b"third")
    )


async def test_client_that_asks_without_reading_is_not_read_either(client: Client) -> None:
    client.send(GET * PIPELINE)
    assert client.transport.paused
    client.arrived[0].answer(ok("x"))
    assert not client.transport.paused


async def test_answer_is_given_once(client: Client) -> None:
    client.send(GET)
    client.arrived[0].answer(ok("x"))
    with pytest.raises(RuntimeError, match="answered once"):
        client.arrived[0].answer(ok("y"))


@pytest.mark.parametrize(
    ("message", "status", "words"),
    [
        (b"\x16\x03\x01\x02\x00\x01", 400, b"not HTTP/1.1"),
        (b"GET / HTTP/9.9\r\n\r\n", 400, b"not HTTP/1.1"),
        (b"POST / HTTP/1.1\r\nContent-Length: -1\r\n\r\n", 400, b"not HTTP/1.1"),
        (b"POST / HTTP/1.1\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n", 400, b"not HTTP/1.1"),
        (b"POST / HTTP/1.1\r\nContent-Length: 101\r\n\r\n", 413, b"larger than 100 bytes"),
        (
            b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n65\r\n" + b"x" * 101 + b"\r\n0\r\n\r\n",
            413,
            b"larger",
        ),
        (b"GET / HTTP/1.1\r\nX: " + b"x" * 70_000 + b"\r\n\r\n", 431, b"headers are larger"),
        (b"GET /" + b"x" * 70_000 + b" HTTP/1.1\r\n\r\n", 431, b"target and headers"),
        (b"GET / HTTP/1.1\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n", 400, b"no other protocol"),
    ],
)
async def test_what_is_refused_is_answered_once_and_ends_the_connection(
    client: Client, message: bytes, status: int, words: bytes
) -> None:
    client.send(message, GET, b"more")
    assert client.statuses == [status]
    assert words in client.transport.written
    assert b"connection: close" in client.transport.written
    assert not client.transport.closed, "the client could not read the answer"
    assert client.arrived == []


async def test_refused_request_waits_for_the_answers_before_it(client: Client) -> None:
    client.send(GET, b"garbage\r\n\r\n")
    assert client.statuses == []
    client.arrived[0].answer(ok("x"))
    assert client.statuses == [200, 400]


async def test_slow_request_is_refused(client: Client) -> None:
    client.send(GET[:10])
    assert client.connection.since is not None
    client.connection.too_slow()
    assert client.statuses == [408]
    assert client.connection.since is None


async def test_idle_connection_has_no_clock(client: Client) -> None:
    assert client.connection.idle
    client.send(GET)
    assert client.connection.since is None
    assert not client.connection.idle
    client.arrived[0].answer(ok("x"))
    assert client.connection.idle


async def test_client_that_waits_for_leave_to_send_its_body_gets_it(client: Client) -> None:
    client.send(b"POST / HTTP/1.1\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n")
    assert client.transport.written == b"HTTP/1.1 100 Continue\r\n\r\n"
    client.send(b"ab")
    assert client.arrived[0].body == b"ab"


async def test_answer_to_a_client_that_has_gone_is_dropped(client: Client) -> None:
    client.send(GET)
    client.connection.connection_lost(None)
    assert client.arrived[0].gone
    assert client.open == set()
    client.arrived[0].answer(ok("x"))
    assert client.transport.written == b""


@pytest.mark.parametrize("asked", [b"Connection: close\r\n", b""])
async def test_connection_ends_after_the_answer_if_either_side_wants_it(client: Client, asked: bytes) -> None:
    client.draining = not asked
    client.send(GET[:-2] + asked + b"\r\n")
    client.arrived[0].answer(ok("x"))
    assert b"connection: close" in client.transport.written
    assert client.transport.closed


def _messages() -> Iterator[bytes]:
    yield GET
    yield b"POST /a HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc"
    yield b"POST /a HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"


@settings(max_examples=300, deadline=None)
@given(
    st.lists(
        st.one_of(
            st.sampled_from(list(_messages())), st.binary(max_size=40), st.sampled_from([b"\r\n", b"GET ", b":"])
        ),
        max_size=8,
    ),
    st.integers(1, 30),
)
def test_any_bytes_in_any_pieces_never_raise_and_never_get_two_answers(parts: list[bytes], size: int) -> None:
    async def run() -> None:
        client = Client()
        stream = b"".join(parts)
        for start in range(0, len(stream), size):
            client.send(stream[start : start + size])
        for exchange in list(client.arrived):
            exchange.answer(ok("x"))
        assert len(client.statuses) <= len(client.arrived) + 1
        assert client.statuses.count(200) <= len(client.arrived)

    asyncio.run(run())
