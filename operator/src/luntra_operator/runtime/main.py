"""`luntra-operator`: wait to be the leader, then watch and reconcile until told to stop."""

import asyncio
import contextlib
import logging
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from typing import Any

import aiohttp
from aiohttp import web

from luntra_operator.controller.dataplane import DataPlane
from luntra_operator.controller.execute import Images
from luntra_operator.controller.fleet import Fleet
from luntra_operator.controller.keys import StoredKeys
from luntra_operator.controller.queue import Key, Priority, WorkQueue
from luntra_operator.controller.reconcile import Analysis, Reconciler
from luntra_operator.kube.client import Kube
from luntra_operator.kube.errors import KubeError

from . import logs
from .health import application, problems
from .lease import Lease, LeaseLostError
from .life import SignsOfLife
from .metrics import Metrics
from .resync import resync
from .settings import Settings, SettingsError
from .watches import WATCHED, Watches

log = logging.getLogger(__name__)


async def run(settings: Settings, stop: asyncio.Event, analysis: Analysis | None = None) -> None:
    """Run until `stop` is set or leadership is lost; without `analysis` nobody judges live traffic.

    Raises:
        KubeError: the API server's configuration is unusable.
        LeaseLostError: another process may be acting; this one must end.
    """
    metrics = Metrics()
    async with Kube.connect(witness=metrics.asked) as kube, aiohttp.ClientSession() as session:
        images = Images(serving=settings.serving_image, checks=settings.check_image)
        keys = StoredKeys(kube, settings.namespace)
        fleet = _fleet(kube, settings, lambda key, after: queue.add(key, after))
        reconciler = Reconciler(
            kube,
            DataPlane(kube, session),
            images,
            analysis,
            fleet=fleet,
            written=metrics.written,
            keys=lambda: keys.ring.public,
        )
        queue = WorkQueue(metrics.measured(reconciler), workers=settings.workers)
        life = SignsOfLife(WATCHED)
        watches = Watches(queue, settings.namespaces, life)
        metrics.read(queue, watches, life)
        if fleet is not None:
            metrics.watch_accelerators(fleet.ledger)

        async def reconcile() -> None:
            await keys.known.wait()  # a workload that was made without keys would never take a document
            await queue.run()

        def hand_out() -> None:
            for key in watches.keys:
                queue.add(key, priority=Priority.BACKGROUND)

        async def net() -> None:
            if fleet is not None:
                await fleet.count()
            await resync(kube, queue, settings.namespaces, watches, reconciler)

        work = {
            "queue": reconcile,
            "keys": lambda: keys.run(hand_out),
            "watches": lambda: watches.run(asyncio.Event()),
            "resync": net,
        }
        async with _served(application(lambda: problems(queue, life), metrics.registry), settings.port):
            await _lead(stop, kube, metrics, settings, work)


def _fleet(kube: Kube, settings: Settings, wake: Callable[[Key, float], None]) -> Fleet | None:
    if settings.accelerators is None:
        return None
    return Fleet(kube, settings.accelerators, wake, settings.namespaces)


async def _lead(
    stop: asyncio.Event,
    kube: Kube,
    metrics: Metrics,
    settings: Settings,
    work: Mapping[str, Callable[[], Coroutine[Any, Any, None]]],
) -> None:
    """Do the work, by name, once this process is the leader, until one part of it ends."""
    lease = Lease(kube, settings.namespace, settings.identity)
    if settings.leader_election and not await _unless(stop, lease.acquire()):
        return
    metrics.leader.set(1)
    tasks: list[asyncio.Task[Any]] = [asyncio.create_task(begin(), name=name) for name, begin in work.items()]
    tasks.append(asyncio.create_task(stop.wait(), name="stop"))
    if settings.leader_election:
        tasks.append(asyncio.create_task(lease.hold(), name="lease"))
    done, pending = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    for task in pending:
        task.cancel()
    await asyncio.gather(*pending, return_exceptions=True)
    if settings.leader_election:
        await lease.release()
    for task in done:
        log.info("stopping: %s ended", task.get_name())
        task.result()


async def _unless(stop: asyncio.Event, waiting: Coroutine[None, None, None]) -> bool:
    """Whether `waiting` ended before `stop` was set; it is cancelled otherwise."""
    task, stopped = asyncio.create_task(waiting), asyncio.create_task(stop.wait())
    done, pending = await asyncio.wait([task, stopped], return_when=asyncio.FIRST_COMPLETED)
    for one in pending:
        one.cancel()
    await asyncio.gather(*pending, return_exceptions=True)
    if task in done:
        task.result()
    return task in done


@contextlib.asynccontextmanager
async def _served(app: web.Application, port: int) -> AsyncIterator[None]:
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, port=port).start()
        yield
    finally:
        await runner.cleanup()


def main() -> int:
    """Entry point of the container; the exit code is 0 after SIGTERM, 1 on failure, 2 on wrong settings."""
    logs.configure(os.environ.get("LUNTRA_LOG_LEVEL", "INFO"))
    try:
        settings = Settings.from_environment()
    except SettingsError as error:
        log.error("%s", error)  # noqa: TRY400 - the message is all there is to say
        return 2
    return asyncio.run(_main(settings))


async def _main(settings: Settings) -> int:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    try:
        await run(settings, stop)
    except (KubeError, LeaseLostError) as error:
        log.error("the operator stops: %s", error)  # noqa: TRY400
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
