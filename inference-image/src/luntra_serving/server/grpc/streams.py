"""ModelStreamInfer: many inferences over one call, answered in the order in which they were asked.

Each request of a stream is an inference like any other: it gets its version when it is read, has a deadline of its own, and its
error is its answer, which does not end the stream. At most WINDOW of a stream are unanswered; no more is read until
one of them is. A client that cancels abandons all of them.

A stream may last longer than its server. When that leaves, its streams read nothing more, answer what they have read, and end
UNAVAILABLE: what the client has sent beyond, it has to send to another one.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, TypeAlias

import grpc
import grpc.aio

from luntra_serving.errors import RequestError
from luntra_serving.server.grpc import codec
from luntra_serving.server.grpc.inference import Inference

if TYPE_CHECKING:
    from collections.abc import Callable

WINDOW = 16
"""Requests of one stream that may be unanswered."""

Asked: TypeAlias = tuple[str, Inference | RequestError]
"""A request's id, and the inference that has begun or why none has."""


class Streams:
    """The streams of one server; used from the event loop alone.

    `begin` starts the inference that a message asks for; it gets the call's context, too.
    """

    def __init__(self, begin: Callable[[bytes, Any], Asked]) -> None:
        self._begin = begin
        self._open: set[_Stream] = set()
        self._leaving = False

    async def serve(self, _requests: Any, context: Any) -> None:
        """Answer one call, as grpc.aio has it."""
        stream = _Stream(self._begin, context)
        self._open.add(stream)
        if self._leaving:
            stream.leave()
        try:
            await stream.answer()
        finally:
            self._open.discard(stream)
            stream.abandon()

    def leave(self) -> None:
        """Have all streams end when they have answered what they have read."""
        self._leaving = True
        for stream in self._open:
            stream.leave()


class _Stream:
    """One call: a task reads, and whoever calls `answer` writes."""

    def __init__(self, begin: Callable[[bytes, Any], Asked], context: Any) -> None:
        self._begin, self._context = begin, context
        self._asked: asyncio.Queue[Asked | None] = asyncio.Queue()
        self._places = asyncio.Semaphore(WINDOW)
        self._reading = asyncio.create_task(self._read())
        self._reading.add_done_callback(lambda _task: self._asked.put_nowait(None))  # even if it was never let begin

    async def answer(self) -> None:
        """Answer until the client has asked all that it wanted, or the server leaves."""
        while (asked := await self._asked.get()) is not None:
            request, outcome = asked
            result = await outcome.result() if isinstance(outcome, Inference) else outcome
            if isinstance(result, RequestError):
                await self._context.write(codec.stream_error(request, result))
            else:
                await self._context.write(codec.streamed(result))
            self._places.release()
        if self._reading.cancelled():
            self._context.set_code(grpc.StatusCode.UNAVAILABLE)
            self._context.set_details("the server is leaving; what was sent and not answered goes to another one")
        else:
            self._reading.result()

    def leave(self) -> None:
        """Read nothing more."""
        self._reading.cancel()

    def abandon(self) -> None:
        """Nobody waits for an answer any more."""
        self._reading.cancel()
        while not self._asked.empty():
            asked = self._asked.get_nowait()
            if asked is not None and isinstance(asked[1], Inference):
                asked[1].abandon()

    async def _read(self) -> None:
        while True:
            await self._places.acquire()
            content = await self._context.read()
            if content is grpc.aio.EOF:
                return
            self._asked.put_nowait(self._begin(content, self._context))
