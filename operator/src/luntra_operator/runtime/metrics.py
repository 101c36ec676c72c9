"""Prometheus metrics of the operator itself."""

import time
from collections.abc import Awaitable, Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from luntra_operator.controller.queue import Key

_BUCKETS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)


class Metrics:
    """The operator's metrics in a registry of their own."""

    def __init__(self) -> None:
        """Create the registry with all metrics at zero."""
        self.registry = CollectorRegistry()
        self._duration = Histogram(
            "luntra_reconcile_duration_seconds", "Time of one reconciliation.", buckets=_BUCKETS, registry=self.registry
        )
        self._results = Counter(
            "luntra_reconcile_total", "Reconciliations by result.", ["result"], registry=self.registry
        )
        self._queue = Gauge("luntra_queue_length", "Keys that wait for work, due or not.", registry=self.registry)
        self.leader = Gauge("luntra_leader", "1 while this process is the leader.", registry=self.registry)

    def watch_queue(self, length: Callable[[], float]) -> None:
        """Let the queue gauge read `length` when it is scraped."""
        self._queue.set_function(length)

    def measured(self, work: Callable[[Key], Awaitable[float | None]]) -> Callable[[Key], Awaitable[float | None]]:
        """`work` with its time and result counted."""

        async def run(key: Key) -> float | None:
            started = time.perf_counter()
            result = "error"
            try:
                again = await work(key)
                result = "ok"
                return again
            finally:
                self._results.labels(result).inc()
                self._duration.observe(time.perf_counter() - started)

        return run
