"""Ask a pod what it serves, and tell it what to serve. Nothing is retried here, but for the other key of a rotation."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeVar
from urllib.parse import quote

import aiohttp
from pydantic import ValidationError

from luntra_operator.api.base import StatusModel
from luntra_operator.api.vocabulary import PORT_MANAGEMENT

from .errors import RefusedError, StaleError, UnreachableError
from .keys import Ring
from .state import ModelState, ModelStats
from .tokens import sign

TIMEOUT = aiohttp.ClientTimeout(total=5, connect=2)
"""A pod that answers later is not there: its answer is from memory, whatever it is loading."""

GLANCE = aiohttp.ClientTimeout(total=2, connect=1)
"""For counters, which are asked for every second or so: one pod that hangs must not hold up what the others tell."""

MOST = 1 << 20
"""Bytes of an answer; a pod is not trusted with the operator's memory."""


Told = TypeVar("Told", bound=StatusModel)


@dataclass(frozen=True, slots=True)
class PodAddress:
    """A pod: `uid` is whom a token is for, `ip` and `port` where its management port is."""

    name: str
    uid: str
    ip: str
    port: int = PORT_MANAGEMENT

    def url(self, path: str) -> str:
        """The URL of a path."""
        return f"http://{f'[{self.ip}]' if ':' in self.ip else self.ip}:{self.port}{path}"


class Pods:
    """Access to pods; `ring` gives the keys of the moment, `clock` the time in UTC."""

    def __init__(self, session: aiohttp.ClientSession, ring: Callable[[], Ring], clock: Callable[[], datetime]) -> None:
        """Use `session`, which the caller closes."""
        self._session, self._ring, self._clock = session, ring, clock

    async def state(self, pod: PodAddress, model: str) -> ModelState:
        """What the pod serves of a model.

        Raises:
            UnreachableError: no answer that can be read.
            RefusedError: the pod has no such model.
        """
        return await self._request("GET", pod, _path(model), None, {}, ModelState)

    async def stats(self, pod: PodAddress, model: str) -> ModelStats:
        """What the pod's versions of a model were asked so far.

        Raises:
            UnreachableError: no answer that can be read.
            RefusedError: the pod has no such model.
        """
        return await self._request("GET", pod, f"{_path(model)}/stats", None, {}, ModelStats, GLANCE)

    async def put(self, pod: PodAddress, model: str, document: Mapping[str, Any]) -> ModelState:
        """Have the pod follow a document; what it serves then.

        Raises:
            UnreachableError: no answer that can be read; the pod may have taken the document.
            RefusedError: the document is wrong, or none of the keys is trusted.
            StaleError: the pod follows a newer document, or another one of the same generation.
        """
        body = json.dumps(document).encode()
        refused: RefusedError | None = None
        for key in self._ring().signing(self._clock()):
            token = sign(key, pod.uid, "PUT", _path(model), body, self._clock())
            try:
                return await self._request("PUT", pod, _path(model), body, {"Authorization": token}, ModelState)
            except RefusedError as error:
                if not error.forbidden:
                    raise
                refused = refused or error
        raise refused or RefusedError(f"there is no key to sign a document for {pod.name} with", forbidden=True)

    async def _request(
        self,
        method: str,
        pod: PodAddress,
        path: str,
        body: bytes | None,
        headers: Mapping[str, str],
        expected: type[Told],
        patience: aiohttp.ClientTimeout = TIMEOUT,
    ) -> Told:
        request = f"{method} {path} of pod {pod.name}"
        try:
            async with self._session.request(
                method, pod.url(path), data=body, headers=headers, timeout=patience, allow_redirects=False
            ) as answer:
                text = await _bounded(answer)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise UnreachableError(f"{request}: {str(error) or type(error).__name__}") from error
        if text is None:
            raise UnreachableError(f"{request}: the answer is longer than {MOST} bytes")
        return _read(request, answer.status, text, expected)


def _path(model: str) -> str:
    return f"/v1/models/{quote(model, safe='')}"


async def _bounded(answer: aiohttp.ClientResponse) -> bytes | None:
    text = b""
    async for chunk in answer.content.iter_chunked(1 << 16):
        text += chunk
        if len(text) > MOST:
            return None
    return text


def _read(request: str, status: int, text: bytes, expected: type[Told]) -> Told:
    try:
        told: Any = json.loads(text)
        if status in (200, 201):
            return expected.model_validate(told)
        words = f"{request}: {told['error']} ({status})"
        if status == 409:
            raise StaleError(words, int(told["observedGeneration"]))
    except (ValueError, ValidationError, KeyError, TypeError) as error:
        raise UnreachableError(f"{request}: {status}, and no answer of a model server: {text[:200]!r}") from error
    if status >= 500:
        raise UnreachableError(words)
    raise RefusedError(words, forbidden=status == 403)
