"""`spec.traffic`: what splits the users' traffic between two versions, and how it looks to them."""

from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, StringConstraints, field_validator, model_validator

from .base import ApiModel

Hostname = Annotated[
    str,
    StringConstraints(
        pattern=r"^(\*\.)?[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$", max_length=253
    ),
]

FullHostname = Annotated[
    str,
    StringConstraints(
        pattern=r"^(\*\.)?([a-z0-9]([-a-z0-9]*[a-z0-9])?\.)+[a-z0-9]([-a-z0-9]*[a-z0-9])?$", max_length=253
    ),
]
IstioGateway = Annotated[
    str,
    StringConstraints(
        pattern=r"^([a-z0-9]([-a-z0-9]*[a-z0-9])?/)?[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$",
        max_length=317,
    ),
]

HeaderName = Annotated[str, StringConstraints(pattern=r"^[-A-Za-z0-9!#$%&'*+.^_`|~]+$", min_length=1, max_length=256)]
"""A token, RFC 9110 section 5.6.2; as long as the Gateway API allows."""


class ParentReference(ApiModel):
    """The Gateway (and listener) that the route attaches to; as in the Gateway API."""

    name: str = Field(min_length=1, max_length=253, description="Name of the Gateway.")
    namespace: str | None = Field(
        default=None, min_length=1, max_length=63, description="Default: the object's namespace."
    )
    section_name: str | None = Field(default=None, min_length=1, max_length=253, description="Name of one listener.")
    port: int | None = Field(default=None, ge=1, le=65535, description="Port of one listener.")


class GrpcTraffic(ApiModel):
    """Requests over gRPC, through a GRPCRoute beside the HTTPRoute; both carry the same weights."""

    hostnames: list[Hostname] = Field(
        min_length=1,
        max_length=16,
        description="Hosts for gRPC; none of them in gateway.hostnames. gRPC names the model in the message, so each model needs its own.",
    )
    matches: list[dict[str, Any]] | None = Field(
        default=None,
        min_length=1,
        max_length=8,
        description="GRPCRouteMatch list, as in the Gateway API. Default: all requests to these hosts.",
    )


class PreviewHeader(ApiModel):
    """A request header and its exact value."""

    name: HeaderName = Field(description="Name of the header, e.g. x-preview.")
    value: str = Field(
        min_length=1, max_length=256, pattern=r"^[!-~]([ -~]*[!-~])?$", description="Its value, exactly."
    )


class Preview(ApiModel):
    """A way to the new version alone, for those who know it."""

    header: PreviewHeader = Field(description="What a request has to carry.")


class RouteReference(ApiModel):
    """One rule of an HTTPRoute in the object's namespace."""

    name: str = Field(min_length=1, max_length=253, description="Name of the HTTPRoute.")
    rule: str | None = Field(
        default=None,
        min_length=1,
        max_length=253,
        description="Name of the rule (spec.rules[].name). Default: the only rule that sends to the Service <name>.",
    )


_OF_OWNED = {
    "parent_refs": "parentRefs",
    "hostnames": "hostnames",
    "matches": "matches",
    "grpc": "grpc",
    "preview": "preview",
}
"""What says how a route of our own looks; the user's own says it itself."""


class GatewayTraffic(ApiModel):
    """Traffic through an HTTPRoute: one that Luntra creates and owns, or one rule of the user's own."""

    cel_rules: ClassVar = (
        (
            "!has(self.grpc) || !has(self.hostnames) || self.grpc.hostnames.all(h, !(h in self.hostnames))",
            "grpc.hostnames: a host is in hostnames too, but a Gateway takes a host for HTTP or for gRPC; give gRPC a host of its own",
        ),
        (
            "has(self.mode) && self.mode == 'Adopted' ? has(self.routeRef) : !has(self.routeRef)",
            "routeRef goes with mode: Adopted, and mode: Adopted needs routeRef: {name: <your HTTPRoute>}",
        ),
        (
            "has(self.mode) && self.mode == 'Adopted' || has(self.parentRefs)",
            "parentRefs is missing; name the Gateways that the route attaches to, or adopt a route of yours "
            "with mode: Adopted and routeRef",
        ),
        (
            "!has(self.mode) || self.mode != 'Adopted' || "
            "!(" + " || ".join(f"has(self.{field})" for field in _OF_OWNED.values()) + ")",
            "parentRefs, hostnames, matches, grpc and preview do not go with mode: Adopted, where your own route says it; remove them",
        ),
    )

    mode: Literal["Owned", "Adopted"] | None = Field(
        default=None,
        description="Owned (default): Luntra creates the HTTPRoute. Adopted: during rollouts it changes weights in one rule of yours.",
    )
    route_ref: RouteReference | None = Field(default=None, description="mode Adopted: the rule of yours.")
    parent_refs: list[ParentReference] | None = Field(
        default=None, min_length=1, max_length=8, description="mode Owned: Gateways that the route attaches to."
    )
    hostnames: list[Hostname] | None = Field(
        default=None, max_length=16, description="Hosts that the route answers for."
    )
    matches: list[dict[str, Any]] | None = Field(
        default=None,
        min_length=1,
        max_length=8,
        description="HTTPRouteMatch list, as in the Gateway API. Default: the path prefix /v2/models/<name>.",
    )
    preview: Preview | None = Field(
        default=None,
        description=(
            "Requests with this header (gRPC: metadata) go to the new version, whatever its weight, from its checks on until it is "
            "promoted or taken back; without a new version they are requests like any other. Default: none do."
        ),
    )
    grpc: GrpcTraffic | None = Field(default=None, description="gRPC, on hosts of its own.")

    @model_validator(mode="after")
    def _mode_has_its_fields(self) -> Self:
        if (self.mode == "Adopted") != (self.route_ref is not None):
            raise ValueError(
                "routeRef goes with mode: Adopted, and mode: Adopted needs routeRef: {name: <your HTTPRoute>}"
            )
        if self.mode != "Adopted" and self.parent_refs is None:
            raise ValueError(
                "parentRefs is missing; name the Gateways that the route attaches to, or adopt a route of yours "
                "with mode: Adopted and routeRef"
            )
        given = [
            field for name, field in _OF_OWNED.items() if self.mode == "Adopted" and getattr(self, name) is not None
        ]
        if given:
            raise ValueError(f"{', '.join(given)}: not with mode: Adopted, where your own route says it; remove it")
        return self

    @model_validator(mode="after")
    def _grpc_has_hosts_of_its_own(self) -> Self:
        for index, host in enumerate(self.grpc.hostnames if self.grpc else []):
            if host in (self.hostnames or []):
                raise ValueError(
                    f"grpc.hostnames[{index}]: {host} is in hostnames too, but a Gateway takes a host for HTTP or for gRPC; "
                    "give gRPC a host of its own"
                )
        return self


class IstioTraffic(ApiModel):
    """Traffic through a VirtualService of Istio that Luntra creates and owns."""

    cel_rules: ClassVar = (
        (
            "!self.gateways.exists(g, g == 'mesh')",
            "gateways: 'mesh' means the sidecars of all clients, which is not supported; name a Gateway, e.g. istio-ingress/public",
        ),
    )

    gateways: list[IstioGateway] = Field(
        min_length=1,
        max_length=8,
        description="Istio's Gateways, namespace/name, that the VirtualService attaches to. Default namespace: the object's.",
    )
    hosts: list[FullHostname] = Field(
        min_length=1, max_length=16, description="Hosts that it answers for, with at least one dot."
    )
    matches: list[dict[str, Any]] | None = Field(
        default=None,
        min_length=1,
        max_length=8,
        description="HTTPMatchRequest list, as in Istio. Default: the path /v2/models/<name> and all below it.",
    )

    @field_validator("gateways")
    @classmethod
    def _no_sidecars(cls, gateways: list[str]) -> list[str]:
        if "mesh" in gateways:
            raise ValueError(
                "'mesh' means the sidecars of all clients, which is not supported; name a Gateway, e.g. istio-ingress/public"
            )
        return gateways


class Probe(ApiModel):
    """How the operator reaches the data plane when the Gateway's status does not tell."""

    url: str = Field(
        max_length=2048,
        pattern=r"^https?://[^/]+/?$",
        description="Base URL of the gateway's listener as seen by the operator.",
    )


class Session(ApiModel):
    """Which requests belong together."""

    header: HeaderName = Field(description="The request header whose value names the session, e.g. x-session-id.")


class Traffic(ApiModel):
    """What splits the users' traffic; without it only the Service <name> exists."""

    cel_rules: ClassVar = (
        (
            "!has(self.gateway) || !has(self.istio)",
            "gateway and istio exclude each other: one of them divides the traffic; remove the other",
        ),
    )

    gateway: GatewayTraffic | None = Field(default=None, description="Gateway API.")
    istio: IstioTraffic | None = Field(default=None, description="Istio.")
    session: Session | None = Field(
        default=None,
        description=(
            "Requests of a session stay with their version. Neither gateway nor istio can keep sessions so far: no rollout begins "
            "then. Without both each session moves once, at promotion."
        ),
    )
    probe: Probe | None = Field(default=None, description="Where the operator can ask the data plane.")

    @model_validator(mode="after")
    def _one_provider(self) -> Self:
        if self.gateway and self.istio:
            raise ValueError("gateway and istio exclude each other: one of them divides the traffic; remove the other")
        return self
