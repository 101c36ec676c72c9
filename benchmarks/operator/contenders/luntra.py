"""This repository's operator: a process as in its container."""

from __future__ import annotations

import hashlib
import sys
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from luntra_operator.kube import kinds

if TYPE_CHECKING:
    from collections.abc import Mapping

    from benchmarks.operator.contenders.protocol import Wish
    from luntra_operator.kube.client import Kube

REPOSITORY = Path(__file__).parents[3]


class Luntra:
    """With `source`, the operator judges by a metric there; without one it is exactly what its image runs."""

    name = "luntra"

    def __init__(self, source: str, probe: str) -> None:
        """Metrics come from `source`, and the data plane is asked at `probe`."""
        self._source, self._probe = source, probe

    @property
    def title(self) -> str:
        """With its version."""
        return f"Luntra {version('luntra-operator')}"

    def crds(self) -> Path:
        """Generated from the types."""
        return REPOSITORY / "crds"

    def command(self, kubeconfig: Path, port: int, options: Mapping[str, str]) -> tuple[list[str], dict[str, str]]:
        """Option `interval`: judge by the metric every so many seconds."""
        environment = {
            "KUBECONFIG": str(kubeconfig),
            "LUNTRA_SERVING_IMAGE": "luntra/inference:bench",
            "LUNTRA_CHECK_IMAGE": "luntra/operator:bench",
            "LUNTRA_PORT": str(port),
            "PYTHONPATH": str(REPOSITORY),
        }
        if "interval" not in options:
            return [sys.executable, "-m", "luntra_operator.runtime.main"], environment
        metric = {"LUNTRA_BENCH_SOURCE": self._source, "LUNTRA_BENCH_INTERVAL": options["interval"]}
        return [sys.executable, "-m", "benchmarks.operator.inside.judging_operator"], environment | metric

    def judging(self, interval: int) -> dict[str, str]:
        """The source is an option of the process."""
        return {"interval": str(interval)}

    async def create(self, kube: Kube, namespace: str, name: str, wish: Wish) -> None:
        """A ModelDeployment whose steps are 20 and 60."""
        last = "1h" if wish.gated else wish.hold
        body = {
            "apiVersion": kinds.MODEL_DEPLOYMENT.api_version,
            "kind": kinds.MODEL_DEPLOYMENT.kind,
            "metadata": {"name": name, "namespace": namespace},
            "spec": {
                "model": _model(1),
                "serving": {"runtime": {"deadline": "500ms"}},
                "replicas": wish.replicas,
                "traffic": {
                    "gateway": {"parentRefs": [{"name": "gateway"}], "hostnames": [f"{name}.{namespace}.example"]},
                    "probe": {"url": self._probe},
                },
                "rollout": {"steps": [{"weight": 20, "hold": last}, {"weight": 60, "hold": wish.hold}], "soak": "1s"},
            },
        }
        await kube.create(kinds.MODEL_DEPLOYMENT, body)

    async def change(self, kube: Kube, namespace: str, name: str, version: int) -> None:
        """Another model."""
        await kube.merge(kinds.MODEL_DEPLOYMENT, namespace, name, {"spec": {"model": _model(version)}})

    def at_rest(self, status: Mapping[str, Any]) -> bool:
        """Promoted and the old version gone, or taken back."""
        return status.get("phase") in ("Stable", "RolledBack")

    def share(self, weights: Mapping[str, int], before: str) -> int:
        """Everybody's but the old one's."""
        return sum(weight for backend, weight in weights.items() if backend != before)

    def stable(self, weights: Mapping[str, int]) -> str:
        """The workload with all the traffic."""
        return max(weights, key=lambda backend: weights[backend])

    def candidate_pods(self, _name: str, weights: Mapping[str, int], before: str) -> str:
        """Pods are named after their workload."""
        return next(backend for backend in weights if backend != before) + "-"


def _model(number: int) -> dict[str, str]:
    digest = hashlib.sha256(str(number).encode()).hexdigest()
    return {"version": f"v{number}", "uri": f"https://models.example/v{number}", "digest": f"sha256:{digest}"}
