"""Read Secrets and ConfigMaps of users for the sources of metrics: their port, over the API server."""

import base64
from typing import Any

from luntra_operator.kube import kinds
from luntra_operator.kube.client import Kube
from luntra_operator.kube.errors import KubeError, NotPermittedError
from luntra_operator.sources.errors import Misconfigured, Unavailable


class Borrowing:
    """Both read one key as text, and raise SourceError where there is none to be had."""

    def __init__(self, kube: Kube) -> None:
        """Read through `kube`."""
        self._kube = kube

    async def secret(self, namespace: str, name: str, key: str) -> str:
        """A key of a Secret."""
        try:
            found = await self._kube.get(kinds.SECRET, namespace, name)
        except KubeError as error:
            raise _unread("Secret", namespace, name, error) from error
        encoded = _entry("Secret", namespace, name, key, found)
        try:
            return base64.b64decode(encoded).decode()
        except ValueError:
            # From None: a message about bytes that are no text quotes them.
            raise Misconfigured(f"key {key} of Secret {name} in namespace {namespace} is no text in UTF-8") from None

    async def config_map(self, namespace: str, name: str, key: str) -> str:
        """A key of a ConfigMap."""
        try:
            found = await self._kube.get(kinds.CONFIG_MAP, namespace, name)
        except KubeError as error:
            raise _unread("ConfigMap", namespace, name, error) from error
        return _entry("ConfigMap", namespace, name, key, found)


def _entry(kind: str, namespace: str, name: str, key: str, found: dict[str, Any] | None) -> str:
    if found is None:
        raise Misconfigured(f"there is no {kind} {name} in namespace {namespace}: create it, or correct the reference")
    try:
        text: str = (found.get("data") or {})[key]
    except KeyError:
        raise Misconfigured(
            f"{kind} {name} in namespace {namespace} has no key {key}: add it, or correct the reference"
        ) from None
    return text


def _unread(kind: str, namespace: str, name: str, error: KubeError) -> Misconfigured | Unavailable:
    if isinstance(error, NotPermittedError):
        fix = "set sources.secrets of its chart, or give it a Role that may get this one"
        return Misconfigured(f"the operator may not read {kind} {name} in namespace {namespace}: {fix}")
    return Unavailable(f"{kind} {name} in namespace {namespace} cannot be read now: {error}")
