"""The management port: read-only state and metrics, on Starlette. Never routed to users."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from starlette.applications import Starlette
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from luntra_serving.swap.versions import State, VersionBoard, VersionStatus
from luntra_serving.telemetry.metrics import CONTENT_TYPE, ServingMetrics

if TYPE_CHECKING:
    from starlette.requests import Request

    from luntra_serving.server.dataplane import Readiness
    from luntra_serving.server.document import Document


def management_app(document: Document, board: VersionBoard, metrics: ServingMetrics, readiness: Readiness) -> Starlette:
    """Return the application of the management port."""

    async def model(request: Request) -> Response:
        name = request.path_params["name"]
        if name != document.model:
            return JSONResponse({"error": f"model {name!r} is not served here; {document.model!r} is"}, 404)
        return JSONResponse(model_state(document, board, readiness))

    async def exposition(_request: Request) -> Response:
        return Response(metrics.render(), media_type=CONTENT_TYPE)

    async def nothing(request: Request, _error: Exception) -> Response:
        problem = f"there is nothing at {request.url.path!r}; this port has /v1/models/{{name}} and /metrics"
        return JSONResponse({"error": problem}, 404)

    routes = [Route("/v1/models/{name}", model, methods=["GET"]), Route("/metrics", exposition, methods=["GET"])]
    return Starlette(routes=routes, exception_handlers={404: nothing})


def model_state(document: Document, board: VersionBoard, readiness: Readiness) -> dict[str, Any]:
    """Return what GET /v1/models/{name} answers."""
    statuses = board.read()
    stable = statuses.get(document.stable.version)
    return {
        "name": document.model,
        "observedGeneration": document.generation,
        "ready": stable is not None and stable.state is State.READY and not readiness.draining,
        "draining": readiness.draining,
        "stable": document.stable.version,
        "versions": [_version(status) for status in statuses.values()],
    }


def _version(status: VersionStatus) -> dict[str, Any]:
    return {
        "version": status.version,
        "revision": status.revision,
        "digest": status.digest,
        "uri": status.uri,
        "state": status.state,
        "reason": status.reason,
        "message": status.message,
        "loadSeconds": dict(status.stages),
    }
