"""A small client of the API server: get, list, create, apply, patch, replace_status, delete.

Objects are plain dicts. Every failure is one of `kube.errors`. Nothing is retried here: whoever asked
decides what a failure means. Requests that get no answer in time raise UnavailableError.
"""

import json
import os
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import aiohttp
from kubernetes.aio import config
from kubernetes.aio.client import ApiClient, Configuration

from luntra_operator.api.vocabulary import FIELD_MANAGER

from .errors import ConflictError, KubeError, NotFoundError, UnavailableError, from_response
from .kinds import Kind, place

REQUEST_TIMEOUT = 15.0
"""Seconds until a request without an answer counts as failed."""

Witness = Callable[[str, str, str, float], None]
"""Hears of every request: verb (as in RBAC), plural of the kind, HTTP status or `none` or `conflict`, seconds."""

_VERBS = {"POST": "create", "PATCH": "patch", "PUT": "update", "DELETE": "delete"}

PAGE = 500
"""Objects of one answer, where only their metadata are asked for."""

_METADATA = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"
_APPLY = "application/apply-patch+yaml"
_JSON_PATCH = "application/json-patch+json"
_MERGE_PATCH = "application/merge-patch+json"


class Kube:
    """Access to one API server, as one identity. Use `Kube.connect()`."""

    def __init__(
        self,
        client: ApiClient,
        field_manager: str = FIELD_MANAGER,
        witness: Witness = lambda *_: None,
        permitted: Callable[[], bool] = lambda: True,
    ) -> None:
        """Wrap a configured API client; the caller closes it. What is written is the `field_manager`'s."""
        self._client, self._manager, self._witness, self._permitted = client, field_manager, witness, permitted

    def fenced(self, permitted: Callable[[], bool]) -> "Kube":
        """The same access for work that must not write any more once it is not `permitted`: then UnavailableError."""
        return Kube(self._client, self._manager, self._witness, permitted)

    @classmethod
    @asynccontextmanager
    async def connect(
        cls,
        context: str | None = None,
        kubeconfig: str | None = None,
        field_manager: str = FIELD_MANAGER,
        witness: Witness = lambda *_: None,
    ) -> AsyncIterator[Self]:
        """Connect as a pod does when run in one, else by kubeconfig (argument, $KUBECONFIG or the default place).

        Raises:
            KubeError: there is no usable configuration.
        """
        settings = Configuration()
        try:
            if _in_cluster() and not (context or kubeconfig):
                config.load_incluster_config(client_configuration=settings)
            else:
                file = kubeconfig or os.environ.get("KUBECONFIG")  # the library looks when it is imported
                await config.load_kube_config(config_file=file, context=context, client_configuration=settings)
        except (config.ConfigException, OSError) as error:
            raise KubeError(
                f"no usable kubeconfig: {error}; set KUBECONFIG or pass --kubeconfig and --context"
            ) from error
        # aiohttp would otherwise read ~/.netrc and the environment for each request, in a thread; and what ~/.netrc has for the
        # host would collide with the token.
        settings.client_session_kwargs = {"trust_env": False}
        settings.proxy = settings.proxy or _proxy(settings.host)
        async with ApiClient(configuration=settings) as client:
            yield cls(client, field_manager, witness)

    async def get(self, kind: Kind, namespace: str | None, name: str) -> dict[str, Any] | None:
        """The object, or None if it does not exist.

        Raises:
            KubeError: any other answer than the object or NotFound.
        """
        try:
            return await self._request("GET", kind.path(namespace, name))
        except NotFoundError:
            return None

    async def versions(self, kind: Kind, namespace: str | None, selector: str = "") -> list[dict[str, Any]]:
        """The metadata alone of all objects of a kind, in pages: what tells whether they have changed, for little memory.

        Raises:
            KubeError: a request failed.
        """
        found: list[dict[str, Any]] = []
        query = {"limit": str(PAGE)} | ({"labelSelector": selector} if selector else {})
        while True:
            answer = await self._request("GET", kind.path(namespace), query, accept=_METADATA)
            for item in answer["items"] or ():  # null, not [], where there is none
                item["metadata"].pop("managedFields", None)
                found.append(item["metadata"])
            if not (token := answer["metadata"].get("continue")):
                return found
            query["continue"] = token

    async def list(self, kind: Kind, namespace: str | None, selector: str | None = None) -> list[dict[str, Any]]:
        """All objects of a kind in a namespace (None: in all), optionally by label selector.

        Raises:
            KubeError: the request failed.
        """
        query = {"labelSelector": selector} if selector else {}
        answer = await self._request("GET", kind.path(namespace), query)
        items: list[dict[str, Any]] = answer["items"]
        # Items of a list carry no type of their own.
        return [{"apiVersion": kind.api_version, "kind": kind.kind, **item} for item in items]

    async def create(self, kind: Kind, body: dict[str, Any]) -> dict[str, Any]:
        """Create an object.

        Raises:
            ConflictError: it exists.
            KubeError: the request failed.
        """
        return await self._request("POST", kind.path(_namespace(body)), {"fieldManager": self._manager}, body=body)

    async def apply(self, kind: Kind, body: dict[str, Any]) -> dict[str, Any]:
        """Server-side apply the whole object under our field manager.

        Raises:
            KubeError: the request failed.
        """
        query = {"fieldManager": self._manager, "force": "true"}
        return await self._request("PATCH", kind.path(_namespace(body), body["metadata"]["name"]), query, body, _APPLY)

    async def patch(
        self, kind: Kind, namespace: str, name: str, operations: Sequence[Mapping[str, Any]]
    ) -> dict[str, Any]:
        """JSON Patch (RFC 6902).

        Raises:
            ConflictError: a `test` operation did not hold.
            KubeError: the request failed.
        """
        return await self._request(
            "PATCH", kind.path(namespace, name), {"fieldManager": self._manager}, list(operations), _JSON_PATCH
        )

    async def merge(self, kind: Kind, namespace: str, name: str, change: dict[str, Any]) -> dict[str, Any]:
        """JSON Merge Patch (RFC 7386).

        Raises:
            KubeError: the request failed.
        """
        return await self._request(
            "PATCH", kind.path(namespace, name), {"fieldManager": self._manager}, change, _MERGE_PATCH
        )

    async def replace(self, kind: Kind, body: dict[str, Any]) -> dict[str, Any]:
        """Replace an object if it is still at the resourceVersion that `body` carries.

        Raises:
            ConflictError: it has changed meanwhile.
            KubeError: the request failed.
        """
        path = kind.path(_namespace(body), body["metadata"]["name"])
        return await self._request("PUT", path, {"fieldManager": self._manager}, body)

    async def replace_status(self, kind: Kind, body: dict[str, Any]) -> dict[str, Any]:
        """Replace an object's status, with the same precondition as `replace`.

        Raises:
            ConflictError: the object has changed meanwhile.
            KubeError: the request failed.
        """
        path = kind.path(_namespace(body), body["metadata"]["name"], "status")
        return await self._request("PUT", path, {"fieldManager": self._manager}, body)

    async def delete(self, kind: Kind, namespace: str | None, name: str) -> None:
        """Delete an object and, in the background, what it owns; no error if it is gone already.

        Raises:
            KubeError: the request failed.
        """
        try:
            await self._request("DELETE", kind.path(namespace, name), body={"propagationPolicy": "Background"})
        except NotFoundError:
            return

    async def _request(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None = None,
        body: Any = None,
        content_type: str = "application/json",
        accept: str = "application/json",
    ) -> dict[str, Any]:
        """One request, told to the witness however it ends."""
        started, code = time.monotonic(), "none"
        try:
            status, text = await self._exchange(method, path, query, body, content_type, accept)
            code = str(status)
            if status >= 400:
                raise from_response(f"{method} {path}", status, text)
            result: dict[str, Any] = json.loads(text)
        except ValueError as error:  # a proxy in between answers for itself
            raise UnavailableError(f"{method} {path}: the answer is no JSON: {text[:300]!r}") from error
        except ConflictError:
            code = "conflict"
            raise
        finally:
            where = place(path)
            verb = _VERBS.get(method) or ("get" if where.name else "list")
            self._witness(verb, where.plural, code, time.monotonic() - started)
        return result

    async def _exchange(
        self, method: str, path: str, query: Mapping[str, str] | None, body: Any, content_type: str, accept: str
    ) -> tuple[int, str]:
        """Status and text of the answer."""
        headers = {"Accept": accept, "Content-Type": content_type}
        try:
            _, url, sent, _, _ = await self._client.param_serialize(
                method,
                path,
                query_params=list((query or {}).items()),
                header_params=headers,
                auth_settings=["BearerToken"],
            )
            if method != "GET" and not self._permitted():
                raise UnavailableError(f"{method} {path}: not sent, for this process is not the leader any more")
            answer = await self._client.call_api(method, url, sent, body, _request_timeout=REQUEST_TIMEOUT)
            return answer.status, (await answer.read()).decode(errors="replace")
        except (TimeoutError, aiohttp.ClientError, OSError) as error:
            told = f"{method} {path}: no answer from the API server: {str(error) or type(error).__name__}"
            raise UnavailableError(told) from error


def _proxy(url: str) -> str | None:
    """The proxy that the environment names for the API server; looked up once."""
    parts = urlsplit(url)
    return None if proxy_bypass(parts.hostname or "") else getproxies().get(parts.scheme)


def _in_cluster() -> bool:
    return Path("/var/run/secrets/kubernetes.io/serviceaccount/token").exists()


def _namespace(body: dict[str, Any]) -> str | None:
    namespace: str | None = body["metadata"].get("namespace")
    return namespace
