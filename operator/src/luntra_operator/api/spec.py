"""`spec` of a ModelDeployment: what a user declares.

Nothing below `model` and `serving` has a default in the schema: the revision is the hash of what
the user wrote there, and an API default could not be told from it. The operator's own defaults for
these are properties of the types here and are kept, once resolved, in the ControllerRevision.
"""

from typing import Annotated, Any, ClassVar, Self

from pydantic import Field, StringConstraints, field_validator, model_validator

from .analysis import Analysis
from .base import ApiModel
from .quantities import Duration, seconds
from .resources import ResourceRequirements
from .rollout import Checks, Deadlines, Rollout, Step
from .sources import SecretKey
from .traffic import GatewayTraffic, IstioTraffic, Preview, RouteReference, Session, Traffic

Digest = Annotated[str, StringConstraints(pattern=r"^sha256:[0-9a-f]{64}$")]
DnsLabel = Annotated[str, StringConstraints(pattern=r"^[a-z]([-a-z0-9]*[a-z0-9])?$", max_length=63)]


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


class Feedback(ApiModel):
    """Who may tell the pods what became of their predictions."""

    token_secret_ref: SecretKey = Field(
        description="The bearer token of POST /v2/models/{name}/feedback on the pods' management port."
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
    feedback: Feedback | None = Field(
        default=None, description="Takes feedback, which metrics of accuracy are made from. Default: none is taken."
    )
    pod_template: dict[str, Any] | None = Field(
        default=None,
        description=(
            "Strategic merge patch over the generated pod template (metadata, spec). "
            "hostPath, host namespaces, privileged containers and other service accounts are refused."
        ),
    )


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
    def grpc(self) -> bool:
        """Whether gRPC is divided too, beside HTTP."""
        return self.gateway is not None and self.gateway.grpc is not None

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
    def analysis(self) -> Analysis | None:
        """What live traffic must look like, None where nothing is declared."""
        return self.rollout.analysis if self.rollout else None

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
