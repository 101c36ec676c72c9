"""The kinds that Luntra reads and writes, and their paths at the API server."""

from dataclasses import dataclass

from luntra_operator.api import vocabulary


@dataclass(frozen=True, slots=True)
class Kind:
    """A resource type; `group` is empty for the core group."""

    group: str
    version: str
    plural: str
    kind: str

    @property
    def api_version(self) -> str:
        """`apps/v1`, or `v1` in the core group."""
        return f"{self.group}/{self.version}" if self.group else self.version

    def path(self, namespace: str | None, name: str | None = None, subresource: str | None = None) -> str:
        """Path of the collection or of one object; no namespace means all of them (or a cluster-scoped kind)."""
        parts = ["apis", self.group, self.version] if self.group else ["api", self.version]
        if namespace is not None:
            parts += ["namespaces", namespace]
        parts += [part for part in (self.plural, name, subresource) if part is not None]
        return "/" + "/".join(parts)


MODEL_DEPLOYMENT = Kind(vocabulary.GROUP, vocabulary.VERSION, vocabulary.PLURAL, vocabulary.KIND)
CONFIG_MAP = Kind("", "v1", "configmaps", "ConfigMap")
CONTROLLER_REVISION = Kind("apps", "v1", "controllerrevisions", "ControllerRevision")
DEPLOYMENT = Kind("apps", "v1", "deployments", "Deployment")
ENDPOINT_SLICE = Kind("discovery.k8s.io", "v1", "endpointslices", "EndpointSlice")
EVENT = Kind("", "v1", "events", "Event")
GATEWAY = Kind("gateway.networking.k8s.io", "v1", "gateways", "Gateway")
HTTP_ROUTE = Kind("gateway.networking.k8s.io", "v1", "httproutes", "HTTPRoute")
JOB = Kind("batch", "v1", "jobs", "Job")
LEASE = Kind("coordination.k8s.io", "v1", "leases", "Lease")
POD = Kind("", "v1", "pods", "Pod")
POD_DISRUPTION_BUDGET = Kind("policy", "v1", "poddisruptionbudgets", "PodDisruptionBudget")
SERVICE = Kind("", "v1", "services", "Service")
