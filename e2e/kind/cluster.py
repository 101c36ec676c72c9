"""Make, find, and remove the kind cluster.

`up` returns a cluster that is ready for use: API server, a Gateway that is programmed, Prometheus. A healthy one that
was made from the same recipe is returned as it is; anything else of that name (half made, unhealthy, outdated) is
removed and made anew. Only names `luntra` and `luntra-*` are touched, and never ~/.kube/config: each cluster has a
kubeconfig of its own in the cache folder. `down` removes the cluster, and our own dockerd with the last one.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from e2e.kind import cache, diagnosis, engine, gateway, image_loading, node_image, preflight, prometheus, versions
from e2e.kind.binaries import binary
from e2e.kind.cluster_plan import DEFAULT_NAME, NAMES, check_name, choose_ports, home, kind_config, node_name
from e2e.kind.errors import HarnessError
from e2e.kind.progress import Progress, dies_with_us

if TYPE_CHECKING:
    from e2e.kind.engine import Engine

SETTLES_WITHIN = 60.0


@dataclass(frozen=True)
class Cluster:
    """A cluster that is up.

    `gateway_port` and `prometheus_port` are on 127.0.0.1; the host folder `share` is /luntra-share in the node, read
    and write, for hostPath volumes.
    """

    name: str
    kubeconfig: Path
    context: str
    gateway_port: int
    prometheus_port: int
    share: Path

    def command(self, *arguments: str) -> list[str]:
        """The command line of a kubectl against this cluster that ends with this process."""
        kubectl = [str(binary("kubectl")), f"--kubeconfig={self.kubeconfig}", f"--context={self.context}"]
        return dies_with_us([*kubectl, *arguments])

    def kubectl(self, *arguments: str, stdin: str | None = None) -> str:
        """Run kubectl against this cluster and return what it printed.

        Raises:
            HarnessError: kubectl said no; the message is kubectl's.
        """
        done = subprocess.run(self.command(*arguments), input=stdin or "", capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise HarnessError(f"kubectl {' '.join(arguments)}: {done.stderr.strip() or done.stdout.strip()}")
        return done.stdout

    def apply(self, *files: Path, text: str = "") -> None:
        """Apply manifests (files, folders, and a text) server-side; a new API server is given a minute to settle.

        Raises:
            HarnessError: it was still refused after that; the message is kubectl's.
        """
        command = ["apply", "--server-side", "--force-conflicts", *(f"--filename={file}" for file in files)]
        if text:
            command.append("--filename=-")
        deadline = time.monotonic() + SETTLES_WITHIN
        while True:
            try:
                self.kubectl(*command, stdin=text)
            except HarnessError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(1)
            else:
                return

    def in_node(self, *command: str) -> str:
        """Run a command in the node and return what it printed.

        Raises:
            HarnessError: it failed.
        """
        return _engine().docker("exec", node_name(self.name), *command)

    def has_image(self, tag: str) -> bool:
        """Tell whether the node holds an image of that name."""
        return tag in self._images(_engine())

    def load(self, tag: str) -> None:
        """Copy an image from the engine into the node, unless the node has that tag: tags are content keys.

        Raises:
            HarnessError: the engine has no such image, or the node refused it.
        """
        host = _engine()
        if tag in self._images(host):
            return
        if not host.has_image(tag):
            raise HarnessError(f"no image {tag} to load; build it first: python -m e2e.kind images")
        image_loading.load(host, node_name(self.name), tag)

    def _images(self, host: Engine) -> set[str]:
        listed = host.docker("exec", node_name(self.name), "ctr", "--namespace=k8s.io", "images", "list", "--quiet")
        return {name.removeprefix("docker.io/") for name in listed.splitlines()}


def up(
    name: str = DEFAULT_NAME,
    progress: Progress | None = None,
    gateway_port: int | None = None,
    prometheus_port: int | None = None,
) -> Cluster:
    """Return a cluster of that name that is ready for use, made now if need be.

    The cluster `luntra` is on the ports 18080 and 19090 if none are given, any other on free ones.

    Raises:
        HarnessError: the name is not ours, a port is taken, or some part cannot be had; the message says what to do.
    """
    check_name(name)
    progress = progress or Progress()
    host = engine.start(progress)
    with cache.lock(f"cluster-{name}", progress):
        built = not preflight.can_pull(host, progress)
        origin = "built here, since none can be pulled" if built else "published ones"
        node = node_image.build(host, progress) if built else versions.PUBLISHED_NODE
        recipe = cache.content_key(node, gateway.manifest(built), prometheus.manifest(built), kind_config(Path(), 0, 0))
        if found := _reusable(name, recipe, host):
            progress.note(f"cluster {name} is up already")
            return found
        progress.note(f"cluster {name}: node {node}, images {origin}")
        progress.expect(3)
        _remove(name, host, progress)
        cluster = _create(name, host, node, progress, choose_ports(name, gateway_port, prometheus_port))
        with progress.step("install the gateway and Prometheus"):
            gateway.install(cluster, built, progress)
            prometheus.install(cluster, built)
        with progress.step("wait for the gateway and Prometheus"):
            try:
                gateway.wait(cluster)
                prometheus.wait(cluster)
            except HarnessError as error:
                namespaces = (gateway.NAMESPACE, prometheus.NAMESPACE)
                raise HarnessError(f"{error}\n{diagnosis.explain(cluster, namespaces)}") from error
        state = {"recipe": recipe, "gateway_port": cluster.gateway_port, "prometheus_port": cluster.prometheus_port}
        half = home(name) / "state.half"
        half.write_text(json.dumps(state))
        half.replace(home(name) / "state.json")
    return cluster


def down(name: str = DEFAULT_NAME, progress: Progress | None = None) -> None:
    """Remove a cluster and what it left; with the last one, our own dockerd and what that changed on the machine.

    Raises:
        HarnessError: the name is not ours, or something could not be taken back.
    """
    check_name(name)
    progress = progress or Progress()
    with cache.lock(f"cluster-{name}", progress):
        host = engine.running()
        if host is None and engine.was_left():
            host = engine.start(progress)  # a killed dockerd is started once more, to remove what it knows of
        problems = []
        if host:
            with progress.step(f"remove cluster {name}"):
                _remove(name, host, progress)
            problems = _leave(host, progress)
        shutil.rmtree(home(name), ignore_errors=True)
    if problems:
        raise HarnessError("could not be taken back: " + "; ".join(problems))


def status(name: str = DEFAULT_NAME) -> Cluster | None:
    """Return the cluster if it is up and healthy, else None.

    Raises:
        HarnessError: the name is not ours.
    """
    check_name(name)
    host = engine.running()
    return _reusable(name, None, host) if host else None


def nodes(host: Engine) -> list[str]:
    """Return the names of the clusters of ours in an engine, running or not."""
    label = '{{.Label "io.x-k8s.kind.cluster"}}'
    listed = host.docker("ps", "--all", "--filter=label=io.x-k8s.kind.cluster", f"--format={label}")
    return sorted({name for name in listed.split() if NAMES.fullmatch(name)})


def _engine() -> Engine:
    host = engine.running()
    if host is None:
        raise HarnessError("no container engine runs. Type: python -m e2e.kind up")
    return host


def _known(name: str) -> Cluster | None:
    state = home(name) / "state.json"
    if not state.exists():
        return None
    ports = json.loads(state.read_text())
    return _cluster(name, ports["gateway_port"], ports["prometheus_port"])


def _cluster(name: str, gateway_port: int, prometheus_port: int) -> Cluster:
    folder = home(name)
    return Cluster(name, folder / "kubeconfig", f"kind-{name}", gateway_port, prometheus_port, folder / "share")


def _reusable(name: str, recipe: str | None, host: Engine) -> Cluster | None:
    """Return the cluster if it was finished, from this recipe (None: any), and everything in it is well now."""
    found = _known(name)
    if found is None:
        return None
    if recipe is not None and json.loads((home(name) / "state.json").read_text())["recipe"] != recipe:
        return None
    if name not in nodes(host):
        return None
    try:
        found.kubectl("get", "--raw=/readyz", "--request-timeout=5s")
        programmed = '{.status.conditions[?(@.type=="Programmed")].status}'
        where = f"--namespace={gateway.NAMESPACE}"
        well = found.kubectl("get", f"gateway/{gateway.NAME}", where, f"--output=jsonpath={programmed}") == "True"
    except HarnessError:
        return None
    ready = gateway.answers(found.gateway_port) and gateway.answers(found.prometheus_port, "/-/ready")
    return found if well and ready else None


def _create(name: str, host: Engine, node: str, progress: Progress, ports: tuple[int, int]) -> Cluster:
    cluster = _cluster(name, *ports)
    cluster.share.mkdir(parents=True, exist_ok=True)
    config = home(name) / "kind.yaml"
    config.write_text(kind_config(cluster.share, *ports))
    command = ["create", "cluster", f"--name={name}", f"--image={node}", f"--config={config}", "--wait=120s"]
    with progress.step(f"create cluster {name}"):
        progress.run(
            [str(binary("kind", progress)), *command, f"--kubeconfig={cluster.kubeconfig}"],
            f"kind-create-{name}",
            env=host.env,
        )
    cluster.kubeconfig.chmod(0o600)
    return cluster


def _remove(name: str, host: Engine, progress: Progress) -> None:
    """Delete the cluster in whatever state it is; what is in its shared folder stays."""
    for file in ("state.json", "kubeconfig"):
        (home(name) / file).unlink(missing_ok=True)
    if name in nodes(host):
        kind = [str(binary("kind", progress)), "delete", "cluster", f"--name={name}"]
        progress.run([*kind, f"--kubeconfig={home(name) / 'kubeconfig'}"], f"kind-delete-{name}", env=host.env)


def _leave(host: Engine, progress: Progress) -> list[str]:
    """Once no cluster of ours is left: stop our own dockerd; in the user's docker, nothing but images stays."""
    if nodes(host):
        return []
    others = host.docker("ps", "--all", "--quiet", "--filter=label=io.x-k8s.kind.cluster")
    if not others and host.succeeds("network", "inspect", "kind"):
        host.docker("network", "rm", "kind")
    if not host.own:
        return []
    with progress.step("stop dockerd"):
        return engine.stop()
