"""Where a metric of live traffic that Luntra does not measure itself comes from: Prometheus, a URL, a container of yours.

Types only. How a source is asked is `luntra_operator.sources`; what its answer means is judged elsewhere. In `query`, `url`
(path and query), `command`, `args` and `env` nothing is executed: `{{ name }}` and its like are names that Kubernetes has checked.
"""

from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, StringConstraints, field_validator, model_validator

from .base import ApiModel
from .quantities import Duration, seconds
from .resources import ResourceRequirements

PLACEHOLDERS = ("namespace", "name", "revision", "stableRevision", "workload", "stableWorkload", "window")
"""What a template may name in double braces."""

_ADDRESS = r"https?://([A-Za-z0-9][A-Za-z0-9._-]*|\[[0-9A-Fa-f:.]+\])(:[0-9]{1,5})?"
_NOT_OURS = (
    "host",
    "content-length",
    "content-type",
    "connection",
    "transfer-encoding",
    "te",
    "upgrade",
    "expect",
    "accept-encoding",
)
"""Headers that belong to the exchange itself."""

_TOLD = "It is filled in for each look: " + ", ".join(f"{{{{ {name} }}}}" for name in PLACEHOLDERS) + "."

Name = Annotated[str, StringConstraints(min_length=1, max_length=253, pattern=r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$")]
Key = Annotated[str, StringConstraints(min_length=1, max_length=253, pattern=r"^[-._a-zA-Z0-9]+$")]


def _bounds(field: str, least: int, most: int) -> tuple[str, str]:
    span = f"duration(self.{field})"
    rule = f"!has(self.{field}) || ({span} >= duration('{least}s') && {span} <= duration('{most}s'))"
    return rule, f"{field} must be at least {least}s and at most {most}s"


def _within(field: str, value: str | None, least: int, most: int) -> str | None:
    if value is not None and not least <= seconds(value) <= most:
        raise ValueError(f"{field} is {value}: give at least {least}s and at most {most}s")
    return value


class SecretKey(ApiModel):
    """One key of a Secret in the object's own namespace."""

    name: Name = Field(description="Name of the Secret.")
    key: Key = Field(description="Key in it.")


class ConfigKey(ApiModel):
    """One key of a ConfigMap in the object's own namespace."""

    name: Name = Field(description="Name of the ConfigMap.")
    key: Key = Field(description="Key in it.")


class SecretHeader(SecretKey):
    """A header of a request whose value is in a Secret."""

    cel_rules: ClassVar = (
        (
            f"!(self.header.lowerAscii() in {list(_NOT_OURS)})",
            f"header must not be one of the exchange's own: {', '.join(_NOT_OURS)}",
        ),
    )

    header: str = Field(
        min_length=1,
        max_length=64,
        pattern=r"^[A-Za-z0-9-]+$",
        description="Name of the header, such as Authorization.",
    )

    @field_validator("header")
    @classmethod
    def _header(cls, header: str) -> str:
        if header.lower() in _NOT_OURS:
            raise ValueError(f"header is {header}, which belongs to the exchange itself: use another one")
        return header


class _Asked(ApiModel):
    """What all sources have that are asked over HTTP."""

    timeout: Duration | None = Field(
        default=None, description="Time for the whole answer, 1s to 30s. Default 5s. A later one is no answer."
    )
    ca_secret_ref: SecretKey | None = Field(
        default=None,
        description="CA certificates (PEM) to trust instead of the usual ones, in a Secret of this namespace.",
    )
    ca_config_map_ref: ConfigKey | None = Field(default=None, description="The same, in a ConfigMap of this namespace.")

    @property
    def time_limit(self) -> float:
        """Seconds for the whole answer."""
        return seconds(self.timeout) if self.timeout else 5.0

    @field_validator("timeout")
    @classmethod
    def _timeout(cls, timeout: str | None) -> str | None:
        return _within("timeout", timeout, 1, 30)

    @model_validator(mode="after")
    def _one_authority(self) -> Self:
        if self.ca_secret_ref is not None and self.ca_config_map_ref is not None:
            raise ValueError("caSecretRef and caConfigMapRef are both given: leave one of them out")
        return self


_ONE_CA = (
    "!has(self.caSecretRef) || !has(self.caConfigMapRef)",
    "caSecretRef and caConfigMapRef exclude each other: leave one of them out",
)


class PrometheusQuery(_Asked):
    """The value of a PromQL query now: a scalar, or a vector of one element."""

    cel_rules: ClassVar = (_bounds("timeout", 1, 30), _ONE_CA)

    address: str | None = Field(
        default=None,
        min_length=8,
        max_length=1024,
        pattern=rf"^{_ADDRESS}(/[A-Za-z0-9._~/-]*)?$",
        description="Base address of the Prometheus, http(s)://host:port[/prefix]. Default: the operator's. Other hosts must be on "
        "the operator's list (sources.hosts of its chart).",
    )
    query: str = Field(
        min_length=1,
        max_length=4096,
        description=f"PromQL whose value is one number. No data: an empty vector, NaN, an infinity. {_TOLD}",
    )
    bearer_token_secret_ref: SecretKey | None = Field(
        default=None, description="Bearer token to send, in a Secret of this namespace."
    )


class WebQuery(_Asked):
    """A number in a JSON document that a URL answers."""

    cel_rules: ClassVar = (_bounds("timeout", 1, 30), _ONE_CA)

    url: str = Field(
        min_length=8,
        max_length=2048,
        pattern=rf"^{_ADDRESS}([/?]([^\s#\\{{}}]|\{{\{{ *[A-Za-z]+ *\}}\}})*)?$",
        description="What is asked, by GET and without following redirects; its host must be on the operator's list "
        f"(sources.hosts of its chart). Path and query may be a template. {_TOLD}",
    )
    json_path: str = Field(
        min_length=1,
        max_length=256,
        pattern=r"^\$",
        description="Where the number is in the answer, as JSONPath (RFC 9535) without `..` and functions and with at most one "
        "wildcard, slice or filter: $.data[?@.name == 'errors'].value. Nothing there, or null, is no data.",
    )
    method: Literal["GET"] | None = Field(default=None, description="GET.")
    headers: list[SecretHeader] | None = Field(
        default=None, max_length=8, description="Headers to send, with values from Secrets of this namespace."
    )


class Variable(ApiModel):
    """An environment variable of a container."""

    cel_rules: ClassVar = (
        ("has(self.value) != has(self.secretKeyRef)", "give either value or secretKeyRef"),
        ("!self.name.startsWith('LUNTRA_')", "names that begin with LUNTRA_ are the operator's: choose another one"),
    )

    name: str = Field(min_length=1, max_length=128, pattern=r"^[A-Za-z_][A-Za-z0-9_]*$", description="Its name.")
    value: str | None = Field(default=None, max_length=4096, description="Its value.")
    secret_key_ref: SecretKey | None = Field(default=None, description="Its value is in a Secret of this namespace.")

    @model_validator(mode="after")
    def _one_value(self) -> Self:
        if (self.value is None) == (self.secret_key_ref is None):
            raise ValueError(f"env {self.name}: give either value or secretKeyRef")
        if self.name.startswith("LUNTRA_"):
            raise ValueError(f"env {self.name}: names that begin with LUNTRA_ are the operator's: choose another one")
        return self


class JobQuery(ApiModel):
    """A container of yours that measures, and leaves its verdict as JSON."""

    cel_rules: ClassVar = (_bounds("timeout", 1, 3600),)

    image: str = Field(min_length=1, max_length=512, description="Its image.")
    command: list[Annotated[str, StringConstraints(max_length=4096)]] | None = Field(
        default=None, max_length=32, description="Entrypoint. Default: the image's."
    )
    args: list[Annotated[str, StringConstraints(max_length=4096)]] | None = Field(
        default=None, max_length=64, description="Arguments. Default: the image's."
    )
    env: list[Variable] | None = Field(
        default=None, max_length=64, description="Environment; LUNTRA_* are added, which say whom to measure."
    )
    resources: ResourceRequirements | None = Field(default=None, description="Resources of the container.")
    timeout: Duration | None = Field(
        default=None,
        description="Time for one run, 1s to 1h. Default 5m; 2 minutes more are given for its pod to start.",
    )

    @field_validator("timeout")
    @classmethod
    def _timeout(cls, timeout: str | None) -> str | None:
        return _within("timeout", timeout, 1, 3600)

    @property
    def time_limit(self) -> float:
        """Seconds for one run."""
        return seconds(self.timeout) if self.timeout else 300.0
