"""Luntra in the test cluster, as a user installs it: images loaded, chart installed by Helm, artifact store beside it."""

import subprocess
from dataclasses import dataclass

from e2e.artifacts import store
from e2e.artifacts.store import Store
from e2e.kind import cluster as kind
from e2e.kind import prometheus
from e2e.kind.binaries import binary
from e2e.kind.cluster import Cluster
from e2e.kind.errors import HarnessError
from e2e.kind.images import build_inference, build_operator
from e2e.kind.progress import Progress

NAMESPACE = "luntra-system"
RELEASE = "luntra"
PROBE_URL = "http://envoy.luntra-gateway.svc"


@dataclass(frozen=True)
class Installation:
    """A cluster with Luntra in it; the tags are those of the images that were loaded."""

    cluster: Cluster
    store: Store
    operator_image: str
    inference_image: str


def install(name: str = "luntra", progress: Progress | None = None) -> Installation:
    """Make the cluster, build and load the images, install the chart and the store; what exists is reused.

    Raises:
        HarnessError: something could not be had; the message says what and where to look.
    """
    progress = progress or Progress()
    cluster = kind.up(name, progress)
    operator, inference = build_operator(progress), build_inference("onnx", progress)
    for tag in (operator, inference):
        with progress.step(f"load {tag}"):
            cluster.load(tag)
    binary("helm", progress)  # a step of its own where it must be compiled
    with progress.step("install the artifact store and the chart"):
        artifacts = store.install(cluster, inference)
        helm(cluster, operator, inference)
    return Installation(cluster, artifacts, operator, inference)


def helm(cluster: Cluster, operator_image: str, inference_image: str) -> None:
    """Install or upgrade the chart and wait until the operator is ready.

    Raises:
        HarnessError: Helm said no; the message is Helm's.
    """
    repository, tag = operator_image.rsplit(":", 1)
    values = {"image.repository": repository, "image.tag": tag, "servingImage": inference_image}
    values["sources.prometheus"] = prometheus.URL
    command = [str(binary("helm")), "upgrade", "--install", RELEASE, "charts/luntra", f"--namespace={NAMESPACE}"]
    command += ["--create-namespace", "--wait", "--timeout=120s", f"--kubeconfig={cluster.kubeconfig}"]
    command += [f"--set-string={key}={value}" for key, value in values.items()]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise HarnessError(f"helm: {done.stderr.strip()}")
