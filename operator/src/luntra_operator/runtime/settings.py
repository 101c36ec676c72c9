"""Settings of the operator, from environment variables that the Helm chart sets."""

import json
import os
import socket
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated

from pydantic import Field, ValidationError

from luntra_operator.api.base import ApiModel
from luntra_operator.fleet.budget import Budget
from luntra_operator.sources.hosts import Hosts, parse

_EXAMPLE = (
    'write it like {"resource": "nvidia.com/gpu", "total": 16, "perNamespace": 4, "namespaces": {"team-a": 8}}'
    " with whole numbers, or leave it out to count none"
)


class SettingsError(ValueError):
    """A setting is missing or wrong; the message names the variable, its value and the fix."""


class Accelerators(ApiModel):
    """The value of LUNTRA_ACCELERATORS, in JSON: whole units of one extended resource."""

    resource: str = Field(pattern=r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?/[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?$")
    total: int = Field(ge=1, strict=True)
    per_namespace: int | None = Field(default=None, ge=0, strict=True)
    namespaces: dict[str, Annotated[int, Field(ge=0, strict=True)]] = Field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Settings:
    """`namespaces` empty means all of them; without `accelerators` nobody counts any.

    `prometheus` is asked where a query names no address; only `source_hosts` (it is one of them) are asked for metrics.
    """

    serving_image: str
    check_image: str
    namespace: str
    identity: str
    namespaces: tuple[str, ...] = ()
    workers: int = 8
    port: int = 8080
    leader_election: bool = True
    accelerators: Budget | None = None
    prometheus: str = ""
    source_hosts: Hosts = field(default_factory=Hosts)

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> "Settings":
        """Read LUNTRA_* variables.

        Raises:
            SettingsError: one is missing or malformed.
        """
        namespaces = environment.get("LUNTRA_WATCH_NAMESPACES", "")
        prometheus = environment.get("LUNTRA_PROMETHEUS", "").strip()
        return cls(
            serving_image=_required(environment, "LUNTRA_SERVING_IMAGE", "the default inference image"),
            check_image=_required(
                environment, "LUNTRA_CHECK_IMAGE", "the image of check Jobs, normally the operator's own"
            ),
            namespace=environment.get("LUNTRA_NAMESPACE", "default"),
            identity=environment.get("LUNTRA_IDENTITY") or socket.gethostname(),
            namespaces=tuple(name.strip() for name in namespaces.split(",") if name.strip()),
            workers=_number(environment, "LUNTRA_WORKERS", 8),
            port=_number(environment, "LUNTRA_PORT", 8080),
            leader_election=environment.get("LUNTRA_LEADER_ELECTION", "true").lower() != "false",
            accelerators=_accelerators(environment.get("LUNTRA_ACCELERATORS", "")),
            prometheus=prometheus,
            source_hosts=_hosts(environment.get("LUNTRA_SOURCE_HOSTS", ""), prometheus),
        )


def _required(environment: Mapping[str, str], name: str, meaning: str) -> str:
    value = environment.get(name, "").strip()
    if not value:
        raise SettingsError(f"{name} is not set; it names {meaning}")
    return value


def _number(environment: Mapping[str, str], name: str, default: int) -> int:
    value = environment.get(name, "").strip()
    if not value:
        return default
    if not value.isdecimal() or int(value) < 1:
        raise SettingsError(f"{name} is {value!r}; give a whole number of at least 1")
    return int(value)


def _hosts(listed: str, prometheus: str) -> Hosts:
    try:
        parse(listed)
    except ValueError as error:
        raise SettingsError(f"LUNTRA_SOURCE_HOSTS: {error}") from error
    try:
        return parse(listed, prometheus)
    except ValueError as error:
        raise SettingsError(f"LUNTRA_PROMETHEUS: {error}") from error


def _accelerators(value: str) -> Budget | None:
    try:
        found = json.loads(value) if value.strip() else {}
        if found == {}:
            return None
        read = Accelerators.model_validate(found)
    except ValidationError as error:
        wrong = "; ".join(f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors())
        raise SettingsError(f"LUNTRA_ACCELERATORS is {value!r}: {wrong}; {_EXAMPLE}") from error
    except ValueError as error:
        raise SettingsError(f"LUNTRA_ACCELERATORS is {value!r}, which is no JSON: {error}; {_EXAMPLE}") from error
    return Budget(read.resource, read.total, read.per_namespace, read.namespaces)
