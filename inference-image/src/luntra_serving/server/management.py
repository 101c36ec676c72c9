"""The management port: state, events and metrics, and the document to follow, on Starlette. Never routed to users."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError
from starlette.applications import Starlette
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from luntra_serving.artifacts.source import without_password
from luntra_serving.bundle.canonical import describe_problems
from luntra_serving.server.desired import Desired, StaleDocumentError, identity_of
from luntra_serving.server.document import Document
from luntra_serving.server.tokens import Keys, NotAllowedError
from luntra_serving.telemetry.metrics import CONTENT_TYPE, ServingMetrics

if TYPE_CHECKING:
    from starlette.requests import Request

    from luntra_serving.server.dataplane import Readiness
    from luntra_serving.server.model import ReadyModel
    from luntra_serving.swap.events import Event
    from luntra_serving.swap.states import VersionStatus
    from luntra_serving.swap.swapper import Swapper
    from luntra_serving.swap.version import Identity

_MAX_DOCUMENT = 1 << 20
_NOT_SIGNED = "this server has no keys (--keys), so a document is only taken from its own host"


@dataclass(frozen=True, slots=True)
class Management:
    """The handlers of the management port."""

    desired: Desired
    swapper: Swapper[ReadyModel]
    metrics: ServingMetrics
    readiness: Readiness
    keys: Keys | None = None

    def app(self) -> Starlette:
        """Return the ASGI application."""
        routes = [
            Route("/v1/models/{name}", self.model, methods=["GET", "PUT"]),
            Route("/v1/models/{name}/stats", self.stats, methods=["GET"]),
            Route("/v1/events", self.events, methods=["GET"]),
            Route("/metrics", self.exposition, methods=["GET"]),
        ]
        return Starlette(routes=routes, exception_handlers={404: _nothing})

    async def model(self, request: Request) -> Response:
        """GET the state; PUT a document to follow."""
        name = request.path_params["name"]
        if name != self.swapper.model:
            return _error(404, f"model {name!r} is not served here; {self.swapper.model!r} is")
        if request.method == "PUT":
            return await self._follow(request)
        return JSONResponse(self.state())

    async def stats(self, request: Request) -> Response:
        """GET what the requests of each version came to since it was first loaded."""
        name = request.path_params["name"]
        found = {version: stats.to_json() for (model, version), stats in self.metrics.stats.items() if model == name}
        return JSONResponse({"name": name, "versions": found})

    async def _follow(self, request: Request) -> Response:
        body = b""
        async for chunk in request.stream():
            body += chunk
            if len(body) > _MAX_DOCUMENT:
                return _error(413, f"the document is larger than {_MAX_DOCUMENT} bytes")
        try:
            self._allow(request, body)
        except NotAllowedError as error:
            return _error(403, str(error))
        try:
            document = Document.model_validate_json(body)
        except ValidationError as error:
            return _error(422, "; ".join(describe_problems(error)))
        if document.model != self.swapper.model:
            return _error(422, f"model is {document.model!r}, which cannot be changed; it is {self.swapper.model!r}")
        try:
            self.desired.follow(document)
        except StaleDocumentError as error:
            return JSONResponse({"error": str(error), **self.state()}, 409)
        return JSONResponse(self.state())

    def _allow(self, request: Request, body: bytes) -> None:
        """Without keys this host is trusted and nobody else."""
        if self.keys is not None:
            self.keys.check(request.headers.get("authorization"), request.method, request.url.path, body)
        elif request.client is None or not ip_address(request.client.host).is_loopback:
            raise NotAllowedError(_NOT_SIGNED)

    async def events(self, request: Request) -> Response:
        """GET the transitions of all versions; `?since=N` those after number N."""
        since = request.query_params.get("since", "0")
        if not since.isdigit():
            return _error(400, f"since is {since!r}; it must be the number of an event, such as 0")
        return JSONResponse({"events": [_event(event) for event in self.swapper.events.since(int(since))]})

    async def exposition(self, _request: Request) -> Response:
        """GET the metrics."""
        return Response(self.metrics.render(), media_type=CONTENT_TYPE)

    def state(self) -> dict[str, Any]:
        """Return what GET /v1/models/{name} answers."""
        document, route = self.desired.document, self.swapper.route
        uris = {identity_of(target): target.uri for target in (document.stable, document.candidate) if target}
        return {
            "name": document.model,
            "observedGeneration": document.generation,
            "ready": route.stable is not None and not self.readiness.draining,
            "draining": self.readiness.draining,
            "stable": route.stable.identity.version if route.stable else None,
            "candidate": route.candidate.identity.version if route.candidate else None,
            "weight": route.weight,
            "epoch": route.epoch,
            "versions": [_version(status, uris.get(one)) for one, status in self.swapper.statuses().items()],
        }


def _version(status: VersionStatus, uri: str | None) -> dict[str, Any]:
    return {
        **_identity(status.identity),
        "uri": without_password(uri) if uri else None,
        "state": status.state,
        "stage": status.stage,
        "reason": status.reason,
        "message": status.message,
        "inFlight": status.in_flight,
        "loadSeconds": dict(status.stages),
    }


def _event(event: Event) -> dict[str, Any]:
    place = {"number": event.number, "at": event.at, "model": event.model}
    return {**place, **_identity(event.identity), "event": event.kind, **event.detail}


def _identity(identity: Identity) -> dict[str, str | None]:
    return {"version": identity.version, "revision": identity.revision, "digest": identity.digest}


async def _nothing(request: Request, _missing: Exception) -> Response:
    paths = "/v1/models/{name} and its /stats, /v1/events and /metrics"
    return _error(404, f"there is nothing at {request.url.path!r}; this port has {paths}")


def _error(status: int, problem: str) -> JSONResponse:
    return JSONResponse({"error": problem}, status)
