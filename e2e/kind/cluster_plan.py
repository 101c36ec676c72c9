"""What a cluster of ours is called, where its files are, which ports it has, and what kind is told about it.

Decisions only: nothing is started here (`cluster` does that).
"""

from __future__ import annotations

import re
import socket
from typing import TYPE_CHECKING

import yaml

from e2e.kind import cache, gateway, prometheus
from e2e.kind.control_plane import free_ports
from e2e.kind.errors import HarnessError

if TYPE_CHECKING:
    from pathlib import Path

DEFAULT_NAME = "luntra"
DEFAULT_PORTS = (18080, 19090)
NAMES = re.compile(r"luntra(-[a-z0-9]+)*")
LONGEST_NAME = 30
SHARE_IN_NODE = "/luntra-share"


def check_name(name: str) -> None:
    """Refuse a cluster that is not ours.

    Raises:
        HarnessError: the name is not `luntra` or `luntra-...`.
    """
    if not NAMES.fullmatch(name) or len(name) > LONGEST_NAME:
        raise HarnessError(
            f"cluster {name!r} is not touched: only clusters made here are, and they are called luntra or luntra-<word> "
            f"(lower case letters and digits, {LONGEST_NAME} characters at most). Pass --name luntra-test"
        )


def node_name(name: str) -> str:
    """Return the name of the node's container."""
    return f"{name}-control-plane"


def home(name: str) -> Path:
    """Return the folder with a cluster's kubeconfig, state and shared files."""
    return cache.root() / "clusters" / name


def kind_config(share: Path, gateway_port: int, prometheus_port: int) -> str:
    """Return kind's configuration: one node, two ports on 127.0.0.1, one shared folder, cgroup v1 accepted.

    kube-proxy uses nftables, because it then drops what is sent to a ClusterIP that it does not know, or does not know
    yet. With iptables such a connection leaves the cluster, and whoever answers it there keeps it: an Envoy that was
    started with the Service of its control plane never found that control plane.
    """
    ports = {gateway.NODE_PORT: gateway_port, prometheus.NODE_PORT: prometheus_port}
    mappings = [
        {"containerPort": inside, "hostPort": outside, "listenAddress": "127.0.0.1"}
        for inside, outside in ports.items()
    ]
    mounts = [{"hostPath": str(share), "containerPath": SHARE_IN_NODE}]
    kubelet = {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "failCgroupV1": False,
        "serializeImagePulls": False,
    }
    return yaml.safe_dump(
        {
            "kind": "Cluster",
            "apiVersion": "kind.x-k8s.io/v1alpha4",
            "networking": {"kubeProxyMode": "nftables"},
            "nodes": [{"role": "control-plane", "extraPortMappings": mappings, "extraMounts": mounts}],
            "kubeadmConfigPatches": [yaml.safe_dump(kubelet)],
        }
    )


def choose_ports(name: str, gateway_port: int | None, prometheus_port: int | None) -> tuple[int, int]:
    """Return the ports of the Gateway and of Prometheus: those given, else 18080 and 19090, or free ones for a spare cluster.

    Raises:
        HarnessError: one is taken.
    """
    spare = DEFAULT_PORTS if name == DEFAULT_NAME else tuple(free_ports(2))
    chosen = (gateway_port or spare[0], prometheus_port or spare[1])
    for port, option in zip(chosen, ("--gateway-port", "--prometheus-port"), strict=True):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError as error:
                raise HarnessError(f"port {port} on 127.0.0.1 is taken: pass another with {option}") from error
    return chosen
