"""The node image of kind, built from Debian packages, compiled programs and kind's own files.

Used only where the published image cannot be pulled. What kind's Dockerfile does with a registry at hand is done here
on an unpacked Debian root; kind's scripts and units are read from the Go module of kind, never copied into this
repository. The images of all components are put into the node's containerd beforehand, so a new cluster loads nothing.
It needs root and takes about half a minute; what comes out is one image in the engine, tagged with a content key.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from e2e.kind import binaries, cache, component_images, debian, gobuild, versions
from e2e.kind.errors import CommandError, HarnessError
from e2e.kind.progress import tail

if TYPE_CHECKING:
    from e2e.kind.engine import Engine
    from e2e.kind.progress import Progress

PACKAGES = (
    *("systemd", "systemd-sysv", "conntrack", "iptables", "nftables", "iproute2", "ethtool", "util-linux", "mount"),
    *("kmod", "libseccomp2", "procps", "bash", "ca-certificates", "jq", "curl", "runc", "containernetworking-plugins"),
)
ON_THE_NODE = {
    "/usr/local/bin": ("containerd", "containerd-shim-runc-v2", "ctr"),
    "/usr/bin": ("kubelet", "kubectl", "kubeadm"),
}
IN_PODS = (*component_images.KUBERNETES_PODS, "kube-proxy", "etcd", "coredns", "contour", "envoy", "prometheus")
LEFT_OUT = (
    "dev/*",
    "usr/share/doc/*",
    "usr/share/man/*",
    "usr/share/locale/*",
    "var/cache/apt/*",
    "var/lib/apt/lists/*",
)
UNITS = ("kubelet", "containerd", "undo-mount-hacks")
# Containerd fills the node's own pod range into this, so no network add-on is needed.
NETWORK = """{"cniVersion": "0.4.0", "name": "pods", "plugins": [
 {"type": "ptp", "ipMasq": true, "ipam": {"type": "host-local", "dataDir": "/run/cni-ipam-state",
  "ranges": [{{range $i, $r := .PodCIDRRanges}}{{if $i}},{{end}}[{"subnet": "{{$r}}"}]{{end}}],
  "routes": [{"dst": "0.0.0.0/0"}]}},
 {"type": "portmap", "capabilities": {"portMappings": true}}]}
"""
KUBELET = """apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
failCgroupV1: false
"""
STORAGE = """apiVersion: storage.k8s.io/v1
kind: StorageClass
metadata:
  name: standard
  annotations: {storageclass.kubernetes.io/is-default-class: "true"}
provisioner: kubernetes.io/no-provisioner
volumeBindingMode: WaitForFirstConsumer
"""
NETWORK_NOTE = """apiVersion: v1
kind: ConfigMap
metadata: {name: network, namespace: kube-system}
data: {note: "the node's containerd configures the pod network from /etc/containerd/cni.tmpl"}
"""


def build(engine: Engine, progress: Progress) -> str:
    """Return the tag of the node image, built now if the engine has not got it."""
    here = Path(__file__).parent
    recipe = cache.tree_key(here / "node_image.py", here / "component_images.py", here / "versions.py", here / "pause")
    tag = f"luntra.local/node:{versions.KUBERNETES}-{recipe}"
    if engine.has_image(tag):
        return tag
    names = {name for group in ON_THE_NODE.values() for name in group} | set(IN_PODS)
    missing = [name for name in names if binaries.find(name) is None]
    progress.expect(len(missing) + 2)
    programs = {name: binaries.binary(name, progress) for name in sorted(names, key=_longest_first)}
    programs["pause"] = _pause(progress)
    archive = debian.root_file_system("node", PACKAGES, progress)
    kind = gobuild.module_folder("sigs.k8s.io/kind", versions.KIND, progress)
    with cache.lock("node-image", progress), progress.step("build the node image"):
        if not engine.has_image(tag):
            _assemble(engine, tag, programs, archive, kind / "images/base/files", progress)
    return tag


def _longest_first(name: str) -> tuple[int, str]:
    order = ("kube-apiserver", "kubelet", "kubectl")
    return (order.index(name) if name in order else len(order), name)


def _pause(progress: Progress) -> Path:
    source = Path(__file__).parent / "pause"

    def compile_it(target: Path) -> None:
        env = gobuild.environment(progress)
        command = ["go", "build", "-trimpath", "-ldflags", "-s -w", "-o", str(target / "pause"), "."]
        progress.run(command, "go-pause", env=env, cwd=source)

    return cache.ensure("bin", "pause", cache.tree_key(source), compile_it, progress) / "pause"


def _assemble(
    engine: Engine, tag: str, programs: dict[str, Path], archive: Path, kind: Path, progress: Progress
) -> None:
    scratch = cache.folder("tmp")
    for stale in scratch.glob("node-image-*"):
        cache.discard(stale)
    work = Path(tempfile.mkdtemp(prefix="node-image-", dir=scratch))
    try:
        root = work / "root"
        root.mkdir()
        left_out = [f"--exclude=./{pattern}" for pattern in LEFT_OUT]
        progress.run(["tar", "xpf", str(archive), "-C", str(root), *left_out], "node-unpack")
        _add_files_of_kind(root, kind)
        _trim_systemd(root)
        _add_programs(root, programs)
        _configure(root, programs["ctr"])
        _preload(root, work, programs, progress)
        _import(engine, root, tag)
    finally:
        cache.discard(work)


def _add_files_of_kind(root: Path, kind: Path) -> None:
    shutil.copytree(kind / "kind", root / "kind", copy_function=shutil.copyfile)
    for source, mode in (("usr/local/bin/entrypoint", 0o755), ("etc/crictl.yaml", 0o644)):
        _install(kind / source, root / source, mode)
    for folder in ("etc/containerd", "etc/default", "etc/sysctl.d", "etc/systemd/system"):
        for file in (kind / folder).rglob("*"):
            if file.is_file() and "fuse-overlayfs" not in file.name:
                _install(file, root / file.relative_to(kind), 0o644)
    for script in (root / "kind/bin").iterdir():
        script.chmod(0o755)


def _trim_systemd(root: Path) -> None:
    """Leave only what a node needs to run, as kind's Dockerfile does."""
    patterns = (
        "lib/systemd/system/sysinit.target.wants/systemd-tmpfiles-setup.service",
        "lib/systemd/system/multi-user.target.wants/*",
        "etc/systemd/system/*.wants/*",
        "lib/systemd/system/local-fs.target.wants/*",
        "lib/systemd/system/sockets.target.wants/*udev*",
        "lib/systemd/system/sockets.target.wants/*initctl*",
        "lib/systemd/system/basic.target.wants/*",
    )
    for pattern in patterns:
        for file in root.glob(pattern):
            file.unlink()
    with (root / "etc/systemd/journald.conf").open("a") as journald:
        journald.write("ReadKMsg=no\n")
    wanted = root / "etc/systemd/system/multi-user.target.wants"
    wanted.mkdir(parents=True, exist_ok=True)
    for unit in UNITS:
        (wanted / f"{unit}.service").symlink_to(f"/etc/systemd/system/{unit}.service")
    (root / "etc/systemd/system/systemd-binfmt.service").symlink_to("/dev/null")
    if not os.path.lexists(root / "sbin/init"):
        (root / "sbin/init").symlink_to("/usr/lib/systemd/systemd")


def _add_programs(root: Path, programs: dict[str, Path]) -> None:
    for folder, names in ON_THE_NODE.items():
        for name in names:
            _install(programs[name], root / folder.lstrip("/") / name, 0o755)
    for plugin in (root / "usr/lib/cni").iterdir():
        _install(plugin, root / "opt/cni/bin" / plugin.name, 0o755)


def _configure(root: Path, ctr: Path) -> None:
    spec = json.loads(subprocess.run([str(ctr), "oci", "spec"], check=True, capture_output=True).stdout)
    spec.setdefault("hooks", {})["createContainer"] = [{"path": "/kind/bin/mount-product-files.sh"}]
    spec["process"].pop("rlimits", None)
    config = root / "etc/containerd/config.toml"
    config.write_text(containerd_config(config.read_text()))
    texts = {
        "etc/containerd/cri-base.json": json.dumps(spec),
        "etc/containerd/cni.tmpl": NETWORK,
        "kind/version": versions.KUBERNETES,
        "kind/manifests/default-storage.yaml": STORAGE,
        "kind/manifests/default-cni.yaml": NETWORK_NOTE,
        "etc/kubernetes/kubelet.conf.d/10-cgroup-v1.conf": KUBELET,
        "etc/default/kubelet": "KUBELET_EXTRA_ARGS=--runtime-cgroups=/system.slice/containerd.service "
        "--config-dir=/etc/kubernetes/kubelet.conf.d\n",
    }
    for name, text in texts.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    for folder in ("etc/kubernetes/manifests", "etc/cni/net.d"):
        (root / folder).mkdir(parents=True, exist_ok=True)


def containerd_config(of_kind: str) -> str:
    """Return kind's containerd configuration with our pause image and network, and without the rootless snapshotter.

    `restrict_oom_score_adj` is set because a machine without CAP_SYS_RESOURCE cannot lower the score.
    """
    kept, skipping = [], False
    for line in of_kind.splitlines():
        if line.startswith("["):
            skipping = line.startswith("[proxy_plugins")
        if skipping:
            continue
        if line.strip().startswith("sandbox_image"):
            line = f'  sandbox_image = "{versions.PAUSE_IMAGE}"'
        kept.append(line.replace("restrict_oom_score_adj = false", "restrict_oom_score_adj = true"))
    kept += ['[plugins."io.containerd.grpc.v1.cri".cni]', '  conf_template = "/etc/containerd/cni.tmpl"', ""]
    return "\n".join(kept)


def _preload(root: Path, work: Path, programs: dict[str, Path], progress: Progress) -> None:
    """Import the component images with a containerd of this machine whose store is the node's."""
    address = work / "c.sock"
    config = work / "containerd.toml"
    disabled = ("grpc.v1.cri", "cri.v1.images", "cri.v1.runtime", "nri.v1.nri")
    config.write_text(
        f'version = 3\nroot = "{root}/var/lib/containerd"\nstate = "{work}/state"\n'
        f"disabled_plugins = {json.dumps([f'io.containerd.{name}' for name in disabled])}\n"
        f'[grpc]\n  address = "{address}"\n'
    )
    log = cache.folder("logs") / "node-containerd.log"
    ctr = [str(programs["ctr"]), "--address", str(address), "--namespace", "k8s.io"]
    with log.open("wb") as output:
        daemon = subprocess.Popen([str(programs["containerd"]), "-c", str(config)], stdout=output, stderr=output)
    try:
        deadline = time.monotonic() + 20
        while subprocess.run([*ctr, "version"], capture_output=True, check=False).returncode != 0:
            if daemon.poll() is not None or time.monotonic() > deadline:
                raise HarnessError(f"containerd did not start; the end of {log}:\n{tail(log)}")
            time.sleep(0.1)
        for image in component_images.plan(programs, root):
            archive = work / "image.tar"
            component_images.write_archive(image, archive)
            options = ["--no-unpack", "--digests", "--label=io.cri-containerd.pinned=pinned"]
            progress.run([*ctr, "images", "import", *options, str(archive)], "node-preload")
            archive.unlink()
    finally:
        daemon.terminate()
        daemon.wait(20)


def _import(engine: Engine, root: Path, tag: str) -> None:
    changes = (
        'ENTRYPOINT ["/usr/local/bin/entrypoint","/sbin/init"]',
        "ENV container=docker",
        f"ENV PATH={component_images.SEARCH_PATH}",
    )
    options = [word for change in changes for word in ("--change", change)]
    log = cache.folder("logs") / "node-import.log"
    with log.open("wb") as output:
        pack = subprocess.Popen(["tar", "c", "-C", str(root), "."], stdout=subprocess.PIPE, stderr=output)
        take = subprocess.Popen(
            [engine.client, "import", *options, "-", tag],
            env=engine.env,
            stdin=pack.stdout,
            stdout=output,
            stderr=output,
        )
        if pack.stdout:
            pack.stdout.close()
        status = take.wait() or pack.wait()
    if status != 0:
        raise CommandError("docker import of the node image", status, log, tail(log))


def _install(source: Path, target: Path, mode: int) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, target)
    target.chmod(mode)
