"""Flagger, with the Gateway API as its provider and the settings of its chart."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from benchmarks.operator.source import query
from e2e.kind import gobuild, versions
from e2e.kind.binaries import binary
from e2e.kind.progress import Progress
from luntra_operator.kube import kinds

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from benchmarks.operator.contenders.protocol import Wish
    from luntra_operator.kube.client import Kube

CANARY = kinds.Kind("flagger.app", "v1beta1", "canaries", "Canary")


class Flagger:
    """A Deployment and a Canary for each object."""

    name = "flagger"

    def __init__(self, source: str) -> None:
        """Metrics and the gate are at `source`."""
        self._source = source

    @property
    def title(self) -> str:
        """With its version."""
        return f"Flagger {versions.FLAGGER.removeprefix('v')}"

    def crds(self) -> Path:
        """From its module."""
        module = gobuild.module_folder("github.com/fluxcd/flagger", versions.FLAGGER, Progress())
        return module / "artifacts/flagger/crd.yaml"

    def command(self, kubeconfig: Path, port: int, options: Mapping[str, str]) -> tuple[list[str], dict[str, str]]:
        """What its chart says, but for `options`: flags without their dash."""
        flags = {
            "kubeconfig": str(kubeconfig),
            "port": str(port),
            "log-level": "info",
            "mesh-provider": "gatewayapi:v1",
            "metrics-server": self._source,
            **options,
        }
        return [str(binary("flagger")), *(f"-{name}={value}" for name, value in flags.items())], {}

    def judging(self, _interval: int) -> dict[str, str]:
        """Each object says it for itself."""
        return {}

    async def create(self, kube: Kube, namespace: str, name: str, wish: Wish) -> None:
        """Steps 20 and 60; an interval of 10 s is the shortest that it keeps, one failed check the fewest."""
        await kube.create(kinds.DEPLOYMENT, _deployment(namespace, name, wish.replicas))
        analysis: dict[str, Any] = {"interval": f"{wish.interval or 10}s", "threshold": 1, "stepWeights": [20, 60]}
        if wish.gated:
            metric = {"name": "bad", "interval": "1m", "thresholdRange": {"max": 0.5}, "query": query(namespace, name)}
            gate = {
                "name": "gate",
                "type": "confirm-traffic-increase",
                "url": f"{self._source}/gate/{namespace}/{name}",
            }
            analysis |= {"metrics": [metric], "webhooks": [gate]}
        body = {
            "apiVersion": CANARY.api_version,
            "kind": CANARY.kind,
            "metadata": {"name": name, "namespace": namespace},
            "spec": {
                "targetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": name},
                "service": {
                    "port": 8080,
                    "hosts": [f"{name}.{namespace}.example"],
                    "gatewayRefs": [{"name": "gateway", "namespace": namespace}],
                },
                "analysis": analysis,
            },
        }
        await kube.create(CANARY, body)

    async def change(self, kube: Kube, namespace: str, name: str, version: int) -> None:
        """Another pod template."""
        template = {"metadata": {"annotations": {"version": f"v{version}"}}}
        await kube.merge(kinds.DEPLOYMENT, namespace, name, {"spec": {"template": template}})

    def at_rest(self, status: Mapping[str, Any]) -> bool:
        """Promoted, taken back, or just made."""
        return status.get("phase") in ("Initialized", "Succeeded", "Failed")

    def share(self, weights: Mapping[str, int], before: str) -> int:
        """Everybody's but the primary's."""
        return sum(weight for backend, weight in weights.items() if backend != before)

    def stable(self, weights: Mapping[str, int]) -> str:
        """Always the primary."""
        return next(backend for backend in weights if backend.endswith("-primary"))

    def candidate_pods(self, name: str, _weights: Mapping[str, int], _before: str) -> str:
        """Pods of the user's own Deployment; a hash follows, which for the primary is a word."""
        return f"{name}-"


def _deployment(namespace: str, name: str, replicas: int) -> dict[str, Any]:
    port = {"containerPort": 8080, "name": "http"}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "namespace": namespace, "labels": {"app": name}},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": {"app": name}},
            "template": {
                "metadata": {"labels": {"app": name}, "annotations": {"version": "v1"}},
                "spec": {"containers": [{"name": "server", "image": "example/server:1", "ports": [port]}]},
            },
        },
    }
