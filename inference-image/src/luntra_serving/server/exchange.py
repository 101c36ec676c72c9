"""One HTTP exchange: a request that has arrived whole, and the one answer to it. Knows HTTP, nothing of models or sockets."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from luntra_serving.server.protocol.response import error_body

if TYPE_CHECKING:
    from luntra_serving.errors import RequestError

_PHRASES = {
    200: "OK", 400: "Bad Request", 403: "Forbidden", 404: "Not Found", 405: "Method Not Allowed",
    408: "Request Timeout", 413: "Content Too Large", 429: "Too Many Requests",
    431: "Request Header Fields Too Large", 500: "Internal Server Error", 503: "Service Unavailable",
    504: "Gateway Timeout",
}  # fmt: skip

_CLOSE = "connection: close\r\n"


@dataclass(slots=True)
class Answer:
    """What goes back: a status, a body, and headers beside the content type and length."""

    status: int
    content: bytes = b""
    content_type: str = "application/json"
    headers: dict[str, str] = field(default_factory=dict)

    def to_bytes(self, *, close: bool) -> bytes:
        """The answer as HTTP/1.1 has it (RFC 9112); `close` asks the client to use another connection from now on."""
        lines = "".join([f"{name}: {value}\r\n" for name, value in self.headers.items()])
        head = (
            f"HTTP/1.1 {self.status} {_PHRASES[self.status]}\r\ncontent-type: {self.content_type}\r\n"
            f"content-length: {len(self.content)}\r\n{lines}{_CLOSE if close else ''}\r\n"
        )
        return head.encode("latin-1") + self.content


class Place(Protocol):
    """Where an exchange's answer goes: the connection that it came from."""

    def flush(self) -> None:
        """Called when an exchange has its answer."""


class Exchange:
    """A request and, once it has one, its answer. Answers leave in the order in which the requests came."""

    __slots__ = ("_place", "body", "gone", "headers", "keep_alive", "method", "path", "response")

    def __init__(self, place: Place) -> None:
        self._place = place
        self.method = ""
        self.path = b""
        self.headers: dict[bytes, bytes] = {}
        self.body = b""
        self.keep_alive = True
        self.gone = False
        """The client has closed the connection: there is nobody to answer."""
        self.response: Answer | None = None

    def header(self, name: str) -> str | None:
        """The value of a header, named in lower case, or None."""
        value = self.headers.get(name.encode())
        return None if value is None else value.decode("latin-1")

    def answer(self, answer: Answer) -> None:
        """Send the answer, exactly once. Raises RuntimeError the second time: a defect of the caller."""
        if self.response is not None:
            raise RuntimeError("a request is answered once")
        self.response = answer
        self._place.flush()


def error_answer(error: RequestError) -> Answer:
    """Return the protocol's form of `error`; overload and not-ready say when to come back."""
    headers = {"retry-after": "1"} if error.status in {429, 503} else {}
    return Answer(error.status, error_body(error.message), headers=headers)
