"""`spec` of a ModelDeployment: what a user declares.

Nothing below `model` and `serving` has a default in the schema: the revision is the hash of what
the user wrote there, and an API default could not be told from it. The operator's own defaults for
these are properties of the types here and are kept, once resolved, in the ControllerRevision.
"""

from itertools import pairwise
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, StringConstraints, field_validator, model_validator

from .base import ApiModel
from .checks import BenchmarkCheck, EvaluationCheck
from .quantities import DURATION_PATTERN, QUANTITY_PATTERN, seconds

Duration = Annotated[str, StringConstraints(pattern=DURATION_PATTERN, max_length=32)]
Whole = Annotated[int, Field(ge=0, strict=True)]
Quantity = Annotated[str, StringConstraints(pattern=QUANTITY_PATTERN, max_length=32)]
Digest = Annotated[str, StringConstraints(pattern=r"^sha256:[0-9a-f]{64}$")]
DnsLabel = Annotated[str, StringConstraints(pattern=r"^[a-z]([-a-z0-9]*[a-z0-9])?$", max_length=63)]
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


class ConfigMapKey(ApiModel):
    """One key of a ConfigMap in the object's namespace."""

    name: str = Field(min_length=1, max_length=253, description="Name of the ConfigMap.")
    key: str | None = Field(default=None, min_length=1, max_length=253, description="Key in it. Default ca.crt.")

    @property
    def entry(self) -> str:
        """The key, ca.crt if none is given."""
        return self.key or "ca.crt"


class Model(ApiModel):
    """Which model is served: its public name, the version and where its bundle lies."""

    cel_rules: ClassVar = (
        (
            "self.uri.startsWith('https://') || self.uri.startsWith('file:///')",
            "uri must start with https:// or file:///; other schemes (s3, oci, hf, ...) are not supported yet",
        ),
    )

    name: DnsLabel | None = Field(
        default=None,
        description="Name in the URL, /v2/models/<name>. Default: the object's name. It cannot be changed later.",
    )
    version: str = Field(
        min_length=1,
        max_length=63,
        pattern=r"^[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?$",
        description="Your name for this version; shown in status, metrics and the x-model-version header.",
    )
    uri: str = Field(
        min_length=9,
        max_length=2048,
        description="Folder of the model bundle: https://host/path or file:///path. Other schemes are not supported yet.",
    )
    digest: Digest = Field(
        description="Digest of the bundle, as `luntra-bundle inspect` prints it: sha256:<64 hex digits>."
    )
    ca_config_map_ref: ConfigMapKey | None = Field(
        default=None,
        description="CA certificates (PEM) to trust instead of the image's own when bundle and evaluation set are fetched by https.",
    )

    @field_validator("uri")
    @classmethod
    def _supported_scheme(cls, uri: str) -> str:
        if not uri.startswith(("https://", "file:///")):
            raise ValueError(
                "it must start with https:// or file:///; other schemes (s3, oci, hf, ...) are not supported yet"
            )
        return uri


class ResourceRequirements(ApiModel):
    """Compute resources of the model server, as in a container."""

    limits: dict[str, Whole | Quantity] | None = Field(default=None, description="Upper bounds, e.g. {memory: 2Gi}.")
    requests: dict[str, Whole | Quantity] | None = Field(default=None, description="What the scheduler reserves.")


class ServerRuntime(ApiModel):
    """Limits of the model server in each pod."""

    max_queue: int | None = Field(
        default=None, ge=1, le=65536, description="Requests that may wait; more get 429. Default 256."
    )
    deadline: Duration | None = Field(default=None, description="Time limit of a request that names none. Default 30s.")
    max_batch: int | None = Field(default=None, ge=1, le=4096, description="Largest batch that is formed. Default 1.")
    batch_delay: Duration | None = Field(default=None, description="Longest wait for a fuller batch. Default 0s.")
    termination_delay: Duration | None = Field(
        default=None,
        description="How long a stopping pod still accepts requests, so that gateways can forget it. Default 5s.",
    )


class Serving(ApiModel):
    """How the model is served: image, resources, limits and the pod around them."""

    image: str | None = Field(
        default=None,
        min_length=1,
        max_length=512,
        description="Inference image. Default: the operator's setting at the time.",
    )
    resources: ResourceRequirements | None = Field(default=None, description="Resources of the server container.")
    runtime: ServerRuntime | None = Field(default=None, description="Limits of the model server.")
    pod_template: dict[str, Any] | None = Field(
        default=None,
        description=(
            "Strategic merge patch over the generated pod template (metadata, spec). "
            "hostPath, host namespaces, privileged containers and other service accounts are refused."
        ),
    )


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


class Step(ApiModel):
    """One step of the traffic shift: a weight and how long to stay there."""

    weight: int = Field(
        ge=1, le=99, description="Percent of requests that the new version gets; 100 is implied at the end."
    )
    hold: Duration | None = Field(
        default=None, description="Least time at this weight, counted from when the gateway follows it. Default 0s."
    )


class Checks(ApiModel):
    """What a candidate must pass before its first user request; they run in this order."""

    evaluation: EvaluationCheck | None = Field(default=None, description="Whether it is any good, on a labelled set.")
    benchmark: BenchmarkCheck | None = Field(default=None, description="Whether it is fast and steady enough.")


class Deadlines(ApiModel):
    """How long each part of a rollout may take before the candidate is given up."""

    ready: Duration | None = Field(default=None, description="Until all pods of the candidate are ready. Default 10m.")
    step: Duration | None = Field(default=None, description="Until the gateway follows a weight. Default 5m.")
    approval: Duration | None = Field(default=None, description="Until somebody approves. Default 24h.")


class Rollout(ApiModel):
    """How a new version takes over."""

    cel_rules: ClassVar = (
        (
            "!has(self.steps) || self.steps.all(s, self.steps.filter(t, t.weight == s.weight).size() == 1)"
            " && self.steps.map(s, s.weight).isSorted()",
            "steps: weights must increase from step to step, e.g. 5, 25, 50; 100 is implied at the end",
        ),
    )

    strategy: Literal["BlueGreen"] | None = Field(
        default=None, description="BlueGreen: a second set of pods beside the first."
    )
    steps: list[Step] | None = Field(
        default=None, max_length=20, description="Traffic steps. Default: straight to 100."
    )
    checks: Checks | None = Field(default=None, description="What a candidate must pass before its first user request.")
    approval: Literal["Never", "BeforeTraffic", "BeforePromotion"] | None = Field(
        default=None,
        description="When a new version waits for somebody's approval (luntra.io/approve). Default Never.",
    )
    soak: Duration | None = Field(
        default=None, description="How long the old version stays warm after promotion. Default 5m."
    )
    deadlines: Deadlines | None = Field(default=None, description="Time limits.")
    paused: bool | None = Field(default=None, description="true: the operator changes nothing at all and only reports.")

    @model_validator(mode="after")
    def _weights_increase(self) -> Self:
        weights = [step.weight for step in self.steps or []]
        for index, (lower, upper) in enumerate(pairwise(weights), 1):
            if upper <= lower:
                raise ValueError(
                    f"steps[{index}].weight: {upper} does not exceed the step before ({lower}); let weights increase"
                )
        return self


class ModelDeploymentSpec(ApiModel):
    """Desired state of one model behind one endpoint."""

    cel_rules: ClassVar = (
        (
            "has(self.model.name) == has(oldSelf.model.name) && (!has(self.model.name) || self.model.name == oldSelf.model.name)",
            "model.name cannot be changed: clients know the model by it; create a second ModelDeployment instead",
        ),
        (
            "!has(self.rollout) || !has(self.rollout.steps) || size(self.rollout.steps) == 0"
            " || (has(self.traffic) && (has(self.traffic.gateway) || has(self.traffic.istio)))",
            "rollout.steps needs traffic.gateway or traffic.istio: nothing else can split the traffic; remove steps or add one of them",
        ),
    )

    model: Model = Field(description="Which model is served.")
    serving: Serving | None = Field(default=None, description="How it is served.")
    replicas: int = Field(
        default=1, ge=0, le=1000, description="Pods of each version; also set through the scale subresource."
    )
    traffic: Traffic | None = Field(default=None, description="What splits the traffic.")
    rollout: Rollout | None = Field(default=None, description="How a new version takes over.")

    @model_validator(mode="after")
    def _steps_need_a_gateway(self) -> Self:
        if self.steps and not self.divides:
            raise ValueError(
                "rollout.steps needs traffic.gateway or traffic.istio: nothing else can split the traffic; remove steps or add one of them"
            )
        return self

    @property
    def gateway(self) -> GatewayTraffic | None:
        """The Gateway API provider, if the traffic goes through one."""
        return self.traffic.gateway if self.traffic else None

    @property
    def istio(self) -> IstioTraffic | None:
        """The Istio provider, if the traffic goes through one."""
        return self.traffic.istio if self.traffic else None

    @property
    def adopted(self) -> RouteReference | None:
        """The user's own rule that carries the traffic, if one does."""
        return self.gateway.route_ref if self.gateway else None

    @property
    def divides(self) -> bool:
        """Whether something can split the traffic; without it all of it moves at once."""
        return self.gateway is not None or self.istio is not None

    @property
    def preview(self) -> Preview | None:
        """How to reach a new version whatever its weight, if there is a way."""
        return self.gateway.preview if self.gateway else None

    @property
    def session(self) -> Session | None:
        """Which requests have to stay with one version, if any."""
        return self.traffic.session if self.traffic else None

    @property
    def steps(self) -> list[Step]:
        """The declared traffic steps, without the implied one to 100."""
        return (self.rollout.steps or []) if self.rollout else []

    @property
    def checks(self) -> Checks:
        """The declared checks; none if none are declared."""
        return (self.rollout.checks if self.rollout else None) or Checks()

    @property
    def paused(self) -> bool:
        """Whether the operator must leave everything as it is."""
        return bool(self.rollout and self.rollout.paused)

    @property
    def soak(self) -> float:
        """Seconds for which the old version stays warm after promotion."""
        return seconds((self.rollout.soak if self.rollout else None) or "5m")

    @property
    def ready_deadline(self) -> float:
        """Seconds for all pods of a candidate to be ready."""
        return seconds((self._deadlines and self._deadlines.ready) or "10m")

    @property
    def step_deadline(self) -> float:
        """Seconds for the gateway to follow a weight."""
        return seconds((self._deadlines and self._deadlines.step) or "5m")

    @property
    def approval(self) -> str:
        """When a person has to approve a new version."""
        return (self.rollout.approval if self.rollout else None) or "Never"

    @property
    def approval_deadline(self) -> float:
        """Seconds for somebody to approve."""
        return seconds((self._deadlines and self._deadlines.approval) or "24h")

    @property
    def _deadlines(self) -> Deadlines | None:
        return self.rollout.deadlines if self.rollout else None
