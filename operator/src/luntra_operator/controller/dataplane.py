"""Ask the data plane which version answers: a handful of metadata requests through the gateway.

Answers are counted by the `x-model-revision` header that every model server sends. Nothing is decided here.
"""

import asyncio
import logging
from collections import Counter
from typing import Any

import aiohttp

from luntra_operator.api.spec import ModelDeploymentSpec
from luntra_operator.api.traffic import ParentReference
from luntra_operator.kube import kinds
from luntra_operator.kube.client import Kube
from luntra_operator.rollout.observed import BROKEN
from luntra_operator.traffic import routes
from luntra_operator.traffic.adopted import asked_through

log = logging.getLogger(__name__)

SAMPLES = 20
"""Requests of one look: at 5 % a candidate is among them with a probability of 64 %, so two looks nearly always find it."""

_TIMEOUT = aiohttp.ClientTimeout(total=3, connect=1)


class DataPlane:
    """Where the gateway of an object is, and what answers there."""

    def __init__(self, kube: Kube, session: aiohttp.ClientSession) -> None:
        """Use `kube` to find addresses and `session` to ask."""
        self._kube, self._session = kube, session

    async def answers(self, namespace: str, model: str, spec: ModelDeploymentSpec) -> Counter[str] | None:
        """Answers by revision of one look; None where the gateway, or the model behind it, cannot be found or reached.

        A 404 counts for nothing: matches on headers or other paths may keep these requests out.

        Raises:
            KubeError: the Gateway could not be read.
        """
        question = routes.question(spec)
        if question is None:
            return None
        if question.route is not None:
            route = await self._kube.get(kinds.HTTP_ROUTE, namespace, question.route.name)
            if route is None:
                return None
            question = asked_through(route)
        base: str | None = None
        if spec.traffic and spec.traffic.probe:
            base = spec.traffic.probe.url.rstrip("/")
        elif question.gateway is not None:
            base = await self._address(namespace, question.gateway)
        if base is None:
            return None
        headers = {"Host": question.host} if question.host else {}
        url = f"{base}/v2/models/{model}"
        found = await asyncio.gather(*(self._ask(url, headers) for _ in range(SAMPLES)))
        answered = Counter(revision for revision in found if revision is not None)
        return answered or None

    async def _ask(self, url: str, headers: dict[str, str]) -> str | None:
        try:
            async with self._session.get(url, headers=headers, timeout=_TIMEOUT) as answer:
                return BROKEN if answer.status >= 500 else answer.headers.get("x-model-revision")
        except (aiohttp.ClientError, TimeoutError) as error:
            log.debug("no answer from %s: %s", url, error)
            return None

    async def _address(self, namespace: str, parent: ParentReference) -> str | None:
        found = await self._kube.get(kinds.GATEWAY, parent.namespace or namespace, parent.name)
        addresses = (found or {}).get("status", {}).get("addresses") or []
        listener = _listener(found, parent.section_name, parent.port)
        if not addresses or listener is None or listener.get("protocol") != "HTTP":
            return None
        address = addresses[0]["value"]
        return f"http://{f'[{address}]' if ':' in address else address}:{listener['port']}"


def _listener(gateway: dict[str, Any] | None, section: str | None, port: int | None) -> dict[str, Any] | None:
    listeners: list[dict[str, Any]] = (gateway or {}).get("spec", {}).get("listeners") or []
    fitting = [one for one in listeners if section in (None, one["name"]) and port in (None, one["port"])]
    return fitting[0] if fitting else None
