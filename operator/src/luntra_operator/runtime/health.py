"""`/healthz` and `/metrics` on the operator's port.

/healthz answers 503 and says why when a worker hangs or a watch is dead: then a restart helps. It says nothing of
objects that go badly; their conditions do.
"""

from collections.abc import Callable

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest

from luntra_operator.controller.queue import LIMIT, WorkQueue

from .life import SignsOfLife

HUNG = LIMIT + 60.0
"""Seconds of work on one key after which its worker counts as hung: cancelling it has not helped."""

OVERDUE = 120.0
"""Seconds that a key may be due without a worker for it while none is busy."""


def problems(queue: WorkQueue, life: SignsOfLife) -> list[str]:
    """Why this process should be started anew; nothing when all is well."""
    running = queue.running
    found = [
        f"work on {namespace}/{name} hangs: it has been under way for {since:.0f} s"
        for (namespace, name), since in running.items()
        if since > HUNG
    ]
    if queue.overdue > OVERDUE and not running:
        found.append(f"a key is overdue for {queue.overdue:.0f} s and nobody works")
    return found + life.problems()


def application(problems: Callable[[], list[str]], registry: CollectorRegistry) -> web.Application:
    """The web application; it reads nothing but what is in memory."""

    async def healthz(_: web.Request) -> web.Response:
        found = problems()
        if found:
            return _last(web.Response(status=503, text="".join(f"{problem}\n" for problem in found)))
        return _last(web.Response(text="ok\n"))

    async def metrics(_: web.Request) -> web.Response:
        return _last(web.Response(body=generate_latest(registry), headers={"Content-Type": CONTENT_TYPE_LATEST}))

    app = web.Application()
    app.router.add_get("/healthz", healthz)
    app.router.add_get("/metrics", metrics)
    return app


def _last(answer: web.Response) -> web.Response:
    """The only answer of its connection: at the end of a term the watch library cancels what serves a connection that is kept."""
    answer.force_close()
    return answer
