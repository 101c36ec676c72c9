"""A real API server for the tests in this folder: `api_server`, `controllers` and a fresh `namespace` per test.

The programs are those in KUBEBUILDER_ASSETS if it is set, else the ones that `python -m e2e.kind binaries` left in the
cache. They are not built here: a test run that compiles Kubernetes for minutes would look like one that hangs.
"""

from __future__ import annotations

import os
import secrets
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from e2e.kind import binaries, control_plane, definitions, gobuild, istio, versions
from e2e.kind.progress import Progress

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


def pytest_configure(config: pytest.Config) -> None:
    """Let the operator be stopped in the middle of a TLS handshake.

    asyncio leaves the socket of such a connection to the garbage collector (seen with Python 3.11). In a
    process that ends this is nothing; here it would be the error of whichever test runs next.
    """
    config.addinivalue_line("filterwarnings", "ignore:unclosed (transport )?<:ResourceWarning")


def find_program(name: str) -> Path:
    """Return the path of etcd, kube-apiserver, kubectl or kube-controller-manager.

    Raises:
        pytest.UsageError: it is not there; the message says how to get it.
    """
    if assets := os.environ.get("KUBEBUILDER_ASSETS"):
        path = Path(assets) / name
        if not path.is_file():
            raise pytest.UsageError(
                f"KUBEBUILDER_ASSETS is {assets}, where there is no {name}; put one there or unset it"
            )
        return path
    found = binaries.find(name)
    if found is None:
        raise pytest.UsageError(f"{name} has not been built yet. Type: python -m e2e.kind binaries (5 minutes, once)")
    return found


@pytest.fixture(scope="session")
def program() -> Callable[[str], Path]:
    """Where the programs of a control plane are, by name."""
    return find_program


@pytest.fixture(scope="session")
def kubectl() -> Path:
    """The path of kubectl; give it `--kubeconfig api_server.kubeconfig`."""
    return find_program("kubectl")


@pytest.fixture(scope="session")
def api_server() -> Iterator[control_plane.ApiServer]:
    """An API server without controllers, shared by all tests of the session."""
    with control_plane.running(find_program) as server:
        yield server


@pytest.fixture(scope="session")
def controllers(api_server: control_plane.ApiServer) -> control_plane.ApiServer:
    """The same API server with kube-controller-manager: from here to the end of the session things are collected."""
    control_plane.start_controllers(api_server, find_program)
    return api_server


@pytest.fixture
def namespace(api_server: control_plane.ApiServer) -> str:
    """The name of a namespace that nobody else uses. It is left behind: the whole store goes with the session."""
    name = f"test-{secrets.token_hex(4)}"
    api_server.request(
        "POST", "/api/v1/namespaces", {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
    )
    return name


@pytest.fixture(scope="session")
def model_deployment_crd(api_server: control_plane.ApiServer, kubectl: Path) -> None:
    """The generated CRD, installed and served."""
    install(api_server, kubectl, Path("crds"))


def install(api_server: control_plane.ApiServer, kubectl: Path, crds: Path) -> None:
    """Apply the CRDs of a file or folder and wait until they are served."""
    definitions.install([str(kubectl), f"--kubeconfig={api_server.kubeconfig}"], crds)


@pytest.fixture(scope="session")
def custom_resources(api_server: control_plane.ApiServer, kubectl: Path, model_deployment_crd: None) -> None:
    """The CRDs of Luntra and of the Gateway API."""
    install(api_server, kubectl, gateway_api())


def gateway_api(scratch: Path | None = None) -> Path:
    """The CRDs of the Gateway API; they are a folder already."""
    return gobuild.module_folder("sigs.k8s.io/gateway-api", versions.GATEWAY_API, Progress()) / "config/crd/standard"


def istio_api(scratch: Path) -> Path:
    """Istio's CRDs, in a file that is written into the folder `scratch`."""
    file = scratch / "istio.yaml"
    file.write_text(istio.crds(Progress()))
    return file
