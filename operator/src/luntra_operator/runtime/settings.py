"""Settings of the operator, from environment variables that the Helm chart sets."""

import os
import socket
from collections.abc import Mapping
from dataclasses import dataclass


class SettingsError(ValueError):
    """A setting is missing or wrong; the message names the variable, its value and the fix."""


@dataclass(frozen=True, slots=True)
class Settings:
    """`namespaces` empty means all of them."""

    serving_image: str
    check_image: str
    namespace: str
    identity: str
    namespaces: tuple[str, ...] = ()
    workers: int = 8
    port: int = 8080
    leader_election: bool = True

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> "Settings":
        """Read LUNTRA_* variables.

        Raises:
            SettingsError: one is missing or malformed.
        """
        namespaces = environment.get("LUNTRA_WATCH_NAMESPACES", "")
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
