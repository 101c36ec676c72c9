"""Ask a URL for a JSON document, and take one number out of it."""

import asyncio
from concurrent.futures import Executor

from luntra_operator.api.sources import WebQuery

from .backoff import Backoff
from .borrowed import Borrowed
from .door import Door
from .errors import Unavailable
from .json_path import find
from .target import Target, fill


class Web:
    """Numbers in documents at URLs."""

    def __init__(self, door: Door, borrowed: Borrowed, backoff: Backoff, threads: Executor) -> None:
        """Ask through `door`; documents are read in `threads`."""
        self._door, self._borrowed, self._backoff, self._threads = door, borrowed, backoff, threads

    async def value(self, query: WebQuery, target: Target) -> float | None:
        """The number that a URL has now; None: no data.

        Raises:
            Unavailable: no answer now.
            Misconfigured: none can come until something is changed.
        """
        url, namespace = fill(query.url, target), target.namespace
        headers = {ref.header: await self._borrowed.header(namespace, ref) for ref in query.headers or []}
        authority = await self._borrowed.authority(namespace, query.ca_secret_ref, query.ca_config_map_ref)

        limit = query.time_limit

        async def ask() -> float | None:
            try:
                async with asyncio.timeout(limit):  # the wait for a thread included
                    document = await self._door.get(url, namespace, headers, limit, authority)
                    return await asyncio.get_running_loop().run_in_executor(
                        self._threads, find, document, query.json_path
                    )
            except TimeoutError as error:
                raise Unavailable(f"{_origin(url)} gave no whole answer within {limit:g} s") from error

        return await self._backoff.ask(namespace, _origin(url), ask)


def _origin(url: str) -> str:
    """Scheme, host and port."""
    return "/".join(url.split("/", 3)[:3]).partition("?")[0]
