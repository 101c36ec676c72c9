"""A Kubernetes API server without nodes: etcd and kube-apiserver as processes of this machine, ready in about 3 s.

It has real CRD validation, CEL, server-side apply, RBAC and status conflicts. It has no controllers (no garbage
collection, no pods of Deployments, namespaces are never finally deleted) unless `start_controllers` is called, and
nothing ever runs a pod. The ServiceAccount admission plugin is off, so that pods can be created without controllers.
Everything listens on loopback, keeps its state in one scratch folder and dies with the process that started it.
"""

from __future__ import annotations

import json
import secrets
import shutil
import socket
import ssl
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from e2e.kind.errors import HarnessError
from e2e.kind.progress import dies_with_us, tail

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

READY_WITHIN = 60.0
STOP_WITHIN = 10.0
CONTROLLERS = (
    "garbage-collector-controller,namespace-controller,deployment-controller,replicaset-controller,"
    "endpointslice-controller,job-controller,resourcequota-controller"
)


class Answer(Exception):  # noqa: N818 - it is what the API server answered, an error only to some callers
    """The API server answered with an error: `status` is the HTTP status, `body` its Status object."""

    def __init__(self, status: int, body: dict[str, Any]) -> None:
        super().__init__(f"HTTP {status}: {body.get('message', body)}")
        self.status = status
        self.body = body


@dataclass(frozen=True)
class ApiServer:
    """A running API server, and how to be its administrator (group system:masters).

    `kubeconfig` is a complete file for any client; `url`, `token` and `ca_file` say the same in parts. Where an audit
    policy was given, `audit_log` has a line for each request that it names.
    """

    url: str
    token: str
    ca_file: Path
    kubeconfig: Path
    folder: Path
    command: Sequence[str]
    processes: ExitStack = field(default_factory=ExitStack, repr=False)
    starts: list[subprocess.Popen[bytes]] = field(default_factory=list, repr=False)

    def crash(self) -> None:
        """Kill kube-apiserver alone; etcd, and with it every object, stays."""
        self.starts[-1].kill()
        self.starts[-1].wait()

    def start(self) -> None:
        """Start kube-apiserver, for the first time or again, and wait until it is ready.

        Raises:
            HarnessError: it ended, or was not ready within 60 s; the message has the end of its log.
        """
        self.starts.append(self.processes.enter_context(_process(self.command, self.folder / "kube-apiserver.log")))
        _wait_ready(self, self.starts[-1])

    @property
    def audit_log(self) -> Path:
        """Where requests are written down."""
        return self.folder / "audit.log"

    def kubeconfig_of(self, user: str) -> Path:
        """The kubeconfig of one of the `users` that the server was started with; administrators too."""
        return self.folder / f"kubeconfig-{user}"

    def request(
        self, method: str, path: str, body: object = None, content_type: str = "application/json"
    ) -> dict[str, Any]:
        """Send one request as administrator and return the JSON answer.

        Raises:
            Answer: the API server answered with a status of 400 or more.
        """
        data = None if body is None else json.dumps(body).encode()
        headers = {"Authorization": f"Bearer {self.token}", "Content-Type": content_type}
        request = urllib.request.Request(self.url + path, data=data, headers=headers, method=method)
        context = ssl.create_default_context(cafile=str(self.ca_file))
        try:
            with urllib.request.urlopen(request, timeout=30, context=context) as answer:
                text = answer.read()
        except urllib.error.HTTPError as error:
            with error:
                raise Answer(error.code, _status(error.read())) from None
        return _status(text)


def _status(text: bytes) -> dict[str, Any]:
    try:
        parsed = json.loads(text)
    except ValueError:
        return {"message": text.decode(errors="replace")}
    return parsed if isinstance(parsed, dict) else {"message": parsed}


@contextmanager
def running(
    program: Callable[[str], Path], users: Sequence[str] = (), audit_policy: str | None = None
) -> Iterator[ApiServer]:
    """Run etcd and kube-apiserver for as long as the context lasts; `program(name)` is the path of a binary.

    Each of `users` gets a kubeconfig of its own, so that an audit log by `audit_policy` can tell them apart.

    Raises:
        HarnessError: one of them ended, or was not ready within 60 s; the message has the end of its log.
    """
    if shutil.which("openssl") is None:
        raise HarnessError("openssl not found, needed to make a key. Type: sudo apt-get install openssl")
    with tempfile.TemporaryDirectory(prefix="luntra-api-") as name, ExitStack() as processes:
        yield _start(Path(name), program, processes, users, audit_policy)


def start_controllers(server: ApiServer, program: Callable[[str], Path]) -> None:
    """Add kube-controller-manager: garbage collection, Deployments to ReplicaSets to Pods, deletion of namespaces."""
    command = [
        str(program("kube-controller-manager")),
        f"--kubeconfig={server.kubeconfig}",
        f"--controllers={CONTROLLERS}",
        f"--service-account-private-key-file={server.folder / 'sa.key'}",
        "--leader-elect=false",
        "--secure-port=0",
        "--kube-api-qps=200",
        "--kube-api-burst=400",
    ]
    server.processes.enter_context(_process(command, server.folder / "kube-controller-manager.log"))


def _start(
    folder: Path, program: Callable[[str], Path], processes: ExitStack, users: Sequence[str], audit_policy: str | None
) -> ApiServer:
    etcd_port, peer_port, port = free_ports(3)
    names = ("admin", *users)
    secret = {user: secrets.token_hex(16) for user in names}
    key = folder / "sa.key"
    subprocess.run(["openssl", "genrsa", "-out", str(key), "2048"], check=True, capture_output=True)
    tokens = folder / "tokens.csv"
    tokens.touch(mode=0o600)
    tokens.write_text("".join(f'{secret[user]},{user},{user},"system:masters"\n' for user in names))
    etcd_url = f"http://127.0.0.1:{etcd_port}"
    etcd = [
        str(program("etcd")),
        f"--data-dir={folder / 'etcd'}",
        f"--listen-client-urls={etcd_url}",
        f"--advertise-client-urls={etcd_url}",
        f"--listen-peer-urls=http://127.0.0.1:{peer_port}",
        "--unsafe-no-fsync",
    ]
    api = [
        str(program("kube-apiserver")),
        f"--etcd-servers={etcd_url}",
        "--bind-address=127.0.0.1",
        "--advertise-address=127.0.0.1",
        "--endpoint-reconciler-type=none",
        f"--secure-port={port}",
        f"--cert-dir={folder / 'certs'}",
        f"--token-auth-file={tokens}",
        "--service-cluster-ip-range=10.96.0.0/16",
        "--service-account-issuer=https://kubernetes.default.svc",
        f"--service-account-key-file={key}",
        f"--service-account-signing-key-file={key}",
        "--authorization-mode=RBAC",
        "--allow-privileged=true",
        "--disable-admission-plugins=ServiceAccount",
        "--watch-cache=true",
        *(_audit(folder, audit_policy) if audit_policy else ()),
    ]
    url = f"https://127.0.0.1:{port}"
    ca_file = folder / "certs" / "apiserver.crt"
    server = ApiServer(url, secret["admin"], ca_file, folder / "kubeconfig", folder, api, processes)
    for user in names:
        kubeconfig = server.kubeconfig if user == "admin" else server.kubeconfig_of(user)
        kubeconfig.touch(mode=0o600)
        kubeconfig.write_text(kubeconfig_text(url, ca_file, secret[user]))
    processes.enter_context(_process(etcd, folder / "etcd.log"))
    server.start()
    return server


def _audit(folder: Path, policy: str) -> list[str]:
    """Flags for an audit log that is complete when a request has been answered, and is never rotated."""
    file = folder / "audit-policy.json"
    file.write_text(policy)
    log = folder / "audit.log"
    log.touch()
    return [
        f"--audit-policy-file={file}",
        f"--audit-log-path={log}",
        "--audit-log-mode=blocking",
        "--audit-log-maxsize=8192",
    ]


def _wait_ready(server: ApiServer, child: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + READY_WITHIN
    log = server.folder / "kube-apiserver.log"
    while True:
        if child.poll() is not None:
            raise HarnessError(f"kube-apiserver ended with status {child.returncode}; the end of its log:\n{tail(log)}")
        try:
            server.request("GET", "/readyz")
            server.request("GET", "/api/v1/namespaces/default")
        except (OSError, Answer) as error:
            if time.monotonic() > deadline:
                text = f"kube-apiserver is not ready after {READY_WITHIN:.0f} s ({error}); the end of its log:"
                raise HarnessError(f"{text}\n{tail(log)}") from error
            time.sleep(0.05)
        else:
            return


def kubeconfig_text(url: str, ca_file: Path, token: str) -> str:
    """Return a kubeconfig with one context, for an administrator known by a token. It is JSON, which is YAML."""
    return json.dumps(
        {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "test", "cluster": {"server": url, "certificate-authority": str(ca_file)}}],
            "users": [{"name": "admin", "user": {"token": token}}],
            "contexts": [{"name": "test", "context": {"cluster": "test", "user": "admin"}}],
            "current-context": "test",
        },
        indent=1,
    )


def free_ports(count: int) -> list[int]:
    """Return different ports that nothing on loopback listened on just now."""
    with ExitStack() as open_sockets:
        ports = []
        for _ in range(count):
            probe = open_sockets.enter_context(socket.socket())
            probe.bind(("127.0.0.1", 0))
            ports.append(int(probe.getsockname()[1]))
        return ports


@contextmanager
def _process(command: Sequence[str], log: Path) -> Iterator[subprocess.Popen[bytes]]:
    with log.open("wb") as output:
        child = subprocess.Popen(dies_with_us(command), stdin=subprocess.DEVNULL, stdout=output, stderr=output)
    try:
        yield child
    finally:
        child.terminate()
        try:
            child.wait(STOP_WITHIN)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()
