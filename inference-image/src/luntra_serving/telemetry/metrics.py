"""The server's Prometheus metrics. The only importer of prometheus_client.

Labels are the model and the version that the document names, never what a client sent, so that nobody can grow them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import prometheus_client
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

if TYPE_CHECKING:
    from collections.abc import Callable

_LATENCY_BUCKETS = (
    0.0005, 0.001, 0.002, 0.003, 0.005, 0.0075, 0.01, 0.015, 0.02, 0.03, 0.05, 0.075, 0.1, 0.2, 0.5, 1.0, 2.5, 5.0, 10.0,
)  # fmt: skip
# The library adds a `_created` series to each one, which Prometheus stores as a gauge that nobody asked for.
prometheus_client.disable_created_metrics()  # type: ignore[no-untyped-call]
CONTENT_TYPE = prometheus_client.CONTENT_TYPE_LATEST


class ServingMetrics:
    """Counters of one server process, in a registry of their own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._requests = Counter(
            "luntra_inference_requests",
            "Inference requests answered, by HTTP status code.",
            ["model", "version", "code"],
            registry=self.registry,
        )
        self._durations = Histogram(
            "luntra_inference_duration_seconds",
            "Time from the whole request being read to its answer being ready, by version.",
            ["model", "version"],
            buckets=_LATENCY_BUCKETS,
            registry=self.registry,
        )
        self._in_flight = Gauge(
            "luntra_inference_in_flight",
            "Inference requests waiting or running.",
            ["model", "version"],
            registry=self.registry,
        )
        self._connections = Gauge(
            "luntra_connections", "Connections that are open on the inference port.", registry=self.registry
        )
        self._transitions = Counter(
            "luntra_model_transitions",
            "Transitions of versions: Ready, Promoted, Retired, Reclaimed, Failed and the others of /v1/events.",
            ["model", "transition"],
            registry=self.registry,
        )
        self._load_durations = Gauge(
            "luntra_model_load_duration_seconds",
            "Seconds that the latest load took, by stage: fetch, load, self-test.",
            ["model", "version", "stage"],
            registry=self.registry,
        )

    def started(self, model: str, version: str) -> None:
        """Count a request as in flight."""
        self._in_flight.labels(model, version).inc()

    def finished(self, model: str, version: str, code: int, seconds: float) -> None:
        """Count an in-flight request as answered with the HTTP status `code` after `seconds`."""
        self._in_flight.labels(model, version).dec()
        self._requests.labels(model, version, str(code)).inc()
        self._durations.labels(model, version).observe(seconds)

    def loaded(self, model: str, version: str, stage: str, seconds: float) -> None:
        """Record how long a stage of the load took."""
        self._load_durations.labels(model, version, stage).set(seconds)

    def count_connections(self, count: Callable[[], int]) -> None:
        """Report what `count` says as the connections that are open on the inference port."""
        self._connections.set_function(count)

    def transition(self, model: str, kind: str) -> None:
        """Count a transition of a version."""
        self._transitions.labels(model, kind).inc()

    def render(self) -> bytes:
        """Return all metrics in the Prometheus text format."""
        return prometheus_client.generate_latest(self.registry)
