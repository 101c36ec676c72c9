"""What the operator and a model server really tell Prometheus, in the middle of everything that can happen to them."""

import asyncio
from collections.abc import Iterator
from typing import Any

from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from luntra_operator.api.status import HistoryEntry, ModelDeploymentStatus
from luntra_operator.controller.queue import Key, WorkQueue
from luntra_operator.fleet.budget import Budget
from luntra_operator.fleet.ledger import Ledger
from luntra_operator.kube import kinds
from luntra_operator.runtime.life import SignsOfLife
from luntra_operator.runtime.metrics import Metrics
from luntra_operator.runtime.watches import WATCHED, Watches
from luntra_serving.swap.budget import Size
from luntra_serving.swap.version import Identity
from luntra_serving.telemetry.feedback import Counts
from luntra_serving.telemetry.metrics import ServingMetrics
from tests.gitops.recording import stored

NAMESPACE, NAME, MODEL = "team-a", "digits", "digits"
"""The object of the dashboard for one model: it is paused in mid-rollout, and one of its metrics is silent."""


async def _operator() -> bytes:
    async def work(key: Key) -> None:
        """Work that is done at once."""

    metrics, queue, life = Metrics(), WorkQueue(work), SignsOfLife(WATCHED)
    watches = Watches(queue, (), life)
    metrics.read(queue, watches, life, Ledger(Budget("nvidia.com/gpu", 4)))
    metrics.leader.set(1)
    await metrics.measured(work)((NAMESPACE, NAME))
    metrics.asked("get", "modeldeployments", "200", 0.02)
    life.heard(kinds.POD.path(None), 200)
    for situation, body in _objects().items():
        await watches._object_event({"type": "ADDED", "object": body})
        if situation == "rolled-back":
            entries = [HistoryEntry.model_validate(entry) for entry in body["status"]["history"]]
            metrics.written(ModelDeploymentStatus(), ModelDeploymentStatus(history=entries))
    return generate_latest(metrics.registry)


def _objects() -> dict[str, Any]:
    found = stored()
    for situation, body in found.items():
        body["metadata"] |= {"name": NAME if situation == "paused" else situation, "uid": situation}
    found["paused"]["status"]["metrics"] = found["silent"]["status"]["metrics"]
    return found


def operator() -> bytes:
    """The operator's, with one object of each situation."""
    return asyncio.run(_operator())


def server() -> bytes:
    """A model server's, with two versions in memory."""
    metrics = ServingMetrics()
    said = Counts()
    said.add(1.0, label=True)
    metrics.watch(lambda: 1, lambda: 0, lambda: {(MODEL, "v1"): Size(host=1, device=1)}, lambda: {(MODEL, "r2"): said})
    for version in ("v1", "v2"):
        identity = Identity(version, "sha256:" + "a" * 64, f"r-{version}")
        metrics.stats.begin(MODEL, identity).end(200, 0.01)
        metrics.shadow_stats.begin(MODEL, identity).end(200, 0.01)
        metrics.loaded(MODEL, version, "load", 1.5)
    metrics.shadow_dropped(MODEL, "v2")
    metrics.ran_together(2)
    metrics.transition(MODEL, "Failed")
    return metrics.render()


def labels(text: bytes) -> Iterator[tuple[str, frozenset[str]]]:
    """The name of every series and its labels' names."""
    for family in text_string_to_metric_families(text.decode()):
        for sample in family.samples:
            yield sample.name, frozenset(sample.labels)
