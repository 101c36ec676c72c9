"""Ask a Prometheus for one number, through `prometheus-api-client`.

The client is synchronous and has no time limit for an answer as a whole, so it runs in threads of the sources' own, and what it
sends goes through the `Door` like everything else: its transport hands each request to the event loop and waits there. So a
Prometheus that hangs costs a thread until its time is up, and never longer, and there is one place that says where requests may go.

What is no number is no data: an empty vector (no such series, or none in the window), NaN (0/0: no requests) and the infinities
(x/0: nothing to divide by). An infinity says that the query has no denominator just now, which is no evidence against a version;
and no data holds a rollout just as well, until its deadline.
"""

import asyncio
import io
import math
from collections.abc import Callable, Mapping
from concurrent.futures import Executor
from typing import Any

import requests
from prometheus_api_client import PrometheusConnect
from requests.adapters import BaseAdapter

from luntra_operator.api.sources import PrometheusQuery

from .backoff import Backoff
from .borrowed import Borrowed
from .door import Door
from .errors import Misconfigured, Unavailable
from .target import Target, fill, span

_NO_RESULT = (ValueError, KeyError, TypeError, IndexError, AttributeError, RecursionError)
"""What reading raises where the shape is another one than that of a result."""

Fetch = Callable[[str], bytes]
"""The body at a URL; raises SourceError."""


class Prometheus:
    """Values of PromQL queries."""

    def __init__(self, door: Door, borrowed: Borrowed, backoff: Backoff, threads: Executor, address: str = "") -> None:
        """Ask through `door` in `threads`; queries without an address ask `address`."""
        self._door, self._borrowed, self._backoff, self._threads = door, borrowed, backoff, threads
        self._address = address

    async def value(self, query: PrometheusQuery, target: Target) -> float | None:
        """The value of a query now; None: no data.

        Raises:
            Unavailable: no answer now.
            Misconfigured: none can come until something is changed.
        """
        address = (query.address or self._address).rstrip("/")
        if not address:
            raise Misconfigured(
                "prometheus.address is missing, and the operator has none of its own: give one, or set sources.prometheus"
            )
        text, namespace = fill(query.query, target), target.namespace
        token = query.bearer_token_secret_ref
        headers = {"Authorization": f"Bearer {await self._borrowed.header(namespace, token)}"} if token else {}
        authority = await self._borrowed.authority(namespace, query.ca_secret_ref, query.ca_config_map_ref)
        limit = query.time_limit

        async def ask() -> float | None:
            return await self._ask(address, text, namespace, headers, limit, authority)

        return await self._backoff.ask(namespace, address, ask)

    async def _ask(
        self, address: str, text: str, namespace: str, headers: Mapping[str, str], limit: float, authority: str | None
    ) -> float | None:
        loop = asyncio.get_running_loop()

        def fetch(url: str) -> bytes:
            exchange = self._door.get(url, namespace, headers, limit, authority)
            # The exchange has its own limit; this one is for a loop that has ended meanwhile and will never answer.
            return asyncio.run_coroutine_threadsafe(exchange, loop).result(limit + 1)

        try:
            async with asyncio.timeout(limit):  # the wait for a thread included
                return await loop.run_in_executor(self._threads, _query, address, text, limit, fetch)
        except TimeoutError as error:
            raise Unavailable(f"{address} gave no whole answer within {limit:g} s") from error


def _query(address: str, text: str, limit: float, fetch: Fetch) -> float | None:
    """One instant query, in a thread."""
    try:
        with _Session(fetch) as session:
            client = PrometheusConnect(address, session=session)
            return number(client.custom_query(text, params={"timeout": span(limit)}))
    except (*_NO_RESULT, requests.RequestException):
        # From None: some of these quote what they could not read.
        raise Misconfigured(f"{address} does not answer as a Prometheus does: check the address") from None


def number(result: Any) -> float | None:
    """The one number in `data.result` of an instant query: of a scalar, `[time, "value"]`, or of a vector's one element.

    Source: https://prometheus.io/docs/prometheus/latest/querying/api/#expression-query-result-formats

    Raises:
        Misconfigured: there are several, or something else than a number.
        ValueError, KeyError, TypeError: it is no such result.
    """
    if not isinstance(result, list):
        raise TypeError("a result is a list")
    if not result:
        return None
    if isinstance(result[0], int | float):
        return _finite(result)
    if len(result) > 1:
        raise Misconfigured(
            f"the query gives {len(result)} series, and one is needed: aggregate them, for instance by sum(…)"
        )
    (series,) = result
    if "values" in series or "histograms" in series:
        raise Misconfigured("the query gives a range of values, and one is needed: wrap it, for instance in rate(…)")
    if "histogram" in series:
        raise Misconfigured(
            "the query gives a native histogram: take a number of it, for instance by histogram_quantile(…)"
        )
    return _finite(series["value"])


def _finite(sample: Any) -> float | None:
    _, text = sample
    value = float(text)
    return value if math.isfinite(value) else None


class _Session(requests.Session):
    """A session that has one way out, whatever the URL, and takes nothing from the environment."""

    def __init__(self, fetch: Fetch) -> None:
        super().__init__()
        self.trust_env = False
        self._transport = _Transport(fetch)

    def get_adapter(self, url: str | bytes) -> BaseAdapter:  # noqa: ARG002 - the library's signature
        return self._transport


class _Transport(BaseAdapter):
    def __init__(self, fetch: Fetch) -> None:
        super().__init__()
        self._fetch = fetch

    def send(self, request: requests.PreparedRequest, *_: Any, **__: Any) -> requests.Response:
        """The answer to a request; its headers, limits and certificates are the door's."""
        answer = requests.Response()
        answer.status_code = 200  # any other has been raised
        answer.raw = io.BytesIO(self._fetch(request.url or ""))
        answer.encoding = "utf-8"
        answer.request, answer.url = request, request.url or ""
        return answer

    def close(self) -> None:
        """Nothing to close."""
