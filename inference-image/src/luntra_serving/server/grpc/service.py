"""The methods of GRPCInferenceService over a data plane.

Each one that is about a version names it in its trailing metadata, `x-model-version` and, if the deployer gave one,
`x-model-revision`; so do its errors. An inference adds the server's id of it, which its response has as a parameter besides: not
every client shows metadata, and a stream's are those of its last request. What only changes the server (loading, shared memory,
log settings) is not here: a client is told UNIMPLEMENTED.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import grpc

from luntra_serving.errors import RequestError
from luntra_serving.server.dataplane import SMALL
from luntra_serving.server.grpc import codec, descriptions, messages
from luntra_serving.server.grpc.inference import Inference
from luntra_serving.server.grpc.streams import Streams
from luntra_serving.server.request_ids import HEADER
from luntra_serving.swap.states import IN_MEMORY
from luntra_serving.telemetry.stats import VersionStats

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from luntra_serving.server.dataplane import DataPlane
    from luntra_serving.server.grpc.streams import Asked
    from luntra_serving.server.model import ReadyModel
    from luntra_serving.server.models import Served
    from luntra_serving.swap.version import Handle, Identity

_STATUS = {
    400: grpc.StatusCode.INVALID_ARGUMENT,
    404: grpc.StatusCode.NOT_FOUND,
    429: grpc.StatusCode.RESOURCE_EXHAUSTED,
    500: grpc.StatusCode.INTERNAL,
    503: grpc.StatusCode.UNAVAILABLE,
    504: grpc.StatusCode.DEADLINE_EXCEEDED,
}
"""What RequestError says in HTTP -> what gRPC says."""

_WORDS = 600
"""Characters of an error's message: it travels in a header, percent-encoded, and clients take 8 KiB of those."""
_LONGEST = 300.0
"""Seconds that a request may take, whatever its deadline."""


class Service:
    """Answers messages, as bytes, with messages, as bytes; used from the event loop alone."""

    def __init__(self, plane: DataPlane) -> None:
        self._plane = plane
        self.streams = Streams(self._begin)

    def handler(self) -> Any:
        """Return what a gRPC server calls."""
        answers: dict[str, Callable[[Any, Any], Any]] = {
            "ServerLive": self._server_live,
            "ServerReady": self._server_ready,
            "ModelReady": self._model_ready,
            "ServerMetadata": self._server_metadata,
            "ModelMetadata": self._model_metadata,
            "ModelConfig": self._model_config,
            "ModelStatistics": self._model_statistics,
            "RepositoryIndex": self._repository_index,
        }
        methods = {name: _describing(name, answer) for name, answer in answers.items()}
        methods["ModelInfer"] = self._infer
        handlers = {name: grpc.unary_unary_rpc_method_handler(method) for name, method in methods.items()}
        handlers["ModelStreamInfer"] = grpc.stream_stream_rpc_method_handler(self.streams.serve)
        return grpc.method_handlers_generic_handler(messages.SERVICE, handlers)

    async def _infer(self, content: bytes, context: Any) -> bytes:
        try:
            message = codec.parse("ModelInfer", content)
            served = self._plane.models.find(message.model_name)
            handle = self._hold(served, message.model_version, context)
        except RequestError as error:
            return _refuse(context, error)
        remaining = context.time_remaining()
        within = self._plane.deadline if remaining is None else min(remaining, _LONGEST)
        inference = self._inference(served, handle, context)
        inference.begin(message, small=len(content) <= SMALL, within=within)
        result = await inference.result()
        return _refuse(context, result) if isinstance(result, RequestError) else result

    def _begin(self, content: bytes, context: Any) -> Asked:
        """Begin an inference of a stream, whose own deadline is not that of its requests."""
        request = ""
        try:
            message = codec.parse("ModelStreamInfer", content)
            request = message.id
            served = self._plane.models.find(message.model_name)
            handle = self._hold(served, message.model_version, context)
        except RequestError as error:
            return request, error
        inference = self._inference(served, handle, context)
        inference.begin(message, small=len(content) <= SMALL, within=self._plane.deadline)
        return request, inference

    def _inference(self, served: Served, handle: Handle[ReadyModel], context: Any) -> Inference:
        inference = Inference(self._plane, served, handle, _header_of(context))
        context.set_trailing_metadata((*_names(handle.version.identity), (HEADER, inference.request_id)))
        return inference

    def _server_live(self, _request: Any, _context: Any) -> Any:
        return messages.ServerLiveResponse(live=True)

    def _server_ready(self, _request: Any, _context: Any) -> Any:
        return messages.ServerReadyResponse(ready=self._plane.ready)

    def _server_metadata(self, _request: Any, _context: Any) -> Any:
        return descriptions.server_metadata()

    def _model_ready(self, request: Any, context: Any) -> Any:
        """A question, not a demand: a model that is not here is not ready, which is no error."""
        try:
            served = self._plane.models.find(request.name)
            self._hold(served, request.version, context).release()
        except RequestError:
            return messages.ModelReadyResponse(ready=False)
        return messages.ModelReadyResponse(ready=self._plane.answers(served))

    def _model_metadata(self, request: Any, context: Any) -> Any:
        served = self._plane.models.find(request.name)
        handle = self._hold(served, request.version, context)
        with handle as model:
            return descriptions.model_metadata(served.name, handle.version.identity.version, model)

    def _model_config(self, request: Any, context: Any) -> Any:
        served = self._plane.models.find(request.name)
        with self._hold(served, request.version, context) as model:
            return descriptions.model_config(served.name, model)

    def _model_statistics(self, request: Any, context: Any) -> Any:
        """About every version in memory, of the model that is named or of all; or about one version."""
        plane = self._plane
        models = [plane.models.find(request.name)] if request.name or request.version else list(plane.models)
        if request.version:
            self._hold(models[0], request.version, context).release()
        return descriptions.model_statistics(
            (served.name, identity.version, plane.metrics.stats.of(served.name).get(identity) or VersionStats())
            for served in models
            for identity, status in served.swapper.statuses().items()
            if status.state in IN_MEMORY and request.version in ("", identity.version)
        )

    def _repository_index(self, request: Any, _context: Any) -> Any:
        statuses = {served.name: served.swapper.statuses().values() for served in self._plane.models}
        return descriptions.repository_index(statuses, ready=request.ready)

    def _hold(self, served: Served, version: str, context: Any) -> Handle[ReadyModel]:
        """Hold the version that a message is about, and name it in the answer. Raises RequestError."""
        try:
            handle = self._plane.hold(served, version or None, _header_of(context))
        except RequestError:
            context.set_trailing_metadata((("x-model-version", served.expected_version),))
            raise
        context.set_trailing_metadata(_names(handle.version.identity))
        return handle


def _describing(method: str, answer: Callable[[Any, Any], Any]) -> Callable[[bytes, Any], Awaitable[bytes]]:
    """Return the handler of a method that has its answer at once."""

    async def handle(content: bytes, context: Any) -> bytes:
        try:
            response = answer(codec.parse(method, content), context)
        except RequestError as error:
            return _refuse(context, error)
        written: bytes = response.SerializeToString()
        return written

    return handle


def _header_of(context: Any) -> Callable[[str], str | None]:
    """Return what looks metadata up; few requests need any, and reading them costs more than asking twice."""

    def header(name: str) -> str | None:
        value: str | None = dict(context.invocation_metadata() or ()).get(name)
        return value

    return header


def _refuse(context: Any, error: RequestError) -> bytes:
    """Have the call end with the status that says so; the trailing metadata stays.

    `context.abort` would do it by an exception that knows itself through its traceback: a cycle, which keeps the message
    until the garbage collector comes by.
    """
    context.set_code(_STATUS[error.status])
    context.set_details(error.message[:_WORDS])
    return b""


def _names(identity: Identity) -> tuple[tuple[str, str], ...]:
    version = ("x-model-version", identity.version)
    return (version, ("x-model-revision", identity.revision)) if identity.revision else (version,)
