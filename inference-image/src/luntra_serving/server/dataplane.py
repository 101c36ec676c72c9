"""The inference port: Open Inference Protocol v2 over HTTP as an ASGI application.

Each request acquires a version once and answers with it to the end. Nothing of management is here, and nothing that a
client sends can change the server's state.
"""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from luntra_serving import __version__
from luntra_serving.durations import parse_duration
from luntra_serving.errors import RequestError
from luntra_serving.server.exchange import (
    Answer,
    ClientGoneError,
    Receive,
    Scope,
    Send,
    error_answer,
    header,
    read_body,
    send_answer,
)
from luntra_serving.server.protocol import request as wire_request
from luntra_serving.server.protocol import response as wire_response
from luntra_serving.swap.swapper import NotServedError

if TYPE_CHECKING:
    from luntra_serving.server.admission import Admission
    from luntra_serving.server.model import ReadyModel
    from luntra_serving.swap.swapper import Swapper
    from luntra_serving.swap.version import Handle
    from luntra_serving.telemetry.metrics import ServingMetrics

_MAX_DEADLINE = 300.0

_log = logging.getLogger(__name__)


@dataclass(slots=True)
class Readiness:
    """Whether this process is leaving. Set once, from the event loop."""

    draining: bool = False


@dataclass(frozen=True, slots=True)
class DataPlane:
    """The ASGI application; `expected_version` is named in answers as long as nothing is ready."""

    model: str
    expected_version: str
    swapper: Swapper[ReadyModel]
    admission: Admission
    metrics: ServingMetrics
    readiness: Readiness
    deadline: float
    max_body: int

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request (ASGI)."""
        try:
            answer = await self._answer(scope, receive)
        except RequestError as error:
            answer = error_answer(error)
        except ClientGoneError:
            return
        await send_answer(send, answer, last=self.readiness.draining)

    async def _answer(self, scope: Scope, receive: Receive) -> Answer:
        method = scope["method"]
        match scope["path"].rstrip("/").split("/")[1:]:
            case ["v2"]:
                _only(method, "GET")
                return Answer(200, wire_response.server_metadata(__version__))
            case ["v2", "health", "live"]:
                _only(method, "GET")
                return Answer(200, wire_response.write_json({"live": True}))
            case ["v2", "health", "ready"]:
                _only(method, "GET")
                ready = self._ready()
                return Answer(200 if ready else 503, wire_response.write_json({"ready": ready}))
            case ["v2", "models", model, "versions", version, *rest]:
                return await self._about_model(scope, receive, model, version, rest)
            case ["v2", "models", model, *rest]:
                return await self._about_model(scope, receive, model, None, rest)
            case _:
                raise RequestError(404, f"there is nothing at {scope['path']!r}; the protocol starts at /v2")

    def _ready(self) -> bool:
        return self.swapper.route.stable is not None and not self.readiness.draining

    async def _about_model(
        self, scope: Scope, receive: Receive, model: str, version: str | None, rest: list[str]
    ) -> Answer:
        if model != self.model:
            raise RequestError(404, f"model {model!r} is not served here; this server has {self.model!r}")
        try:
            handle = self.swapper.acquire() if version is None else self.swapper.acquire_named(version)
        except NotServedError as error:
            answer = error_answer(self._not_served(version, error))
            answer.headers["x-model-version"] = self.expected_version
            return answer
        try:
            answer = await self._of_version(scope, receive, handle, rest)
        except RequestError as error:
            answer = error_answer(error)
        finally:
            handle.release()
        identity = handle.version.identity
        answer.headers["x-model-version"] = identity.version
        if identity.revision:
            # Two revisions may share a version's name; the operator tells by this which of them answers.
            answer.headers["x-model-revision"] = identity.revision
        return answer

    def _not_served(self, version: str | None, error: NotServedError) -> RequestError:
        if self._ready():
            return RequestError(404, str(error))
        loading = f"model {self.model!r} version {version or self.expected_version!r} is still loading"
        return RequestError(503, f"{loading}; ask /v2/health/ready")

    async def _of_version(self, scope: Scope, receive: Receive, handle: Handle[ReadyModel], rest: list[str]) -> Answer:
        if rest == ["infer"]:
            _only(scope["method"], "POST")
            return await self._measured(scope, receive, handle)
        if rest not in ([], ["ready"]):
            raise RequestError(404, f"there is nothing at {scope['path']!r}; a model has /ready and /infer")
        _only(scope["method"], "GET")
        if rest == ["ready"]:
            ready = self._ready()
            return Answer(200 if ready else 503, wire_response.write_json({"name": self.model, "ready": ready}))
        model, version = handle.model, handle.version.identity.version
        platform = model.loaded.platform
        return Answer(200, wire_response.model_metadata(self.model, version, platform, model.manifest.interface))

    async def _measured(self, scope: Scope, receive: Receive, handle: Handle[ReadyModel]) -> Answer:
        """Answer an inference request, and count it whatever comes of it."""
        version = handle.version.identity.version
        self.metrics.started(self.model, version)
        start = time.perf_counter()
        status = 499  # nginx's number for "client closed request": counted, never sent
        try:
            body = await read_body(scope, receive, self.max_body)
            start = time.perf_counter()
            answer = await self._infer(scope, body, handle)
            status = answer.status
        except RequestError as error:
            status = error.status
            raise
        finally:
            self.metrics.finished(self.model, version, status, time.perf_counter() - start)
        return answer

    async def _infer(self, scope: Scope, body: bytes, handle: Handle[ReadyModel]) -> Answer:
        encoding = header(scope, b"content-encoding")
        if encoding not in (None, "", "identity"):
            raise RequestError(400, f"header Content-Encoding {encoding!r} is not supported; send the body as it is")
        json_length = wire_request.header_length(header(scope, b"inference-header-content-length"), len(body))
        within = _deadline(header(scope, b"x-request-deadline"), self.deadline)
        model, version = handle.model, handle.version.identity.version

        def work() -> wire_response.Body:
            request = wire_request.decode(body, json_length, model.manifest.interface)
            outputs = model.infer(request.inputs)
            return wire_response.encode(self.model, version, request, outputs)

        try:
            result = await self.admission.run(work, within=within)
        except RequestError:
            raise
        except Exception as error:  # whatever a model's library raises is the model's fault, never the connection's
            _log.exception(
                "inference failed",
                extra={"model": self.model, "version": version, "fix": "roll back, and report to the model's author"},
            )
            raise RequestError(500, "the model failed on this request; the server's log says how") from error
        headers = {}
        if result.json_length is not None:
            headers["inference-header-content-length"] = str(result.json_length)
        return Answer(200, result.content, result.content_type, headers)


def _only(method: str, allowed: str) -> None:
    if method != allowed:
        raise RequestError(405, f"method {method} is not allowed here; use {allowed}")


def _deadline(value: str | None, default: float) -> float:
    if value is None:
        return default
    try:
        seconds = parse_duration(value)
    except ValueError as error:
        raise RequestError(400, f"header x-request-deadline: {error}") from error
    if not 0 < seconds <= _MAX_DEADLINE:
        raise RequestError(400, f"header x-request-deadline is {value!r}; it must be above 0 and at most 5m")
    return seconds
