"""One OpenTelemetry span for each inference, sent to a collector. The only importer of opentelemetry, and imported on demand.

A span is made when its request has ended, with the times that the request had: nothing is kept on the way. It waits in a queue
of bounded length for a thread that sends; what the queue has no room for is dropped. So a collector that is slow or
gone costs spans, never requests.

Names: the requests' parents are those of W3C Trace Context (`traceparent`, `tracestate`). What the environment says (sampler,
queue, headers, certificates, resource) is OpenTelemetry's business: its variables are read by its own library.
"""

from __future__ import annotations

import logging
import threading
import time
from typing import TYPE_CHECKING

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import SpanKind, Status, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from luntra_serving import __version__
from luntra_serving.telemetry.logs import say_seldom

if TYPE_CHECKING:
    from collections.abc import Callable

_FLUSH_SECONDS = 2.0
_PATH = "/v1/traces"
"""Where OTLP over HTTP takes spans, below a collector's address."""

_log = logging.getLogger(__name__)


class Traces:
    """Sends spans to `collector`, an http(s) address such as http://collector:4318."""

    def __init__(self, collector: str) -> None:
        say_seldom("opentelemetry")  # it has a line for each span that finds the queue full
        # What a client writes into its headers is no news of ours.
        logging.getLogger("opentelemetry.trace").setLevel(logging.ERROR)
        ours = Resource.create({"service.name": "luntra-serve", "service.version": __version__})
        resource = ours.merge(OTELResourceDetector().detect())  # the environment has the last word
        self._provider = TracerProvider(resource=resource, shutdown_on_exit=False)
        exporter = OTLPSpanExporter(endpoint=collector.rstrip("/") + _PATH)
        self._provider.add_span_processor(BatchSpanProcessor(exporter))
        self._tracer = self._provider.get_tracer("luntra_serving", __version__)
        self._propagator = TraceContextTextMapPropagator()

    def note(
        self,
        attributes: dict[str, str],
        code: int,
        seconds: float,
        header: Callable[[str], str | None],
    ) -> None:
        """Take note of an inference that has just ended after so many seconds, with what HTTP calls the status `code`.

        `header` looks one up in the request, by its name in lower case.
        """
        end = time.time_ns()
        carrier = {name: value for name in self._propagator.fields if (value := header(name))}
        span = self._tracer.start_span(
            "inference",
            self._propagator.extract(carrier),
            SpanKind.SERVER,
            {**attributes, "status_code": code},
            start_time=end - int(seconds * 1e9),
        )
        if code >= 500:
            span.set_status(Status(StatusCode.ERROR))
        span.end(end)

    def close(self) -> None:
        """Send what waits, for at most two seconds; what is left then is lost, and the log says so."""
        # The library waits for as long as the collector takes.
        sending = threading.Thread(target=self._provider.shutdown, name="flush-spans", daemon=True)
        sending.start()
        sending.join(_FLUSH_SECONDS)
        if sending.is_alive():
            fix = "check that the collector of --otlp is there and quick"
            _log.warning("the last spans were not sent", extra={"waited_seconds": _FLUSH_SECONDS, "fix": fix})
