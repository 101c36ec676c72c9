"""All sources that are asked over HTTP, ready for use, with one door, one memory of failures and one pool of threads."""

from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final

from .backoff import Backoff
from .borrowed import Borrowed, Read
from .door import Door
from .hosts import Hosts
from .prometheus import Prometheus
from .web import Web

THREADS: Final = 16


@dataclass(frozen=True, slots=True)
class Sources:
    """What a metric can be asked of."""

    prometheus: Prometheus
    web: Web


@asynccontextmanager
async def opened(hosts: Hosts, secrets: Read, config_maps: Read, prometheus: str = "") -> AsyncIterator[Sources]:
    """Sources that may ask `hosts`; `prometheus` is the address for queries that name none."""
    threads = ThreadPoolExecutor(THREADS, "sources")
    borrowed, backoff = Borrowed(secrets, config_maps), Backoff()
    try:
        async with Door(hosts) as door:
            yield Sources(
                Prometheus(door, borrowed, backoff, threads, prometheus), Web(door, borrowed, backoff, threads)
            )
    finally:
        threads.shutdown(wait=False, cancel_futures=True)
