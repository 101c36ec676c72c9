"""The life of the process: listen, load, serve, and leave without dropping a request.

On SIGTERM: readiness goes off; requests are still answered for the termination delay, each with `Connection: close`;
then new connections are refused, what is in flight finishes, and the exit code is 0. A version that cannot be loaded
ends the process: 3 if it never can be, 1 if trying later may help.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import socket
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import uvicorn

from luntra_serving.server.admission import Admission
from luntra_serving.server.cores import usable_cores
from luntra_serving.server.dataplane import DataPlane, Readiness
from luntra_serving.server.listener import Listener
from luntra_serving.server.management import Management
from luntra_serving.server.models import Models
from luntra_serving.server.remembered import forget, remember
from luntra_serving.server.shadow import Shadow
from luntra_serving.server.termination import write_termination
from luntra_serving.server.tokens import Keys, SharedToken
from luntra_serving.swap.events import EventLog
from luntra_serving.telemetry.access import AccessLog
from luntra_serving.telemetry.metrics import ServingMetrics
from luntra_serving.telemetry.transitions import report

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Generator, Sequence
    from pathlib import Path

    from luntra_serving.server.document import Document
    from luntra_serving.server.grpc.listener import GrpcListener
    from luntra_serving.server.model import ReadyModel
    from luntra_serving.server.settings import Settings
    from luntra_serving.swap.loading import LoadFailedError
    from luntra_serving.telemetry.traces import Traces

EXIT_PERMANENT = 3
EXIT_TRANSIENT = 1
_BACKLOG = 2048
_SWEEP = 1.0
"""Seconds between two looks for sessions that have fallen silent."""
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Listening:
    """The bound sockets; gRPC's belongs to its library."""

    http: socket.socket
    management: socket.socket
    grpc: GrpcListener | None = None


class _Server(uvicorn.Server):
    """A server that leaves the signals alone: they belong to the process."""

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        yield


def listen(settings: Settings) -> Listening:
    """Listen on all ports: what connects from now on waits until it is served. Raises OSError with the address in its message.

    Called on the event loop, which gRPC wants from the start.
    """
    return Listening(
        _bind(settings.host, settings.http_port),
        _bind(settings.management_host, settings.management_port),
        None if settings.grpc_port is None else _listen_grpc(settings, settings.grpc_port),
    )


def _listen_grpc(settings: Settings, port: int) -> GrpcListener:
    # Imported where somebody asks for it: the library costs 17 MB and a tenth of a second.
    from luntra_serving.server.grpc.listener import GrpcListener

    delay = settings.termination_delay
    return GrpcListener(settings.host, port, max_body=settings.max_body, termination_delay=delay)


def _bind(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    bound = socket.socket(family, socket.SOCK_STREAM)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        bound.bind((host, port))
        bound.listen(_BACKLOG)
    except OSError as error:
        bound.close()
        raise OSError(error.errno, f"cannot listen on {host}:{port}: {error.strerror}; choose another port") from error
    return bound


async def run(
    settings: Settings,
    documents: Sequence[Document],
    needed: Collection[str],
    listening: Listening,
    on_ready: Callable[[ReadyModel], None] = lambda _model: None,
    traces: Traces | None = None,
) -> int:
    """Serve until told to stop; return the exit code of the process.

    `needed` are the names of the models without which the process is not ready, and not worth running. Whoever made `traces`
    closes them.
    """
    stop, hurry, changed = asyncio.Event(), asyncio.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()

    def told_to_stop() -> None:
        (hurry if stop.is_set() else stop).set()
        changed.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, told_to_stop)

    metrics, readiness = ServingMetrics(), Readiness()
    events = EventLog(listener=lambda event: report(event, metrics))
    writer = ThreadPoolExecutor(max_workers=1, thread_name_prefix="documents")

    def load_has_ended() -> None:
        with contextlib.suppress(RuntimeError):  # the loop is over, and nobody waits for a load any more
            loop.call_soon_threadsafe(changed.set)

    models = Models(settings, events, load_has_ended)
    for document in documents:
        models.add(document, needed=document.model in needed)
    admission = Admission(
        workers=max(2, settings.threads or usable_cores()),
        max_queue=settings.max_queue,
        max_batch=max(1, settings.max_batch),
        batch_delay=settings.batch_delay,
        ran=metrics.ran_together,
    )
    dataplane = DataPlane(
        models=models,
        admission=admission,
        metrics=metrics,
        readiness=readiness,
        shadow=Shadow(metrics),
        deadline=settings.deadline,
        access=AccessLog(settings.access_log),
        traces=traces,
    )
    inference = Listener(dataplane, settings.max_body)
    metrics.watch(lambda: inference.connections, lambda: admission.waiting, models.resident, models.feedback)
    chores = [asyncio.create_task(metrics.watch_loop()), asyncio.create_task(_sweep(models))]
    await inference.start(listening.http)
    if listening.grpc is not None:
        await listening.grpc.start(dataplane)
    management = _server(
        Management(
            models,
            events,
            metrics,
            readiness,
            keep=lambda name: writer.submit(_keep, settings.cache_dir, models, name),
            keys=Keys(settings.keys, settings.pod_uid) if settings.keys else None,
            feedback_token=SharedToken(settings.feedback_token_file) if settings.feedback_token_file else None,
        ).app()
    )
    managing = asyncio.create_task(management.serve([listening.management]))
    failure = await _load_or_stop(models, changed, stop)
    if failure is None and not stop.is_set():
        _greet(models, on_ready)
        await stop.wait()
    readiness.draining = inference.draining = True
    if failure is None:
        _log.info("leaving", extra={"accepting_for_seconds": settings.termination_delay})
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(hurry.wait(), settings.termination_delay)
    ports: list[Listener | GrpcListener] = [inference] if listening.grpc is None else [inference, listening.grpc]
    await asyncio.gather(*(port.leave(settings.drain_limit) for port in ports))
    management.should_exit = True
    await managing
    for chore in chores:
        chore.cancel()
    await asyncio.to_thread(writer.shutdown)
    return _exit_code(failure)


def _greet(models: Models, on_ready: Callable[[ReadyModel], None]) -> None:
    for served in models:
        if served.needed:
            with served.swapper.acquire() as model:
                on_ready(model)


def _keep(cache: Path, models: Models, name: str) -> None:
    """On the writer's thread, one at a time: what is written last is what is wanted last."""
    if name in models:
        remember(cache, models.find(name).desired.document)
    else:
        forget(cache, name)


async def _sweep(models: Models) -> None:
    """End sessions that have fallen silent, until cancelled."""
    while True:
        await asyncio.sleep(_SWEEP)
        await asyncio.to_thread(models.sweep)


def _server(application: Any) -> _Server:
    config = uvicorn.Config(
        application,
        http="httptools",
        ws="none",
        lifespan="off",
        access_log=False,
        log_config=None,
        server_header=False,
        date_header=False,
        proxy_headers=False,
        timeout_graceful_shutdown=1,
    )
    return _Server(config)


async def _load_or_stop(models: Models, changed: asyncio.Event, stop: asyncio.Event) -> LoadFailedError | None:
    """Load the models; return why one that is needed cannot be loaded, or None.

    Returns once all that are needed are ready, or the process is told to stop. What is wanted may change meanwhile.
    """
    for served in models:
        served.desired.step()
    while not (models.ready or models.failure or stop.is_set()):
        changed.clear()
        await changed.wait()
    return None if models.ready else models.failure


def _exit_code(failure: LoadFailedError | None) -> int:
    if failure is None:
        _log.info("drained")
        return 0
    fix = "correct the ModelDeployment or the bundle" if failure.permanent else "check the source and the cache volume"
    _log.error("version cannot be loaded", extra={"reason": failure.reason, "why": failure.message, "fix": fix})
    write_termination(failure)
    return EXIT_PERMANENT if failure.permanent else EXIT_TRANSIENT
