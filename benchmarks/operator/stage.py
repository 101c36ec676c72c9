"""Where the contenders play: an API server with an audit log, controllers, a world and a metric source, for one run."""

from __future__ import annotations

import asyncio
import contextlib
import time
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from aiohttp import web

from benchmarks.operator.audit import policy
from benchmarks.operator.contenders.flagger import Flagger
from benchmarks.operator.contenders.luntra import Luntra
from benchmarks.operator.journal import Journal
from benchmarks.operator.source import Source
from benchmarks.operator.world import World
from benchmarks.serving.process import ServerProcess
from e2e.kind import definitions, gobuild, versions
from e2e.kind.binaries import binary
from e2e.kind.control_plane import free_ports, running, start_controllers
from e2e.kind.errors import HarnessError
from luntra_operator.kube import kinds
from luntra_operator.kube.client import Kube

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Coroutine, Iterator
    from pathlib import Path

    from benchmarks.operator.contenders.protocol import Contender
    from e2e.kind.control_plane import ApiServer
    from e2e.kind.progress import Progress

CONTENDERS = ("luntra", "flagger")
Result = TypeVar("Result")
PERSON, WORLD = "person", "world"
_GONE_WITHIN = 180.0
NAMESPACE = kinds.Kind("", "v1", "namespaces", "Namespace")


@dataclass(frozen=True)
class Stage:
    """Everything that a measurement needs; `kube` writes as a person does."""

    server: ApiServer
    kube: Kube
    world: World
    source: Source
    journal: Journal
    contenders: tuple[Contender, ...]
    progress: Progress

    @contextmanager
    def performing(self, contender: Contender, **options: str) -> Iterator[ServerProcess]:
        """Run a contender until the context ends.

        Raises:
            HarnessError: it ended, or did not answer in time.
        """
        [port] = free_ports(1)
        command, environment = contender.command(self.server.kubeconfig_of(contender.name), port, options)
        process = ServerProcess(command, None, self.server.folder / f"{contender.name}.log", environment)
        try:
            process.wait_ready(port, "/healthz")
            self.journal.guards.append(process.check)
            yield process
            self.journal.guards.remove(process.check)
        finally:
            process.stop()

    async def namespace(self, name: str) -> str:
        """A new namespace."""
        body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
        await self.kube.create(NAMESPACE, body)
        return name

    @asynccontextmanager
    async def namespaces(self, prefix: str, count: int) -> AsyncIterator[list[str]]:
        """Namespaces that are gone, with all that is in them, when the context has ended.

        Raises:
            HarnessError: they do not go.
        """
        names = [await self.namespace(f"{prefix}-{number}") for number in range(count)]
        yield names
        for name in names:
            await self.kube.delete(NAMESPACE, None, name)
        left, limit = set(names), time.monotonic() + _GONE_WITHIN
        while left:
            if time.monotonic() > limit:
                raise HarnessError(f"namespace {left.pop()} is not gone within {_GONE_WITHIN:g} s")
            await asyncio.sleep(0.5)
            left &= {found["metadata"]["name"] for found in await self.kube.list(NAMESPACE, None)}

    def resting(self, contender: Contender, namespace: str, name: str) -> bool:
        """Whether an object's rollout has ended, well or not."""
        return contender.at_rest(self.journal.statuses.get((namespace, name), {}))

    def now(self, namespace: str, name: str) -> dict[str, int]:
        """The weights of an object's route after the last write of its operator."""
        written = self.journal.routes.get((namespace, name))
        return written[-1].weights if written else {}


@asynccontextmanager
async def staged(progress: Progress) -> AsyncIterator[Stage]:
    """Set everything up, and take it down.

    Raises:
        HarnessError: a program cannot be had or does not start.
    """
    gateway_api = gobuild.module_folder("sigs.k8s.io/gateway-api", versions.GATEWAY_API, progress)

    def program(name: str) -> Path:
        return binary(name, progress)

    users = (*CONTENDERS, PERSON, WORLD)
    async with AsyncExitStack() as stack:
        server = stack.enter_context(running(program, users, policy(CONTENDERS, (PERSON, WORLD))))
        start_controllers(server, program)
        kube = await stack.enter_async_context(Kube.connect(kubeconfig=str(server.kubeconfig_of(PERSON))))
        hands = await stack.enter_async_context(Kube.connect(kubeconfig=str(server.kubeconfig_of(WORLD))))
        world, source = World(hands, server), Source()
        probe = await stack.enter_async_context(_served(world.data_plane()))
        metrics = await stack.enter_async_context(_served(source.application()))
        contenders = (Luntra(metrics, probe), Flagger(metrics))
        _install(server, gateway_api / "config/crd/standard", *(one.crds() for one in contenders))
        journal = Journal(server.audit_log)
        stack.callback(journal.close)
        await stack.enter_async_context(_beside(world))
        yield Stage(server, kube, world, source, journal, contenders, progress)


async def together(*work: Coroutine[None, None, Result]) -> list[Result]:
    """Do all at the same time; if one breaks off, the others are cancelled.

    Raises:
        HarnessError: why.
    """
    try:
        async with asyncio.TaskGroup() as tasks:
            begun = [tasks.create_task(one) for one in work]
    except* HarnessError as group:
        raise group.exceptions[0] from None
    return [task.result() for task in begun]


def _install(server: ApiServer, *folders: Path) -> None:
    definitions.install([str(binary("kubectl")), f"--kubeconfig={server.kubeconfig}"], *folders)


@asynccontextmanager
async def _served(app: web.Application) -> AsyncIterator[str]:
    [port] = free_ports(1)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", port).start()
        yield f"http://127.0.0.1:{port}"
    finally:
        await runner.cleanup()


@asynccontextmanager
async def _beside(world: World) -> AsyncIterator[None]:
    """The world turns while the context lasts; if it stops turning, that is an error."""
    playing, outer = asyncio.create_task(world.run()), asyncio.current_task()
    playing.add_done_callback(lambda task: None if task.cancelled() or outer is None else outer.cancel())
    try:
        yield
    finally:
        playing.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await playing
