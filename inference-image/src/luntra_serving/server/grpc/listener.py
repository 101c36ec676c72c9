"""The gRPC port: listen, serve, leave without dropping a request."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

import grpc.aio

from luntra_serving.server.grpc.service import Service

if TYPE_CHECKING:
    from luntra_serving.server.dataplane import DataPlane


class GrpcListener:
    """Listens from the moment it is made, which is on a running event loop; what connects before `start` waits.

    `max_body` is the largest message in bytes. Raises OSError with the address in its message.
    """

    def __init__(self, host: str, port: int, max_body: int) -> None:
        # Without the second option two servers could take the same port and share its connections.
        self._server = grpc.aio.server(
            options=[
                ("grpc.max_receive_message_length", max_body),
                ("grpc.so_reuseport", 0),
                ("grpc.max_send_message_length", -1),
            ]
        )
        shown = f"[{host}]" if ":" in host else host
        try:
            self.address = f"{shown}:{self._server.add_insecure_port(f'{shown}:{port}')}"
        except RuntimeError as error:
            message = f"cannot listen on {shown}:{port} for gRPC: {error}; choose another port"
            raise OSError(errno.EADDRINUSE, message) from error

    async def start(self, plane: DataPlane) -> None:
        """Answer requests from now on."""
        self._server.add_generic_rpc_handlers((Service(plane).handler(),))
        await self._server.start()

    async def leave(self, limit: float) -> None:
        """Tell clients to go elsewhere (GOAWAY), refuse new requests, and wait at most `limit` seconds for the others."""
        await self._server.stop(limit)
