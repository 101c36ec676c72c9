"""`/healthz` and `/metrics` on the operator's port.

/healthz turns 503 when a key is overdue for long, which is what a hung worker looks like from outside.
"""

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest

from luntra_operator.controller.queue import WorkQueue

OVERDUE_LIMIT = 120.0
"""Seconds that a key may wait for a worker before the operator counts as hung."""


def application(queue: WorkQueue, registry: CollectorRegistry) -> web.Application:
    """The web application; it reads nothing but what is in memory."""

    async def healthz(_: web.Request) -> web.Response:
        overdue = queue.overdue
        if overdue > OVERDUE_LIMIT:
            return web.Response(status=503, text=f"a key is overdue for {overdue:.0f} s: workers hang\n")
        return web.Response(text="ok\n")

    async def metrics(_: web.Request) -> web.Response:
        return web.Response(body=generate_latest(registry), headers={"Content-Type": CONTENT_TYPE_LATEST})

    app = web.Application()
    app.router.add_get("/healthz", healthz)
    app.router.add_get("/metrics", metrics)
    return app
