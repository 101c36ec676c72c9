"""The data plane in the cluster: Gateway API CRDs, Contour and Envoy, and one Gateway.

Reachable on 127.0.0.1 through a node port that kind maps. CRDs and Contour's role are read from the Go modules of the
pinned versions, the rest is `manifests/gateway.yaml`. Nothing here retries requests: a lost request stays visible.
"""

from __future__ import annotations

import http.client
import time
from pathlib import Path
from typing import TYPE_CHECKING

from e2e.kind import definitions, gobuild, versions
from e2e.kind.errors import HarnessError

if TYPE_CHECKING:
    from e2e.kind.cluster import Cluster
    from e2e.kind.progress import Progress

NAMESPACE = "luntra-gateway"
NAME = "luntra"
NODE_PORT = 30080
MANIFEST = Path(__file__).parent / "manifests" / "gateway.yaml"
ANSWERS_WITHIN = 60.0


def manifest(built: bool) -> str:
    """Return the manifest with the images of our own builds or the published ones."""
    contour, envoy = versions.PUBLISHED_CONTOUR, versions.PUBLISHED_ENVOY
    if built:
        contour, envoy = versions.BUILT_CONTOUR, versions.BUILT_ENVOY
    return MANIFEST.read_text().replace("@CONTOUR@", contour).replace("@ENVOY@", envoy)


def install(cluster: Cluster, built: bool, progress: Progress) -> None:
    """Apply everything; does not wait (`wait` does)."""
    api = gobuild.module_folder("sigs.k8s.io/gateway-api", versions.GATEWAY_API, progress)
    contour = gobuild.module_folder("github.com/projectcontour/contour", versions.CONTOUR, progress)
    cluster.apply(api / "config/crd/standard", contour / "examples/contour/01-crds.yaml")
    definitions.until_served(cluster.command())
    role = (contour / "examples/contour/02-role-contour.yaml").read_text()
    text = manifest(built) + "\n---\n" + role.replace("namespace: projectcontour", f"namespace: {NAMESPACE}")
    cluster.apply(text=text)


def wait(cluster: Cluster) -> None:
    """Wait until the Gateway is programmed, its pods are available and 127.0.0.1 answers.

    Raises:
        HarnessError: that did not come about within a minute or two; the message has what kubectl says.
    """
    for name in ("contour", "envoy"):
        cluster.kubectl("rollout", "status", f"deployment/{name}", f"--namespace={NAMESPACE}", "--timeout=120s")
    cluster.kubectl(
        "wait", "--for=condition=Programmed", f"gateway/{NAME}", f"--namespace={NAMESPACE}", "--timeout=60s"
    )
    deadline = time.monotonic() + ANSWERS_WITHIN
    while not answers(cluster.gateway_port):
        if time.monotonic() > deadline:
            raise HarnessError(
                f"the Gateway is programmed, but http://127.0.0.1:{cluster.gateway_port} does not answer"
            )
        time.sleep(0.2)


def answers(port: int, path: str = "/") -> bool:
    """Tell whether something speaks HTTP on a local port; which status it answers does not matter."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=3)
    try:
        connection.request("GET", path)
        connection.getresponse().read()
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
    return True
