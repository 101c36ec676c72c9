"""The kinds that Luntra reads and writes, and their paths at the API server."""

from typing import NamedTuple

from luntra_operator.api import vocabulary
from luntra_operator.api.kinds import GRPC_ROUTE as GRPC_ROUTE
from luntra_operator.api.kinds import HTTP_ROUTE as HTTP_ROUTE
from luntra_operator.api.kinds import VIRTUAL_SERVICE as VIRTUAL_SERVICE
from luntra_operator.api.kinds import Kind as Kind


class Place(NamedTuple):
    """What the path of a request names."""

    namespace: str | None
    plural: str
    name: str | None


def place(path: str) -> Place:
    """Read a path that `Kind.path` has made; an empty plural where it is none (`/version`)."""
    parts = path.strip("/").split("/")
    rest = parts[3:] if parts[0] == "apis" else parts[2:] if parts[0] == "api" else []
    namespace = rest[1] if len(rest) > 2 and rest[0] == "namespaces" else None
    plural, name, *_ = [*(rest[2:] if namespace else rest), "", ""]
    return Place(namespace, plural, name or None)


MODEL_DEPLOYMENT = Kind(vocabulary.GROUP, vocabulary.VERSION, vocabulary.PLURAL, vocabulary.KIND)
CONFIG_MAP = Kind("", "v1", "configmaps", "ConfigMap")
CONTROLLER_REVISION = Kind("apps", "v1", "controllerrevisions", "ControllerRevision")
DEPLOYMENT = Kind("apps", "v1", "deployments", "Deployment")
ENDPOINT_SLICE = Kind("discovery.k8s.io", "v1", "endpointslices", "EndpointSlice")
EVENT = Kind("", "v1", "events", "Event")
GATEWAY = Kind("gateway.networking.k8s.io", "v1", "gateways", "Gateway")
JOB = Kind("batch", "v1", "jobs", "Job")
LEASE = Kind("coordination.k8s.io", "v1", "leases", "Lease")
POD = Kind("", "v1", "pods", "Pod")
POD_DISRUPTION_BUDGET = Kind("policy", "v1", "poddisruptionbudgets", "PodDisruptionBudget")
REPLICA_SET = Kind("apps", "v1", "replicasets", "ReplicaSet")
SECRET = Kind("", "v1", "secrets", "Secret")
SERVICE = Kind("", "v1", "services", "Service")
