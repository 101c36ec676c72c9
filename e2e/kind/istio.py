"""Istio on demand, beside Contour: its control plane (pilot) and a gateway of its own, which is the cluster's stock Envoy.

Installed for as long as `running` lasts and removed without a trace, so that a cluster without it stays what it was. The
CRDs are read from the Go module that pilot is compiled from, the rest is `manifests/istio.yaml`. Contour hands every host
below istio.example.com on to that gateway, so the cluster needs no port of its own for it.
"""

from __future__ import annotations

import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from e2e.kind import cache, definitions, diagnosis, engine, gobuild, preflight, versions
from e2e.kind.component_images import ComponentImage, write_archive
from e2e.kind.errors import HarnessError
from e2e.kind.gobuild import GoProgram

if TYPE_CHECKING:
    from collections.abc import Iterator

    from e2e.kind.cluster import Cluster
    from e2e.kind.engine import Engine
    from e2e.kind.progress import Progress

MODULE = "istio.io/istio"
# Not in `versions`: the node image, which carries nothing of Istio, is made anew whenever that file changes.
VERSION = "v0.0.0-20260827124520-eed52ebb66ad"
"""A commit of the 1.31 line: Istio's releases are not published as Go modules."""
REQUIRES = (
    ("github.com/envoyproxy/go-control-plane/contrib", "v1.36.1-0.20260729145720-a2d8c7492908"),
    ("github.com/envoyproxy/go-control-plane/envoy", "v1.37.1-0.20260729145720-a2d8c7492908"),
    ("istio.io/api", "v1.31.1"),
    ("istio.io/client-go", "v1.31.1"),
)
"""What that commit asks for is at commits that cannot be had; these are the next ones that can."""
_PACKAGE = f"{MODULE}/pilot/cmd/pilot-discovery"
PILOT = GoProgram("pilot-discovery", MODULE, VERSION, _PACKAGE, wrapped=(_PACKAGE,), requires=REQUIRES)

NAMESPACE = "luntra-istio"
GATEWAY = f"{NAMESPACE}/luntra"
PROBE_URL = f"http://router.{NAMESPACE}.svc:8080"
DOMAIN = "istio.example.com"
KINDS = ("destinationrules", "envoyfilters", "gateways", "virtualservices")
MANIFEST = Path(__file__).parent / "manifests" / "istio.yaml"


def crds(progress: Progress) -> str:
    """Return the CRDs of `KINDS` in networking.istio.io, as one manifest."""
    file = gobuild.module_folder(MODULE, VERSION, progress) / "manifests/charts/base/files/crd-all.gen.yaml"
    names = [f"\n  name: {kind}.networking.istio.io\n" for kind in KINDS]
    documents = file.read_text().split("\n---\n")
    return "\n---\n".join(document for document in documents if any(name in document for name in names))


def manifest(built: bool) -> str:
    """Return the manifest, with our own build of Envoy or the published one."""
    envoy = versions.BUILT_ENVOY if built else versions.PUBLISHED_ENVOY
    return MANIFEST.read_text().replace("@PILOT@", _image()).replace("@ENVOY@", envoy)


@contextmanager
def running(cluster: Cluster, progress: Progress) -> Iterator[None]:
    """Have Istio in a cluster for as long as the context lasts.

    Raises:
        HarnessError: something could not be had, or did not get ready; the message says what.
    """
    host = engine.start(progress)
    _load_pilot(cluster, host, progress)
    kinds, rest = crds(progress), manifest(built=not preflight.can_pull(host, progress))
    try:
        with progress.step("install Istio"):
            cluster.apply(text=kinds)
            definitions.until_served(cluster.command())
            cluster.apply(text=rest)
            _wait(cluster)
        yield
    finally:
        cluster.kubectl("delete", "--ignore-not-found", "--filename=-", stdin=f"{rest}\n---\n{kinds}")


def _wait(cluster: Cluster) -> None:
    try:
        for name in ("pilot", "router"):
            cluster.kubectl("rollout", "status", f"deployment/{name}", f"--namespace={NAMESPACE}", "--timeout=60s")
    except HarnessError as error:
        raise HarnessError(f"{error}\n{diagnosis.explain(cluster, (NAMESPACE,))}") from error


def _image() -> str:
    return f"luntra/pilot:{PILOT.key}"


def _load_pilot(cluster: Cluster, host: Engine, progress: Progress) -> None:
    program = gobuild.compile_program(PILOT, progress)
    if cluster.has_image(_image()):
        return
    path = "/usr/local/bin/pilot-discovery"
    with progress.step("load pilot"), tempfile.TemporaryDirectory(prefix="pilot-", dir=cache.folder("tmp")) as scratch:
        archive = Path(scratch) / "image.tar"
        write_archive(ComponentImage(_image(), (path,), {path: program}), archive)
        host.docker("load", "--input", str(archive))
        cluster.load(_image())
