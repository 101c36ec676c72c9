"""An artifact store in the test cluster: HTTPS with a private CA, its files in the cluster's shared folder.

Bundles and evaluation sets reach the pods the way they do at a user's: by an https:// URI whose
certificate is signed by a company's own CA.
"""

import json
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from e2e.kind.cluster import Cluster

_HERE = Path(__file__).parent
_NAMESPACE = "luntra-artifacts"
_HOST = f"artifacts.{_NAMESPACE}.svc"


@dataclass(frozen=True)
class Store:
    """A store that runs; `certificate` is its CA in PEM."""

    cluster: Cluster
    certificate: str

    def put(self, source: Path, name: str) -> str:
        """Publish a file or folder under `name`; its URI as the pods see it."""
        target = self.cluster.share / "artifacts" / name
        if target.is_dir():
            shutil.rmtree(target)
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, target)
        else:
            shutil.copyfile(source, target)
        for path in (target, *target.rglob("*")):
            path.chmod(0o755 if path.is_dir() else 0o644)
        return f"https://{_HOST}/{name}"

    def trust(self, namespace: str) -> str:
        """Put the CA into a ConfigMap of `namespace`; its name."""
        body = {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": "artifacts-ca", "namespace": namespace},
            "data": {"ca.crt": self.certificate},
        }
        self.cluster.kubectl("apply", "--server-side", "--filename=-", stdin=json.dumps(body))
        return "artifacts-ca"


def install(cluster: Cluster, image: str) -> Store:
    """Install the store, served by any image with Python, and wait until it answers.

    Raises:
        HarnessError: kubectl refused something, or the store did not get ready.
    """
    found = cluster.kubectl(
        "get", "secret", "artifacts-tls", f"--namespace={_NAMESPACE}", "--ignore-not-found", "-o", "json"
    )
    manifest = (_HERE / "artifacts.yaml").read_text().replace("@IMAGE@", image)
    cluster.kubectl("apply", "--server-side", "--filename=-", stdin=manifest)
    script = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "artifacts-server", "namespace": _NAMESPACE},
        "data": {"server.py": (_HERE / "server.py").read_text()},
    }
    cluster.kubectl("apply", "--server-side", "--filename=-", stdin=json.dumps(script))
    if not found.strip():
        cluster.kubectl("apply", "--server-side", "--filename=-", stdin=json.dumps(_secret()))
    cluster.kubectl("rollout", "status", "deployment/artifacts", f"--namespace={_NAMESPACE}", "--timeout=120s")
    certificate = cluster.kubectl(
        "get",
        "secret",
        "artifacts-tls",
        f"--namespace={_NAMESPACE}",
        "-o",
        r'go-template={{index .data "ca.crt" | base64decode}}',
    )
    return Store(cluster, certificate)


def _secret() -> dict[str, object]:
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        (folder / "san").write_text(f"subjectAltName=DNS:{_HOST}\nbasicConstraints=CA:FALSE\n")
        authority = "req -x509 -newkey rsa:2048 -nodes -days 365 -subj /CN=luntra-test-ca -keyout ca.key -out ca.crt"
        authority += " -addext basicConstraints=critical,CA:TRUE -addext keyUsage=critical,keyCertSign"
        request = "req -newkey rsa:2048 -nodes -subj /CN=artifacts -keyout tls.key -out tls.csr"
        sign = "x509 -req -in tls.csr -CA ca.crt -CAkey ca.key -CAcreateserial -days 365 -extfile san -out tls.crt"
        for words in (authority, request, sign):
            subprocess.run(["openssl", *words.split()], cwd=folder, check=True, capture_output=True)
        data = {name: (folder / name).read_text() for name in ("ca.crt", "tls.crt", "tls.key")}
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "artifacts-tls", "namespace": _NAMESPACE},
        "stringData": data,
    }
