"""The gRPC port: listen, serve, leave without dropping a request.

A gRPC client keeps one connection for as long as it is let, and cannot be asked to leave it while the server still answers:
the library says GOAWAY only when it also cancels what arrives from then on. So every connection is renewed before it is as old
as the termination delay. The library does that without losing a request, and whoever sends to a server that is leaving has
gone elsewhere by the end of the delay, if there is another one. It also spreads clients over new pods.
"""

from __future__ import annotations

import errno
import logging
from typing import TYPE_CHECKING

import grpc.aio

from luntra_serving.server.grpc.service import Service

if TYPE_CHECKING:
    from luntra_serving.server.dataplane import DataPlane
    from luntra_serving.server.grpc.streams import Streams

_RENEWAL = 0.8
"""Age of a connection at its end, as a share of the termination delay; the library adds or takes up to a tenth of it."""


class GrpcListener:
    """Listens from the moment it is made, which is on a running event loop; what connects before `start` waits.

    `max_body` is the largest message in bytes; a connection is renewed within `termination_delay` seconds, unless that is 0.
    Raises OSError with the address in its message.
    """

    def __init__(self, host: str, port: int, *, max_body: int, termination_delay: float) -> None:
        options = [
            ("grpc.max_receive_message_length", max_body),
            ("grpc.max_send_message_length", -1),
            # Otherwise two servers could take the same port and share its connections.
            ("grpc.so_reuseport", 0),
        ]
        if termination_delay:
            options.append(("grpc.max_connection_age_ms", max(1, int(_RENEWAL * termination_delay * 1000))))
        logging.getLogger("grpc._cython.cygrpc").addFilter(_is_news)
        self._server = grpc.aio.server(options=options)
        self._streams: Streams | None = None
        shown = f"[{host}]" if ":" in host else host
        try:
            self.address = f"{shown}:{self._server.add_insecure_port(f'{shown}:{port}')}"
        except RuntimeError as error:
            message = f"cannot listen on {shown}:{port} for gRPC: {error}; choose another port"
            raise OSError(errno.EADDRINUSE, message) from error

    async def start(self, plane: DataPlane) -> None:
        """Answer requests from now on."""
        service = Service(plane)
        self._streams = service.streams
        self._server.add_generic_rpc_handlers((service.handler(),))
        await self._server.start()

    async def leave(self, limit: float) -> None:
        """Refuse new connections and requests, end streams, and wait at most `limit` seconds for what is in flight."""
        if self._streams is not None:
            self._streams.leave()
        await self._server.stop(limit)


def _is_news(record: logging.LogRecord) -> bool:
    """Drop what the library calls an error, with a traceback: that a client left just when its answer was sent."""
    return not str(record.msg).startswith("ExecuteBatchError")
