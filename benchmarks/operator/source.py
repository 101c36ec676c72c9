"""The metric source of both contenders: it speaks enough of Prometheus' API, and says bad of an object when it is told to.

It is Flagger's gate for the next step, too. What it has answered, and when, is kept: one clock for both.
"""

from __future__ import annotations

import re
import time
from collections import defaultdict

from aiohttp import web

_OBJECT = re.compile(r'object="([^"]+)"')


def query(namespace: str, name: str) -> str:
    """The question whose answer is 0 for a good object and 1 for a bad one."""
    return f'bad{{object="{namespace}/{name}"}}'


class Source:
    """Answers 0 for every object that is not in `bad`; the key of an object is `namespace/name`."""

    def __init__(self) -> None:
        """Everything is good and every gate open."""
        self._bad: set[str] = set()
        self._closed: set[str] = set()
        self.told: dict[str, list[float]] = defaultdict(list)

    def turn_bad(self, key: str) -> float:
        """Say bad from now on; the time."""
        self._bad.add(key)
        return time.time()

    def turn_good(self, key: str) -> None:
        """Say good from now on, and open the gate."""
        self._bad.discard(key)
        self._closed.discard(key)

    def close_gate(self, key: str) -> None:
        """Let Flagger go no further."""
        self._closed.add(key)

    def open_gate(self, key: str) -> None:
        """Let Flagger go on."""
        self._closed.discard(key)

    def first_told(self, key: str, since: float) -> float | None:
        """When somebody was first told that it is bad."""
        return next((moment for moment in self.told[key] if moment >= since), None)

    def application(self) -> web.Application:
        """The port."""
        app = web.Application()
        app.router.add_get("/api/v1/query", self._query)
        app.router.add_post("/gate/{namespace}/{name}", self._gate)
        return app

    async def _query(self, request: web.Request) -> web.Response:
        asked = request.query.get("query", "")
        found = _OBJECT.search(asked)
        value = "1" if asked == "vector(1)" or (found and found[1] in self._bad) else "0"
        now = time.time()
        if found and value == "1":
            self.told[found[1]].append(now)
        result = [{"metric": {}, "value": [now, value]}]
        return web.json_response({"status": "success", "data": {"resultType": "vector", "result": result}})

    async def _gate(self, request: web.Request) -> web.Response:
        key = f"{request.match_info['namespace']}/{request.match_info['name']}"
        return web.Response(status=403 if key in self._closed else 200)
