"""`luntra-operator`: wait to be the leader, then watch and reconcile, term after term, until told to stop."""

import asyncio
import contextlib
import logging
import os
import signal
import sys
from collections.abc import AsyncIterator, Iterator

import aiohttp
from aiohttp import web

from luntra_operator.controller.sampling import Analysis
from luntra_operator.kube.client import Kube
from luntra_operator.kube.errors import KubeError
from luntra_operator.sources.opened import opened

from . import logs
from .borrowing import Borrowing
from .health import application
from .leading import Work, lead
from .lease import Lease, LeaseLostError
from .metrics import Metrics
from .settings import Settings, SettingsError
from .term import Term

log = logging.getLogger(__name__)


async def run(settings: Settings, stop: asyncio.Event, analysis: Analysis | None = None) -> None:
    """Run until `stop` is set, in as many terms as it takes; `analysis` judges live traffic; None: as declared.

    Raises:
        KubeError: the API server's configuration is unusable.
        LeaseLostError: work of a term that is over does not end; the process must.
    """
    metrics, acting = Metrics(), list[Term]()
    async with contextlib.AsyncExitStack() as stack:
        kube = await stack.enter_async_context(Kube.connect(witness=metrics.asked))
        session = await stack.enter_async_context(aiohttp.ClientSession())
        borrowing = Borrowing(kube)
        sources = await stack.enter_async_context(
            opened(settings.source_hosts, borrowing.secret, borrowing.config_map, settings.prometheus)
        )
        lease = Lease(kube, settings.namespace, settings.identity) if settings.leader_election else None
        writing = kube.fenced(lambda: lease.held) if lease is not None else kube

        @contextlib.contextmanager
        def term() -> Iterator[Work]:
            acting[:] = [Term(writing, session, settings, sources, analysis, metrics)]
            metrics.leader.set(1)
            try:
                yield acting[0].work
            finally:
                metrics.leader.set(0)
                metrics.forget()
                acting.clear()
                listen(stop)  # the watch library takes the signals for itself, and nothing gives them back

        health = application(lambda: [one for term in acting for one in term.problems()], metrics.registry)
        async with _served(health, settings.port):
            await lead(stop, lease, term)


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


def listen(stop: asyncio.Event) -> None:
    """Have SIGTERM and SIGINT set `stop`."""
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)


async def _main(settings: Settings) -> int:
    stop = asyncio.Event()
    listen(stop)
    try:
        await run(settings, stop)
    except (KubeError, LeaseLostError) as error:
        log.error("the operator stops: %s", error)  # noqa: TRY400
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
