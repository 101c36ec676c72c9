"""GRPCRoute that Luntra owns (gateway.networking.k8s.io/v1): the model's requests over gRPC, beside the HTTPRoute.

gRPC names its model in the message, where no route can look, so a model has hosts of its own, and all requests to them are its
own: a match by service without a method is for each gateway to support or not (Contour 1.33 does not). A workload that an earlier
operator made has no port for gRPC and never gets one; the route is made when no such workload is left.
"""

from typing import Any

from luntra_operator.api.kinds import GRPC_ROUTE
from luntra_operator.api.spec import ModelDeploymentSpec
from luntra_operator.api.vocabulary import PORT_GRPC, Reason

from .gateway_api import OwnedRoute
from .provider import Endpoint, Obstacle, Question, Ref


class OwnedGrpcRoute(OwnedRoute):
    """`spec.traffic.gateway.grpc`."""

    kind = GRPC_ROUTE
    port = PORT_GRPC

    def ref(self, name: str) -> Ref:
        """Not the HTTPRoute's name: Contour 1.33 keeps one status by name and mixes up routes of two kinds.

        No ModelDeployment has a dot in its name, so no HTTPRoute of another one is called so either.
        """
        return Ref(self.kind, f"{name}.grpc")

    def wanted(self, endpoint: Endpoint) -> bool:
        """Whether the spec asks for gRPC, and every workload can answer it."""
        return _named(endpoint.spec) and not _without_port(endpoint)

    def postponed(self, endpoint: Endpoint) -> Obstacle | None:
        """Workloads without a port for gRPC; the next version has one."""
        lacking = _without_port(endpoint)
        if not _named(endpoint.spec) or not lacking:
            return None
        return Obstacle(
            Reason.GRPC_NOT_SERVED,
            f"traffic.gateway.grpc waits for the next version: {', '.join(lacking)} was made by an operator that gave it no port "
            "for gRPC; roll out a new version, or the same one under another spec.model.version",
        )

    def question(self, spec: ModelDeploymentSpec) -> Question | None:  # noqa: ARG002 - the base's signature; whatever the spec says, the HTTPRoute is asked
        """Probes speak HTTP; what they tell of the HTTPRoute, at the same Gateway, stands for both."""
        return None

    def content(self, endpoint: Endpoint) -> dict[str, Any]:
        """Today's frame."""
        gateway = endpoint.spec.gateway
        if gateway is None or gateway.grpc is None:
            raise LookupError("the spec names no hosts for gRPC")
        content = gateway.model_dump(by_alias=True, exclude_none=True, mode="json")
        return {
            **({"preview": content["preview"]} if "preview" in content else {}),
            "parentRefs": content["parentRefs"],
            "hostnames": content["grpc"]["hostnames"],
            "matches": content["grpc"].get("matches", []),
        }


def _named(spec: ModelDeploymentSpec) -> bool:
    return spec.gateway is not None and spec.gateway.grpc is not None


def _without_port(endpoint: Endpoint) -> list[str]:
    services = {service["metadata"]["name"]: service for service in endpoint.services}
    ours = sorted(endpoint.workloads(services))
    return [
        name for name in ours if all(port["port"] != PORT_GRPC for port in services[name]["spec"].get("ports") or [])
    ]
