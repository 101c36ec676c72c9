"""A collector of OpenTelemetry spans that is there for one test: OTLP over HTTP, protobuf."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

if TYPE_CHECKING:
    from opentelemetry.proto.trace.v1.trace_pb2 import Span


@dataclass(frozen=True)
class Received:
    """One span, and what came with it."""

    span: Span
    resource: dict[str, Any]
    headers: dict[str, str]

    @property
    def attributes(self) -> dict[str, Any]:
        """The span's attributes as plain values."""
        return _values(self.span.attributes)


class Collector:
    """Takes spans at `address`; use as a context manager. One that hangs takes them and never says so."""

    def __init__(self, *, hangs: bool = False) -> None:
        self.received: list[Received] = []
        self.asked = 0
        """Requests so far."""
        self._going = threading.Event()
        self._hangs = hangs
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self.address = f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> Collector:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._going.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        collector = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                content = self.rfile.read(int(self.headers["content-length"]))
                collector.asked += 1
                if collector._hangs:
                    collector._going.wait()
                    return
                right = (self.path, self.headers["content-type"]) == ("/v1/traces", "application/x-protobuf")
                if right:
                    collector._take(content, {name.lower(): value for name, value in self.headers.items()})
                self.send_response(200 if right else 404)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        return Handler

    def _take(self, content: bytes, headers: dict[str, str]) -> None:
        for group in ExportTraceServiceRequest.FromString(content).resource_spans:
            resource = _values(group.resource.attributes)
            self.received += [Received(span, resource, headers) for scope in group.scope_spans for span in scope.spans]


def _values(attributes: Any) -> dict[str, Any]:
    return {one.key: getattr(one.value, one.value.WhichOneof("value")) for one in attributes}
