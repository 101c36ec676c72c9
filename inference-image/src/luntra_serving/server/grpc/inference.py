"""One inference over gRPC, from the handle's acquisition to its release. Knows messages and admission, nothing of sockets."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

from luntra_serving.errors import RequestError
from luntra_serving.server.dataplane import PREVIEW
from luntra_serving.server.grpc import codec
from luntra_serving.server.jobs import Job
from luntra_serving.server.request_ids import new_id

if TYPE_CHECKING:
    from collections.abc import Callable

    from luntra_serving.server.dataplane import DataPlane
    from luntra_serving.server.model import ReadyModel
    from luntra_serving.server.models import Served
    from luntra_serving.swap.version import Handle
    from luntra_serving.telemetry.stats import Spent, VersionStats

_GONE = 499
"""nginx's number for a client that has gone: counted, never sent."""


class Inference:
    """Takes over a handle, which it releases when it is over, whatever happens to the one who waits for its `result`.

    `begin` is called once. A client that cancels ends the wait at once. The handle follows when the call is over: one that
    has not begun never starts, one that runs cannot be stopped.
    """

    __slots__ = (
        "_counted", "_ended", "_gone", "_handle", "_header", "_id", "_plane", "_served", "_started", "request_id",
    )  # fmt: skip

    _counted: VersionStats
    """Set by `begin`."""

    def __init__(
        self, plane: DataPlane, served: Served, handle: Handle[ReadyModel], header: Callable[[str], str | None]
    ) -> None:
        """`header` looks up metadata that came with the request."""
        self._plane, self._served, self._handle, self._header = plane, served, handle, header
        self.request_id = new_id(handle.version.identity)
        """The server's id of it; `_id` is the client's."""
        self._started = 0.0
        self._id: str | None = None
        self._gone = False
        self._ended: asyncio.Future[bytes | RequestError] = asyncio.get_running_loop().create_future()

    def begin(self, message: Any, *, small: bool, within: float) -> None:
        """Have a ModelInferRequest answered within so many seconds.

        `small`: the message may be answered on the event loop by a model that is quick.
        """
        plane, handle = self._plane, self._handle
        self._started = time.perf_counter()
        self._id = message.id or None
        stats = plane.metrics.stats if self._header(PREVIEW) is None else plane.metrics.preview_stats
        self._counted = stats.begin(self._served.name, handle.version.identity)
        try:
            plane.admission.submit(self._job(message), within=within, small=small)
        except RequestError as error:
            self._done(None, error)

    async def result(self) -> bytes | RequestError:
        """Return the response, or why there is none; who is cancelled while waiting has abandoned it."""
        try:
            return await self._ended
        except asyncio.CancelledError:
            self.abandon()
            raise

    def abandon(self) -> None:
        """Nobody waits for the result any more."""
        self._gone = True

    def _job(self, message: Any) -> Job:
        # The model is held by the job alone, and dropped with it; a coroutine would hold it longer.
        served, model, version, request_id = self._served, self._handle.model, self._handle.version, self.request_id
        return Job(
            model,
            decode=lambda: codec.decode(message, model.manifest.interface),
            encode=self._plane.shadow.beside(
                served.swapper,
                version,
                lambda request, outputs: codec.encode(
                    served.name, version.identity.version, request_id, request, outputs
                ),
            ),
            done=self._done,
            wanted=lambda: not self._gone,
        )

    def _done(self, content: bytes | None, error: Exception | None, spent: Spent | None = None) -> None:
        """On the event loop, exactly once."""
        plane, handle = self._plane, self._handle
        name, version = self._served.name, handle.version.identity.version
        outcome = content if error is None else plane.explained(name, version, error)
        status = outcome.status if isinstance(outcome, RequestError) else 200 if outcome is not None else _GONE
        seconds = time.perf_counter() - self._started
        plane.answered(
            self._served,
            handle,
            self._counted,
            status,
            seconds,
            request=self._id,
            header=self._header,
            spent=spent,
        )
        handle.release()
        if outcome is not None and not self._ended.done():
            self._ended.set_result(outcome)
