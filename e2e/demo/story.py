"""What the demo applies: the ModelDeployment of the digits model, version by version."""

from typing import Any

from e2e.installation import PROBE_URL, Installation

from .models import Models

NAMESPACE = "luntra-demo"
NAME = "digits"
HOST = "digits.example.com"
VERSIONS = ("v1", "v2", "v3", "v4", "v5")
METRICS = [
    {"name": "errors", "errorRate": {}, "maxIncrease": 0.01},
    {"name": "latency", "latency": {"objective": "200ms"}, "maxIncrease": 0.1},
]


class Story:
    """The versions, published in the artifact store, and the objects that ask for them."""

    def __init__(self, installation: Installation, models: Models, certificates: str) -> None:
        """Publish bundles and evaluation set; `certificates` is the ConfigMap with the store's CA."""
        self._models, self._certificates = models, certificates
        store = installation.store
        self._uris = {version: store.put(models.bundle(version)[0], f"{NAME}/{version}") for version in VERSIONS}
        self._evaluation = store.put(models.evaluation, f"{NAME}/{models.evaluation.name}")

    def wants(self, version: str) -> dict[str, Any]:
        """The ModelDeployment for a version."""
        return {
            "apiVersion": "luntra.io/v1alpha1",
            "kind": "ModelDeployment",
            "metadata": {"name": NAME, "namespace": NAMESPACE},
            "spec": {
                "model": {
                    "version": version,
                    "uri": self._uris[version],
                    "digest": self._models.bundle(version)[1],
                    "caConfigMapRef": {"name": self._certificates},
                },
                "serving": {
                    "runtime": {"deadline": "2s", "terminationDelay": "5s"},
                    "resources": {"requests": {"cpu": "50m", "memory": "128Mi"}, "limits": {"memory": "512Mi"}},
                },
                "replicas": 2,
                "traffic": {
                    "gateway": {"parentRefs": [{"name": "luntra", "namespace": "luntra-gateway"}], "hostnames": [HOST]},
                    "probe": {"url": PROBE_URL},
                },
                "rollout": {
                    "steps": [
                        {"weight": 5, "hold": "10s"},
                        {"weight": 25, "hold": "8s"},
                        {"weight": 50, "hold": "8s"},
                    ],
                    "checks": self._checks(),
                    "analysis": {"interval": "1s", "metrics": METRICS},
                    "soak": "10s",
                    "deadlines": {"ready": "2m"},
                },
            },
        }

    def _checks(self) -> dict[str, Any]:
        dataset = {"uri": self._evaluation, "digest": self._models.manifest["evaluation"]["digest"]}
        return {
            "evaluation": {"dataset": dataset, "metric": "accuracy", "min": 0.9, "maxRegression": 0.01},
            # Relative to the stable version in the same run, so that a busy machine slows both alike.
            "benchmark": {"requests": 300, "rate": 50, "maxP50Ratio": 1.5},
        }
