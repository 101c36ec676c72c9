"""The rest of the cluster, the same for both contenders: a kubelet and a gateway that do at once what they are asked.

Pods are bound and Ready as soon as they exist; every HTTPRoute is accepted, and requests to the data plane are answered by
the weights that it has. Nothing is polled, so that what is measured has the machine for itself.
"""

from __future__ import annotations

import asyncio
import json
import random
import ssl
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import aiohttp
from aiohttp import web

from luntra_operator.api.vocabulary import LABEL_REVISION
from luntra_operator.kube import kinds
from luntra_operator.kube.errors import ConflictError, NotFoundError
from tests.integration.actors import NODE, accepted, crashed, running, set_status

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from e2e.kind.control_plane import ApiServer
    from luntra_operator.kube.client import Kube

Object = dict[str, Any]


class World:
    """Kubelet, gateway controller and data plane; `run` plays all of them."""

    def __init__(self, kube: Kube, server: ApiServer) -> None:
        """Write through `kube`, watch as the administrator of `server`."""
        self._kube, self._server = kube, server
        self._address = 0
        self._weights: dict[str, tuple[str, dict[str, int]]] = {}
        self._revisions: dict[tuple[str, str], str] = {}

    async def run(self) -> None:
        """Act until cancelled."""
        with suppress(ConflictError):
            node = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": NODE}}
            await self._kube.create(kinds.Kind("", "v1", "nodes", "Node"), node)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._kubelet())
            tasks.create_task(self._gateway())
            tasks.create_task(self._workloads())

    async def crash(self, namespace: str, owner: str) -> Object:
        """Let a pod whose name begins with `owner` crash once; the pod as it was."""
        pods = await self._kube.list(kinds.POD, namespace)
        pod = next(
            pod
            for pod in pods
            if pod["metadata"]["name"].startswith(owner) and "-primary-" not in pod["metadata"]["name"]
        )
        died = crashed(139, "segmentation fault")(pod)
        await self._kube.replace_status(kinds.POD, {**pod, "status": {**pod["status"], **died}})
        return pod

    async def revive(self, pod: Object) -> None:
        """Make a pod ready again, if it still exists."""
        found = await self._kube.get(kinds.POD, pod["metadata"]["namespace"], pod["metadata"]["name"])
        if found:
            await set_status(self._kube, kinds.POD, found, {**found["status"], **running(found)})

    async def echo(self, namespace: str, name: str) -> None:
        """Answer each write of a ConfigMap's `asked` by writing the same as `answered`."""
        async for found in self._watch(kinds.CONFIG_MAP, namespace):
            data = found.get("data", {})
            if data.get("asked") != data.get("answered"):
                await self._kube.merge(kinds.CONFIG_MAP, namespace, name, {"data": {"answered": data["asked"]}})

    def data_plane(self) -> web.Application:
        """The gateway's port: answers in the name of the version that the weights choose."""
        app = web.Application()
        app.router.add_get("/v2/models/{model}", self._answer)
        return app

    async def _answer(self, request: web.Request) -> web.Response:
        namespace, weights = self._weights.get(request.host, ("", {}))
        if not any(weights.values()):
            return web.Response(status=500)
        backend = random.choices(list(weights), list(weights.values()))[0]  # noqa: S311 - a split of traffic, no secret
        return web.Response(headers={"x-model-revision": self._revisions.get((namespace, backend), "")})

    async def _kubelet(self) -> None:
        async for pod in self._watch(kinds.POD):
            with suppress(ConflictError, NotFoundError):
                await self._visit(pod)

    async def _visit(self, pod: Object) -> None:
        meta = pod["metadata"]
        path = kinds.POD.path(meta["namespace"], meta["name"])
        if "deletionTimestamp" in meta:
            await self._kube._request("DELETE", path, body={"gracePeriodSeconds": 0})  # noqa: SLF001 - only a kubelet may
        elif "nodeName" not in pod["spec"]:
            target = {"apiVersion": "v1", "kind": "Node", "name": NODE}
            body = {"apiVersion": "v1", "kind": "Binding", "metadata": {"name": meta["name"]}, "target": target}
            await self._kube._request("POST", f"{path}/binding", body=body)  # noqa: SLF001 - only a scheduler may
        elif "podIP" not in pod.get("status", {}):
            self._address += 1
            address = f"10.{self._address >> 16 & 255}.{self._address >> 8 & 255}.{self._address & 255}"
            ready = {**running(pod), "podIP": address, "podIPs": [{"ip": address}]}
            await set_status(self._kube, kinds.POD, pod, {**pod.get("status", {}), **ready})

    async def _gateway(self) -> None:
        async for route in self._watch(kinds.HTTP_ROUTE):
            refs = route["spec"]["rules"][0].get("backendRefs", [])
            shares = {ref["name"]: ref["weight"] for ref in refs}
            for host in route["spec"].get("hostnames", []):
                self._weights[host] = (route["metadata"]["namespace"], shares)
            await set_status(self._kube, kinds.HTTP_ROUTE, route, accepted(route))

    async def _workloads(self) -> None:
        async for deployment in self._watch(kinds.DEPLOYMENT):
            meta = deployment["metadata"]
            if revision := meta.get("labels", {}).get(LABEL_REVISION):
                self._revisions[meta["namespace"], meta["name"]] = revision

    async def _watch(self, kind: kinds.Kind, namespace: str | None = None) -> AsyncIterator[Object]:
        """Every object that there is, and each one again whenever it has changed, without an end."""
        context = ssl.create_default_context(cafile=str(self._server.ca_file))
        headers = {"Authorization": f"Bearer {self._server.token}"}
        timeout = aiohttp.ClientTimeout(total=None)
        async with aiohttp.ClientSession(headers=headers, timeout=timeout, read_bufsize=1 << 22) as session:
            while True:
                url = f"{self._server.url}{kind.path(namespace)}"
                async with session.get(url, params={"watch": "true"}, ssl=context) as answer:
                    answer.raise_for_status()
                    async for line in answer.content:
                        event = json.loads(line)
                        if event["type"] in ("ADDED", "MODIFIED"):
                            yield event["object"]
