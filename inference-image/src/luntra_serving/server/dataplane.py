"""The inference port: Open Inference Protocol v2 over HTTP.

Each request acquires a version once, when it has arrived, and answers with it to the end. Nothing of management is here, and
nothing that a client sends can change the server's state.
"""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING
from urllib.parse import unquote_to_bytes

from luntra_serving import __version__
from luntra_serving.durations import parse_duration
from luntra_serving.errors import RequestError
from luntra_serving.server.exchange import Answer, Exchange, error_answer
from luntra_serving.server.jobs import Job
from luntra_serving.server.protocol import request as wire_request
from luntra_serving.server.protocol import response as wire_response
from luntra_serving.server.request_ids import HEADER, new_id
from luntra_serving.swap.swapper import NotServedError
from luntra_serving.telemetry.access import AccessLog
from luntra_serving.telemetry.stats import VersionStats

if TYPE_CHECKING:
    from collections.abc import Callable

    from luntra_serving.server.admission import Admission
    from luntra_serving.server.model import ReadyModel
    from luntra_serving.server.models import Models, Served
    from luntra_serving.server.shadow import Shadow
    from luntra_serving.swap.route import SessionRule
    from luntra_serving.swap.swapper import Swapper
    from luntra_serving.swap.version import Handle
    from luntra_serving.telemetry.metrics import ServingMetrics
    from luntra_serving.telemetry.stats import Spent
    from luntra_serving.telemetry.traces import Traces

_MAX_DEADLINE = 300.0
_SESSION_END = "x-session-end"
PREVIEW = "x-luntra-preview"
"""On requests that a preview's route has led to a candidate; that route is the only way by which one gets it."""
_TRUTH = {None: False, "false": False, "true": True}
SMALL = 16 << 10
"""Bytes of a request up to which it may run on the event loop, if its model is quick."""

_log = logging.getLogger(__name__)


@dataclass(slots=True)
class Readiness:
    """Whether this process is leaving. Set once, from the event loop."""

    draining: bool = False


@dataclass(frozen=True, slots=True)
class DataPlane:
    """Answers exchanges; `deadline` is in seconds."""

    models: Models
    admission: Admission
    metrics: ServingMetrics
    readiness: Readiness
    shadow: Shadow
    deadline: float
    access: AccessLog = field(default_factory=AccessLog)
    traces: Traces | None = None

    def __call__(self, exchange: Exchange) -> None:
        """Answer one request, now or later."""
        try:
            answer = self._answer(exchange)
        except RequestError as error:
            answer = error_answer(error)
        if answer is not None:
            exchange.answer(answer)

    def _answer(self, exchange: Exchange) -> Answer | None:
        parts = _split(exchange.path)
        match parts:
            case ("v2", "models", model, "versions", version, *rest):
                return self._about_model(exchange, model, version, rest)
            case ("v2", "models", model, *rest):
                return self._about_model(exchange, model, None, rest)
            case ("v2",):
                _only(exchange.method, "GET")
                return Answer(200, wire_response.server_metadata(__version__))
            case ("v2", "health", "live"):
                _only(exchange.method, "GET")
                return Answer(200, wire_response.write_json({"live": True}))
            case ("v2", "health", "ready"):
                _only(exchange.method, "GET")
                ready = self.ready
                return Answer(200 if ready else 503, wire_response.write_json({"ready": ready}))
            case _:
                raise RequestError(404, f"there is nothing at {'/' + '/'.join(parts)!r}; the protocol starts at /v2")

    @property
    def ready(self) -> bool:
        """Whether every model that is needed answers and the process is not leaving."""
        return self.models.ready and not self.readiness.draining

    def answers(self, served: Served) -> bool:
        """Whether a model answers and the process is not leaving."""
        return served.answers and not self.readiness.draining

    def hold(self, served: Served, version: str | None, header: Callable[[str], str | None]) -> Handle[ReadyModel]:
        """Hold the version that is to answer, or the one of that name; `header` looks one up in the request.

        Raises RequestError: 503 while loading, else 404; 400 for a header that says nothing.
        """
        swapper = served.swapper
        try:
            if version is not None:
                return swapper.acquire_named(version)
            rule = swapper.route.session
            return swapper.acquire() if rule is None else _hold_for_session(swapper, rule, header)
        except NotServedError as error:
            if self.answers(served):
                raise RequestError(404, str(error)) from error
            loading = f"model {served.name!r} version {version or served.expected_version!r} is still loading"
            raise RequestError(503, f"{loading}; ask /v2/models/{served.name}/ready") from error

    def answered(
        self,
        served: Served,
        handle: Handle[ReadyModel],
        counted: VersionStats,
        code: int,
        seconds: float,
        *,
        request: str | None,
        header: Callable[[str], str | None],
        spent: Spent | None,
    ) -> None:
        """Count an inference that has ended where its beginning was `counted`, and log and trace it if that is asked for.

        `request` is the client's id of it; `header` looks up what else came with it; `spent` is known of what ran.
        """
        version = handle.version.identity.version
        counted.end(code, seconds, spent)
        self.access.note(served.name, version, code, seconds, request)
        if self.traces is not None:
            model = handle.model
            attributes = {
                "model_id": served.name,
                "model_version": version,
                "backend": model.manifest.backend.name,
                "device": model.loaded.device,
            }
            self.traces.note(attributes, code, seconds, header)

    def explained(self, model: str, version: str, error: Exception) -> RequestError:
        """Return what the client is told of an inference's `error`; a defect of the model goes to the log as it is."""
        if isinstance(error, RequestError):
            return error.with_traceback(None)  # whoever keeps the words must not keep the model
        # Whatever a model's library raises is the model's fault, never the connection's.
        fields = {"model": model, "version": version, "fix": "roll back, and report to the model's author"}
        _log.error("inference failed", exc_info=error, extra=fields)
        return RequestError(500, "the model failed on this request; the server's log says how")

    def _about_model(self, exchange: Exchange, model: str, version: str | None, rest: list[str]) -> Answer | None:
        served = self.models.find(model)
        try:
            handle = self.hold(served, version, exchange.header)
        except RequestError as error:
            answer = error_answer(error)
            answer.headers["x-model-version"] = served.expected_version
            return answer
        call = Call(self, served, exchange, handle)
        try:
            if rest == ["infer"]:
                _only(exchange.method, "POST")
                call.start()
                return None
            answer = self._of_version(served, exchange, handle, rest)
        except RequestError as error:
            answer = error_answer(error)
        return call.named(answer)

    def _of_version(self, served: Served, exchange: Exchange, handle: Handle[ReadyModel], rest: list[str]) -> Answer:
        if rest not in ([], ["ready"], ["config"], ["stats"]):
            path = exchange.path.decode("latin-1")
            raise RequestError(404, f"there is nothing at {path!r}; a model has /ready, /infer, /config and /stats")
        _only(exchange.method, "GET")
        if rest == ["ready"]:
            ready = self.answers(served)
            return Answer(200 if ready else 503, wire_response.write_json({"name": served.name, "ready": ready}))
        model, version = handle.model, handle.version.identity.version
        platform, interface = model.loaded.platform, model.manifest.interface
        if rest == ["config"]:
            config = wire_response.model_config(served.name, platform, model.manifest.backend.name, interface)
            return Answer(200, wire_response.write_json(config))
        if rest == ["stats"]:
            counted = self.metrics.stats.of(served.name).get(handle.version.identity) or VersionStats()
            said = wire_response.model_statistics([(served.name, version, counted)])
            return Answer(200, wire_response.write_json(said))
        return Answer(200, wire_response.model_metadata(served.name, version, platform, interface))


class Call:
    """One request about one version, from the handle's acquisition to its release."""

    __slots__ = ("_counted", "_exchange", "_handle", "_plane", "_served", "_started")

    _counted: VersionStats
    """Set by `start`."""

    def __init__(self, plane: DataPlane, served: Served, exchange: Exchange, handle: Handle[ReadyModel]) -> None:
        self._plane, self._served, self._exchange, self._handle = plane, served, exchange, handle
        self._started = 0.0

    def start(self) -> None:
        """Begin an inference, which answers by itself; it is counted whatever comes of it."""
        plane, exchange, handle = self._plane, self._exchange, self._handle
        self._started = time.perf_counter()
        version, name = handle.version.identity.version, self._served.name
        stats = plane.metrics.stats if exchange.header(PREVIEW) is None else plane.metrics.preview_stats
        self._counted = stats.begin(name, handle.version.identity)
        body, model = exchange.body, handle.model
        try:
            _refuse_encoding(exchange.header("content-encoding"))
            length = wire_request.header_length(exchange.header("inference-header-content-length"), len(body))
            within = _deadline(exchange.header("x-request-deadline"), plane.deadline)
            job = Job(
                model,
                decode=lambda: wire_request.decode(body, length, model.manifest.interface),
                encode=plane.shadow.beside(
                    self._served.swapper,
                    handle.version,
                    lambda request, outputs: wire_response.encode(name, version, request, outputs),
                ),
                done=self._done,
                wanted=lambda: not exchange.gone,
            )
            plane.admission.submit(job, within=within, small=len(body) <= SMALL)
        except RequestError as error:
            self._done(None, error)

    def _done(self, result: wire_response.Body | None, error: Exception | None, spent: Spent | None = None) -> None:
        """On the event loop, exactly once."""
        plane, name, identity = self._plane, self._served.name, self._handle.version.identity
        if result is not None:
            headers = {}
            if result.json_length is not None:
                headers["inference-header-content-length"] = str(result.json_length)
            answer = Answer(200, result.content, result.content_type, headers)
        elif error is not None:
            answer = error_answer(plane.explained(name, identity.version, error))
        else:
            answer = Answer(499)  # nginx's number for a client that has gone: counted, never sent
        seconds, header = time.perf_counter() - self._started, self._exchange.header
        plane.answered(
            self._served,
            self._handle,
            self._counted,
            answer.status,
            seconds,
            request=header("x-request-id"),
            header=header,
            spent=spent,
        )
        answer.headers[HEADER] = new_id(identity)
        named = self.named(answer)
        if not self._exchange.gone:
            self._exchange.answer(named)

    def named(self, answer: Answer) -> Answer:
        """Let the version go and put its name on its answer."""
        handle = self._handle
        handle.release()
        identity = handle.version.identity
        answer.headers["x-model-version"] = identity.version
        if identity.revision:
            # Two revisions may share a version's name; the operator tells by this which of them answers.
            answer.headers["x-model-revision"] = identity.revision
        return answer


def _hold_for_session(
    swapper: Swapper[ReadyModel], rule: SessionRule, header: Callable[[str], str | None]
) -> Handle[ReadyModel]:
    session, end = header(rule.key), header(_SESSION_END)
    if end not in _TRUTH:
        raise RequestError(400, f"header {_SESSION_END} is {end!r}; it must be true or false")
    handle = swapper.acquire(session)
    if session is not None and _TRUTH[end]:
        swapper.episodes.end(session)
    return handle


@lru_cache(256)
def _split(target: bytes) -> tuple[str, ...]:
    path = unquote_to_bytes(target.partition(b"?")[0]).decode(errors="replace")
    return tuple(path.rstrip("/").split("/")[1:])


def _only(method: str, allowed: str) -> None:
    if method != allowed:
        raise RequestError(405, f"method {method} is not allowed here; use {allowed}")


def _refuse_encoding(value: str | None) -> None:
    if value not in (None, "", "identity"):
        raise RequestError(400, f"header Content-Encoding {value!r} is not supported; send the body as it is")


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
