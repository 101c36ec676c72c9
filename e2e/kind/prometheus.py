"""Prometheus in the cluster, reachable on 127.0.0.1 through a node port; what it scrapes is in its manifest."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

from e2e.kind import gateway, versions
from e2e.kind.errors import HarnessError

if TYPE_CHECKING:
    from e2e.kind.cluster import Cluster

NAMESPACE = "luntra-monitoring"
NODE_PORT = 30090
URL = f"http://prometheus.{NAMESPACE}.svc:9090"
"""Where it is for what runs in the cluster."""
MANIFEST = Path(__file__).parent / "manifests" / "prometheus.yaml"
ANSWERS_WITHIN = 30.0


def manifest(built: bool) -> str:
    """Return the manifest with the image of our own build or the published one."""
    return MANIFEST.read_text().replace(
        "@PROMETHEUS@", versions.BUILT_PROMETHEUS if built else versions.PUBLISHED_PROMETHEUS
    )


def install(cluster: Cluster, built: bool) -> None:
    """Apply everything; does not wait (`wait` does)."""
    cluster.apply(text=manifest(built))


def wait(cluster: Cluster) -> None:
    """Wait until Prometheus is ready and 127.0.0.1 answers.

    Raises:
        HarnessError: that did not come about in time.
    """
    cluster.kubectl("rollout", "status", "deployment/prometheus", f"--namespace={NAMESPACE}", "--timeout=120s")
    deadline = time.monotonic() + ANSWERS_WITHIN
    while not gateway.answers(cluster.prometheus_port, "/-/ready"):
        if time.monotonic() > deadline:
            raise HarnessError(f"Prometheus is ready, but http://127.0.0.1:{cluster.prometheus_port} does not answer")
        time.sleep(0.2)
