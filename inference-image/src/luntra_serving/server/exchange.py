"""One HTTP exchange over ASGI: read a bounded body, send one answer. Knows HTTP, nothing of models."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass, field
from typing import Any

from luntra_serving.errors import RequestError
from luntra_serving.server.protocol.response import error_body

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

_BODY_SECONDS = 30.0
_DISCARD_SECONDS = 1.0


class ClientGoneError(Exception):
    """The client closed the connection before its request was complete: there is nobody to answer."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What goes back: a status, a body, and headers beside the content type and length."""

    status: int
    content: bytes = b""
    content_type: str = "application/json"
    headers: dict[str, str] = field(default_factory=dict)


def error_answer(error: RequestError) -> Answer:
    """Return the protocol's form of `error`; overload and not-ready say when to come back."""
    headers = {"retry-after": "1"} if error.status in {429, 503} else {}
    if error.status in {408, 413}:
        headers["connection"] = "close"  # the rest of the body is still on its way
    return Answer(error.status, error_body(error.message), headers=headers)


def header(scope: Scope, name: bytes) -> str | None:
    """Return the value of the header `name`, given in lower case, or None."""
    for key, value in scope["headers"]:
        if key == name:
            text: str = value.decode("latin-1")
            return text
    return None


async def read_body(scope: Scope, receive: Receive, limit: int) -> bytes:
    """Return the whole body. Raises RequestError (413 above `limit` bytes, 408 if it stalls) and ClientGoneError."""
    declared = header(scope, b"content-length")
    if declared is not None and int(declared) > limit:
        await _discard(receive)
        raise _too_large(limit)
    chunks: list[bytes] = []
    size = 0
    try:
        async with asyncio.timeout(_BODY_SECONDS):
            async for chunk in _body(receive):
                size += len(chunk)
                if size > limit:
                    break
                chunks.append(chunk)
    except TimeoutError:
        raise RequestError(408, f"the body did not arrive within {_BODY_SECONDS:g} seconds") from None
    if size > limit:
        await _discard(receive)
        raise _too_large(limit)
    return chunks[0] if len(chunks) == 1 else b"".join(chunks)


async def _body(receive: Receive) -> Any:
    more = True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientGoneError
        yield message.get("body", b"")
        more = message.get("more_body", False)


async def _discard(receive: Receive) -> None:
    """Take what the client is still sending for a moment: closed on unread data, it would not see the answer."""
    try:
        async with asyncio.timeout(_DISCARD_SECONDS):
            async for _ in _body(receive):
                pass
    except (TimeoutError, ClientGoneError):
        return


async def send_answer(send: Send, answer: Answer, *, last: bool) -> None:
    """Send `answer`; `last` asks the client to use another connection from now on."""
    headers = {"content-type": answer.content_type, "content-length": str(len(answer.content)), **answer.headers}
    if last:
        headers["connection"] = "close"
    encoded = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": answer.status, "headers": encoded})
    await send({"type": "http.response.body", "body": answer.content})


def _too_large(limit: int) -> RequestError:
    return RequestError(413, f"the body is larger than {limit} bytes, the limit (--max-body); send smaller batches")
