"""The server's Prometheus metrics. The only importer of prometheus_client.

Labels are the model and the version that the document names, never what a client sent, so that nobody can grow them.
"""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING

import prometheus_client
from prometheus_client import CollectorRegistry, Counter, Gauge
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.registry import Collector

from luntra_serving.telemetry.stats import Stats

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from prometheus_client.metrics_core import Metric

# The library adds a `_created` series to each one, which Prometheus stores as a gauge that nobody asked for.
prometheus_client.disable_created_metrics()  # type: ignore[no-untyped-call]
CONTENT_TYPE = prometheus_client.CONTENT_TYPE_LATEST


class ServingMetrics:
    """Counters of one server process, in a registry of their own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.stats = Stats()
        self.registry.register(_Requests(self.stats))
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
        self.stats.of(model, version).begin()

    def finished(self, model: str, version: str, code: int, seconds: float) -> None:
        """Count an in-flight request as answered with the HTTP status `code` after `seconds`."""
        self.stats.of(model, version).end(code, seconds)

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


class _Requests(Collector):
    """The statistics of requests as Prometheus wants them, made when it asks: counting must not cost a request anything."""

    def __init__(self, stats: Stats) -> None:
        self._stats = stats

    def collect(self) -> Iterator[Metric]:
        """prometheus_client: all families, now."""
        names = ["model", "version"]
        requests = CounterMetricFamily(
            "luntra_inference_requests", "Inference requests answered, by HTTP status code.", labels=[*names, "code"]
        )
        durations = HistogramMetricFamily(
            "luntra_inference_duration_seconds",
            "Time from the whole request being read to its answer being ready, by version.",
            labels=names,
        )
        in_flight = GaugeMetricFamily(
            "luntra_inference_in_flight", "Inference requests waiting or running.", labels=names
        )
        for labels, stats in self._stats.items():
            for code, count in stats.codes.items():
                requests.add_metric([*labels, str(code)], count)
            buckets = [("+Inf" if bound == inf else repr(bound), count) for bound, count in stats.cumulative()]
            durations.add_metric(labels, buckets, stats.seconds)
            in_flight.add_metric(labels, stats.begun - stats.ended)
        yield from (requests, durations, in_flight)
