"""Prometheus metrics of the operator itself. What others know (queue, watches) is read from them when it is scraped."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

from luntra_operator.api.status import ModelDeploymentStatus
from luntra_operator.api.vocabulary import Phase
from luntra_operator.controller.queue import Key, WorkQueue
from luntra_operator.fleet.ledger import Ledger
from luntra_operator.kube.errors import KubeError, UnavailableError

from .life import SignsOfLife
from .standing import families
from .watches import Watches

_BUCKETS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)

Work = Callable[[Key], Awaitable[float | None]]


class Metrics:
    """The operator's metrics in a registry of their own."""

    def __init__(self) -> None:
        """Create the registry with all metrics at zero, and those of the process (memory, CPU, files)."""
        self.registry = registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        self._duration = Histogram(
            "luntra_reconcile_duration_seconds", "Time of one reconciliation.", buckets=_BUCKETS, registry=registry
        )
        self._results = Counter(
            "luntra_reconcile_total",
            "Reconciliations by result: ok, unavailable (no answer, or no right), refused, cancelled, error.",
            ["result"],
            registry=registry,
        )
        self._requests = Counter(
            "luntra_api_requests_total",
            "Requests to the API server but for watches, by HTTP status (none: no answer; conflict: somebody wrote first).",
            ["verb", "kind", "code"],
            registry=registry,
        )
        self._latency = Histogram(
            "luntra_api_request_duration_seconds",
            "Time of requests to the API server but for watches.",
            ["verb", "kind"],
            buckets=_BUCKETS,
            registry=registry,
        )
        self._writes = Counter("luntra_status_writes_total", "Status writes that succeeded.", registry=registry)
        self._rollouts = Counter(
            "luntra_rollouts_total",
            "Rollouts that ended: Promoted, RolledBack, Superseded.",
            ["outcome"],
            registry=registry,
        )
        self.leader = Gauge("luntra_leader", "1 while this process is the leader.", registry=registry)
        self._read: Collector | None = None

    def read(self, queue: WorkQueue, watches: Watches, life: SignsOfLife, ledger: Ledger | None = None) -> None:
        """Let these be read when the metrics are scraped, until `forget`; `ledger` has the accelerators if they are counted."""
        self._read = _Live(queue, watches, life, ledger)
        self.registry.register(self._read)

    def forget(self) -> None:
        """Read nothing any more."""
        if self._read is not None:
            self.registry.unregister(self._read)
            self._read = None

    def asked(self, verb: str, plural: str, code: str, seconds: float) -> None:
        """A request to the API server ended."""
        self._requests.labels(verb, plural, code).inc()
        self._latency.labels(verb, plural).observe(seconds)

    def written(self, before: ModelDeploymentStatus, after: ModelDeploymentStatus) -> None:
        """A status was written."""
        self._writes.inc()
        known = {entry.attempt for entry in before.history}
        for entry in after.history:
            if entry.attempt not in known:
                self._rollouts.labels(entry.outcome).inc()

    def measured(self, work: Work) -> Work:
        """`work` with its time and result counted."""

        async def run(key: Key) -> float | None:
            started = time.perf_counter()
            result = "error"
            try:
                again = await work(key)
                result = "ok"
            except UnavailableError:
                result = "unavailable"
                raise
            except KubeError:
                result = "refused"
                raise
            except asyncio.CancelledError:
                result = "cancelled"
                raise
            else:
                return again
            finally:
                self._results.labels(result).inc()
                self._duration.observe(time.perf_counter() - started)

        return run


class _Live(Collector):
    """Numbers that others keep."""

    def __init__(self, queue: WorkQueue, watches: Watches, life: SignsOfLife, ledger: Ledger | None) -> None:
        self._queue, self._watches, self._life, self._ledger = queue, watches, life, ledger

    def collect(self) -> Iterator[CounterMetricFamily | GaugeMetricFamily]:
        queue, running = self._queue, self._queue.running
        yield GaugeMetricFamily("luntra_queue_length", "Keys that wait for work, due or not.", len(queue))
        yield GaugeMetricFamily("luntra_queue_overdue_seconds", "Longest wait of a key that is due.", queue.overdue)
        yield GaugeMetricFamily("luntra_queue_failing", "Keys whose last work failed.", len(queue.failing))
        yield GaugeMetricFamily("luntra_workers_busy", "Keys that are worked on.", len(running))
        longest = max(running.values(), default=0.0)
        yield GaugeMetricFamily("luntra_work_longest_seconds", "Longest work that is under way.", longest)
        objects = GaugeMetricFamily("luntra_objects", "ModelDeployments by phase.", labels=["phase"])
        phases = self._watches.phases
        for phase in Phase:
            objects.add_metric([phase], phases[phase])
        yield objects
        yield from families(self._watches.standings)
        requests = CounterMetricFamily(
            "luntra_watch_requests", "Requests of the watches by outcome: ok, failed.", labels=["kind", "outcome"]
        )
        for (kind, outcome), count in self._life.requests.items():
            requests.add_metric([kind, outcome], count)
        yield requests
        seen = GaugeMetricFamily(
            "luntra_watch_last_success_timestamp_seconds", "When a request of a watch last succeeded.", labels=["kind"]
        )
        for kind, age in self._life.ages.items():
            seen.add_metric([kind], time.time() - age)
        yield seen
        if self._ledger is not None:
            yield _accelerators(self._ledger)


def _accelerators(ledger: Ledger) -> GaugeMetricFamily:
    units = GaugeMetricFamily(
        "luntra_accelerators",
        "Accelerators of the budget: total, held by workloads, and awaited by those to which none were granted yet.",
        labels=["what"],
    )
    for what, amount in (("total", ledger.budget.total), ("held", ledger.used), ("awaited", ledger.awaited)):
        units.add_metric([what], amount)
    return units
