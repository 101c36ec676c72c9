"""The management port: state, events and metrics, and the document to follow, on Starlette. Never routed to users."""

from __future__ import annotations

import time
from dataclasses import dataclass
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from luntra_serving.artifacts.source import without_password
from luntra_serving.bundle.canonical import describe_problems
from luntra_serving.errors import RequestError
from luntra_serving.server.desired import StaleDocumentError, identity_of
from luntra_serving.server.document import Document
from luntra_serving.server.feedback import read_feedback
from luntra_serving.server.models import Models, NeededError, Served
from luntra_serving.server.protocol.response import write_json
from luntra_serving.server.tokens import Keys, NotAllowedError, SharedToken
from luntra_serving.swap.states import IN_MEMORY
from luntra_serving.telemetry.metrics import CONTENT_TYPE, ServingMetrics
from luntra_serving.telemetry.stats import VersionStats

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from starlette.requests import Request

    from luntra_serving.server.dataplane import Readiness
    from luntra_serving.swap.budget import Size
    from luntra_serving.swap.events import Event, EventLog
    from luntra_serving.swap.states import VersionStatus
    from luntra_serving.swap.version import Identity

_MAX_BODY = 1 << 20
_NOT_SIGNED = "this server has no keys (--keys), so a document is only taken from its own host"
_NO_FEEDBACK = "this server has no token for feedback (--feedback-token-file), so it takes none; start it with one"


@dataclass(frozen=True, slots=True)
class Management:
    """The handlers of the management port.

    `keep` is told the name of a model after an answer has gone out that changed what is wanted of it: a disk holds up no rollback.
    """

    models: Models
    events: EventLog
    metrics: ServingMetrics
    readiness: Readiness
    keep: Callable[[str], object]
    keys: Keys | None = None
    feedback_token: SharedToken | None = None

    def app(self) -> Starlette:
        """Return the ASGI application."""
        routes = [
            Route("/v1/models", self.list_models, methods=["GET"]),
            Route("/v1/models/{name}", self.model, methods=["GET", "PUT", "DELETE"]),
            Route("/v1/models/{name}/stats", self.stats, methods=["GET"]),
            Route("/v2/models/{name}/feedback", self.take_feedback, methods=["POST"]),
            Route("/v1/events", self.list_events, methods=["GET"]),
            Route("/metrics", self.exposition, methods=["GET"]),
        ]
        return Starlette(routes=routes, exception_handlers={404: _nothing})

    async def list_models(self, _request: Request) -> Response:
        """GET the state of every model."""
        return JSONResponse({"models": [self.state(served) for served in self.models]})

    async def model(self, request: Request) -> Response:
        """GET the state; PUT a document to follow, of a new model too; DELETE a model that was added so."""
        name = request.path_params["name"]
        try:
            if request.method == "GET":
                return JSONResponse(self.state(self.models.find(name)))
            return await self._change(request, name)
        except RequestError as error:
            return _error(error.status, error.message)

    async def stats(self, request: Request) -> Response:
        """GET what the requests of each version came to since it was first loaded, and the copies that it got as a candidate."""
        try:
            served = self.models.find(request.path_params["name"])
        except RequestError as error:
            return _error(error.status, error.message)
        metrics, name = self.metrics, served.name
        silent = {one: VersionStats() for one, state in served.swapper.statuses().items() if state.state in IN_MEMORY}
        said = {
            "name": name,
            "instance": metrics.instance,
            "startedAt": metrics.started_at,
            "at": time.time(),
            "draining": self.readiness.draining,
            "versions": _counted({**silent, **metrics.stats.of(name)}),
            "shadow": _counted(metrics.shadow_stats.of(name)),
            "feedback": {revision: counts.to_json() for revision, counts in served.feedback.items()},
        }
        return Response(write_json(said), media_type="application/json")

    async def take_feedback(self, request: Request) -> Response:
        """POST what became of answers; it is here and not on the inference port, for it may cost a version its traffic."""
        try:
            self._allow_feedback(request)
            served = self.models.find(request.path_params["name"])
            taken = served.feedback.take(await read_feedback(await _body(request)))
        except NotAllowedError as error:
            return _error(403, str(error))
        except RequestError as error:
            return _error(error.status, error.message)
        return JSONResponse(taken._asdict())

    async def _change(self, request: Request, name: str) -> Response:
        body = await _body(request)
        try:
            self._allow(request, body)
        except NotAllowedError as error:
            return _error(403, str(error))
        return self._follow(name, body) if request.method == "PUT" else self._remove(name)

    def _follow(self, name: str, body: bytes) -> Response:
        try:
            document = Document.model_validate_json(body)
        except ValidationError as error:
            return _error(422, "; ".join(describe_problems(error)))
        if document.model != name:
            return _error(422, f"model is {document.model!r}, but the path names {name!r}; they must be the same")
        if name not in self.models:
            served = self.models.add(document, needed=False)
            served.desired.step()
            return JSONResponse(self.state(served), 201, background=self._keeping(name))
        served = self.models.find(name)
        try:
            changed = served.desired.follow(document)
        except StaleDocumentError as error:
            return JSONResponse({"error": str(error), **self.state(served)}, 409)
        return JSONResponse(self.state(served), background=self._keeping(name) if changed else None)

    def _remove(self, name: str) -> Response:
        try:
            self.models.remove(name)
        except NeededError as error:
            return _error(409, str(error))
        self.metrics.forget(name)
        return Response(status_code=204, background=self._keeping(name))

    def _keeping(self, name: str) -> BackgroundTask:
        async def keep() -> None:  # Starlette would take a thread for a plain function
            self.keep(name)

        return BackgroundTask(keep)

    def _allow(self, request: Request, body: bytes) -> None:
        """Without keys this host is trusted and nobody else."""
        if self.keys is not None:
            self.keys.check(request.headers.get("authorization"), request.method, request.url.path, body)
        elif request.client is None or not ip_address(request.client.host).is_loopback:
            raise NotAllowedError(_NOT_SIGNED)

    def _allow_feedback(self, request: Request) -> None:
        if self.feedback_token is None:
            raise NotAllowedError(_NO_FEEDBACK)
        self.feedback_token.check(request.headers.get("authorization"))

    async def list_events(self, request: Request) -> Response:
        """GET the transitions of all versions; `?since=N` those after number N."""
        since = request.query_params.get("since", "0")
        if not since.isdigit():
            return _error(400, f"since is {since!r}; it must be the number of an event, such as 0")
        return JSONResponse({"events": [_event(event) for event in self.events.since(int(since))]})

    async def exposition(self, _request: Request) -> Response:
        """GET the metrics."""
        return Response(self.metrics.render(), media_type=CONTENT_TYPE)

    def state(self, served: Served) -> dict[str, Any]:
        """Return what GET /v1/models/{name} answers."""
        document, swapper = served.desired.document, served.swapper
        route, sizes = swapper.route, swapper.sizes()
        uris = {identity_of(target): target.uri for target in (document.stable, document.candidate) if target}
        return {
            "name": document.model,
            "observedGeneration": document.generation,
            "ready": served.answers and not self.readiness.draining,
            "draining": self.readiness.draining,
            "stable": route.stable.identity.version if route.stable else None,
            "candidate": route.candidate.identity.version if route.candidate else None,
            "weight": route.weight,
            "shadow": route.shadow,
            "epoch": route.epoch,
            "sessions": len(swapper.episodes),
            "versions": [_version(status, uris.get(one), sizes.get(one)) for one, status in swapper.statuses().items()],
        }


def _version(status: VersionStatus, uri: str | None, size: Size | None) -> dict[str, Any]:
    return {
        **_identity(status.identity),
        "uri": without_password(uri) if uri else None,
        "state": status.state,
        "stage": status.stage,
        "reason": status.reason,
        "message": status.message,
        "inFlight": status.in_flight,
        "residentBytes": {"host": size.host, "device": size.device} if size else None,
        "loadSeconds": dict(status.stages),
    }


def _counted(versions: Mapping[Identity, VersionStats]) -> list[dict[str, Any]]:
    return [{**_identity(identity), **stats.to_json()} for identity, stats in versions.items()]


def _event(event: Event) -> dict[str, Any]:
    place = {"number": event.number, "at": event.at, "model": event.model}
    return {**place, **_identity(event.identity), "event": event.kind, **event.detail}


def _identity(identity: Identity) -> dict[str, str | None]:
    return {"version": identity.version, "revision": identity.revision, "digest": identity.digest}


async def _body(request: Request) -> bytes:
    """Return a request's body. Raises RequestError (413)."""
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > _MAX_BODY:
            raise RequestError(413, f"the body is larger than {_MAX_BODY} bytes, the limit; send less at a time")
    return body


async def _nothing(request: Request, _missing: Exception) -> Response:
    paths = "/v1/models, /v1/models/{name} and its /stats, /v2/models/{name}/feedback, /v1/events and /metrics"
    return _error(404, f"there is nothing at {request.url.path!r}; this port has {paths}")


def _error(status: int, problem: str) -> JSONResponse:
    return JSONResponse({"error": problem}, status)
