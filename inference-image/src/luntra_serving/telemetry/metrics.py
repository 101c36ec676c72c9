"""The server's Prometheus metrics. The only importer of prometheus_client.

Labels are the model and the version that the document names, never what a client sent, so that nobody can grow them. Feedback's
are the revisions that its senders name: they have a token, and few are kept.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from math import inf
from typing import TYPE_CHECKING

import prometheus_client
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.registry import Collector

from luntra_serving.telemetry.stats import Stats

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from prometheus_client.metrics_core import Metric

    from luntra_serving.swap.budget import Size
    from luntra_serving.telemetry.feedback import Counts

_TICK = 0.1

# The library adds a `_created` series to each one, which Prometheus stores as a gauge that nobody asked for.
prometheus_client.disable_created_metrics()  # type: ignore[no-untyped-call]
CONTENT_TYPE = prometheus_client.CONTENT_TYPE_LATEST


class ServingMetrics:
    """Counters of one server process, in a registry of their own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.instance = secrets.token_hex(8)
        """What tells this process from one before it in the same container, whose counters were others."""
        self.started_at = time.time()
        self.stats = Stats()
        """What clients asked, written from the event loop alone."""
        self.shadow_stats = Stats()
        """What candidates made of copies, by the HTTP status that they would have had, written from the thread that runs them."""
        self.preview_stats = Stats()
        """What was asked by way of a preview: whoever judges a version by its traffic leaves that out."""
        self.registry.register(_Requests(self.stats, "luntra_inference", "Inference requests"))
        self.registry.register(_Requests(self.preview_stats, "luntra_preview", "Inference requests of a preview"))
        self.registry.register(_Requests(self.shadow_stats, "luntra_shadow", "Copies of requests for a candidate"))
        self._dropped = Counter(
            "luntra_shadow_dropped",
            "Copies of requests for a candidate that were dropped, because too many waited.",
            ["model", "version"],
            registry=self.registry,
        )
        self._connections = Gauge(
            "luntra_connections", "Connections that are open on the inference port.", registry=self.registry
        )
        self._waiting = Gauge(
            "luntra_inference_queue",
            "Requests that wait for company or a thread, or run on one.",
            registry=self.registry,
        )
        self._batches = Histogram(
            "luntra_inference_batch_size",
            "Requests that ran together.",
            buckets=(1, 2, 4, 8, 16, 32, 64, 128),
            registry=self.registry,
        )
        self._lag = Histogram(
            "luntra_event_loop_lag_seconds",
            "How much later than it should the event loop came to a timer, asked ten times a second.",
            buckets=(0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0),
            registry=self.registry,
        )
        self._transitions = Counter(
            "luntra_model_transitions",
            "Transitions of versions: Ready, Promoted, Retired, Reclaimed, Failed and the others of /v1/events.",
            ["model", "transition"],
            registry=self.registry,
        )
        self._load_durations = Gauge(
            "luntra_model_load_duration_seconds",
            "Seconds that the latest load took, by stage: fetch, load, warm-up, self-test.",
            ["model", "version", "stage"],
            registry=self.registry,
        )

    def forget(self, model: str) -> None:
        """Drop the requests of a model that is gone."""
        for stats in (self.stats, self.preview_stats, self.shadow_stats):
            stats.forget(model)

    def shadow_dropped(self, model: str, version: str) -> None:
        """Count a copy of a request that was dropped; on any thread."""
        self._dropped.labels(model, version).inc()

    def loaded(self, model: str, version: str, stage: str, seconds: float) -> None:
        """Record how long a stage of the load took."""
        self._load_durations.labels(model, version, stage).set(seconds)

    def watch(
        self,
        connections: Callable[[], int],
        waiting: Callable[[], int],
        resident: Callable[[], Mapping[tuple[str, str], Size]],
        feedback: Callable[[], Mapping[tuple[str, str], Counts]],
    ) -> None:
        """Report what these say when somebody asks.

        Connections that are open on the inference port, requests that wait or run on threads, the bytes of each
        (model, version) in memory, and the feedback on each (model, revision).
        """
        self._connections.set_function(connections)
        self._waiting.set_function(waiting)
        self.registry.register(_Resident(resident))
        self.registry.register(_Feedback(feedback))

    def ran_together(self, requests: int) -> None:
        """Count a batch, unless all of its requests were too late."""
        if requests:
            self._batches.observe(requests)

    async def watch_loop(self) -> None:
        """Measure the event loop's lag until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            due = loop.time() + _TICK
            await asyncio.sleep(_TICK)
            self._lag.observe(max(0.0, loop.time() - due))

    def transition(self, model: str, kind: str) -> None:
        """Count a transition of a version."""
        self._transitions.labels(model, kind).inc()

    def render(self) -> bytes:
        """Return all metrics in the Prometheus text format."""
        return prometheus_client.generate_latest(self.registry)


class _Requests(Collector):
    """The statistics of requests as Prometheus wants them, made when it asks: counting must not cost a request anything."""

    def __init__(self, stats: Stats, prefix: str, what: str) -> None:
        self._stats, self._prefix, self._what = stats, prefix, what

    def collect(self) -> Iterator[Metric]:
        """prometheus_client: all families, now."""
        names = ["model", "version", "revision"]
        requests = CounterMetricFamily(
            f"{self._prefix}_requests", f"{self._what} answered, by HTTP status code.", labels=[*names, "code"]
        )
        durations = HistogramMetricFamily(
            f"{self._prefix}_duration_seconds",
            f"{self._what}: time from having all of it to its answer being ready, by version.",
            labels=names,
        )
        in_flight = GaugeMetricFamily(f"{self._prefix}_in_flight", f"{self._what} waiting or running.", labels=names)
        for model, identity, stats in self._stats.items():
            labels = [model, identity.version, identity.tag]
            for code, count in list(stats.codes.items()):
                requests.add_metric([*labels, str(code)], count)
            buckets = [("+Inf" if bound == inf else repr(bound), count) for bound, count in stats.cumulative()]
            durations.add_metric(labels, buckets, stats.seconds)
            in_flight.add_metric(labels, stats.begun - stats.ended)
        yield from (requests, durations, in_flight)


class _Resident(Collector):
    """Bytes of the versions in memory."""

    def __init__(self, read: Callable[[], Mapping[tuple[str, str], Size]]) -> None:
        self._read = read

    def collect(self) -> Iterator[Metric]:
        """prometheus_client: the family, now."""
        family = GaugeMetricFamily(
            "luntra_model_resident_bytes", "Bytes of a version in memory.", labels=["model", "version", "memory"]
        )
        for labels, size in self._read().items():
            family.add_metric([*labels, "host"], size.host)
            family.add_metric([*labels, "device"], size.device)
        yield family


_SAID: tuple[tuple[str, str, Callable[[Counts], float]], ...] = (
    ("", "Answers of which it was said what became of them.", lambda counts: counts.count),
    ("_labelled", "Those that were said to be right or wrong.", lambda counts: counts.labelled),
    ("_correct", "Those that were said to be right.", lambda counts: counts.correct),
    ("_reward", "Sum of the rewards, each from 0 to 1; right is 1, wrong is 0.", lambda counts: counts.reward_sum),
    ("_reward_squares", "Sum of the rewards' squares.", lambda counts: counts.reward_squares),
)


class _Feedback(Collector):
    """What was said of the answers of each revision."""

    def __init__(self, read: Callable[[], Mapping[tuple[str, str], Counts]]) -> None:
        self._read = read

    def collect(self) -> Iterator[Metric]:
        """prometheus_client: all families, now."""
        said = self._read().items()
        for name, what, value in _SAID:
            family = CounterMetricFamily(f"luntra_feedback{name}", what, labels=["model", "revision"])
            for labels, counts in said:
                family.add_metric(labels, value(counts))
            yield family
