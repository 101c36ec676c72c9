"""The one way by which a source is asked over HTTP, whoever asks and with whichever library.

What holds for every exchange: the host is on the operator's list; the address that was checked is the address that is connected
to (so a name that resolves to something else a moment later gains nothing); no redirect is followed; no proxy, cookie or password of the
operator's environment is used; the answer is uncompressed, at most 1 MiB, and there as a whole within the time. What the
other side said gets into no message: only its status, and what the connection came to.

Names are resolved in threads of their own, so that a name server that hangs holds up nobody else in this process.
"""

import asyncio
import os
import socket
import ssl
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache, partial
from http import HTTPStatus
from typing import Final, Self

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

from .errors import Misconfigured, SourceError, Unavailable
from .hosts import Hosts

MOST: Final = 1 << 20
"""Bytes of an answer."""
_RESOLVERS: Final = 4
_CONNECTIONS: Final = 64
_CONNECTIONS_OF_A_HOST: Final = 8

_LATER: Final = (HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_EARLY, HTTPStatus.TOO_MANY_REQUESTS)

Resolve = Callable[[str, int], Awaitable[list[str]]]
"""The addresses of a host; raises OSError."""


class Door:
    """Asks URLs by GET. An asynchronous context manager; open it in the loop that uses it."""

    def __init__(self, hosts: Hosts, resolve: Resolve | None = None) -> None:
        """Ask `hosts` alone; `resolve` stands in for the system's resolver."""
        self._hosts = hosts
        self._threads = ThreadPoolExecutor(_RESOLVERS, "source-names")
        self._resolve = resolve or self._look_up
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        """Open it."""
        connector = aiohttp.TCPConnector(
            resolver=_Checked(self._hosts, self._resolve),
            limit=_CONNECTIONS,
            limit_per_host=_CONNECTIONS_OF_A_HOST,
            ttl_dns_cache=10,
        )
        self._session = aiohttp.ClientSession(
            connector=connector, cookie_jar=aiohttp.DummyCookieJar(), auto_decompress=False, trust_env=False
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close it; names that are being looked up are not waited for."""
        self._threads.shutdown(wait=False, cancel_futures=True)
        if self._session is not None:
            await self._session.close()

    async def get(
        self, url: str, namespace: str, headers: Mapping[str, str], limit: float, authority: str | None = None
    ) -> bytes:
        """The body of an answer of status 200 to an object of `namespace`, within `limit` seconds.

        `authority` is the CA certificates (PEM) to trust instead of the system's.

        Raises:
            Unavailable: there was no such answer, but there may be one later.
            Misconfigured: there will be none until something is changed.
        """
        admitted = self._hosts.admit(url, namespace)
        where = f"{admitted.raw_host}:{admitted.port}"
        try:
            async with asyncio.timeout(limit):
                return await self._exchange(
                    admitted, where, headers, True if authority is None else trusting(authority)
                )
        except TimeoutError as error:
            raise Unavailable(f"{where} gave no whole answer within {limit:g} s") from error
        except SourceError:
            raise
        except (aiohttp.ClientError, OSError, ValueError) as error:
            # From None: the library's messages quote what the other side sent, and its errors hold the headers that we sent.
            raise _failed(where, error) from None

    async def _exchange(
        self, url: URL, where: str, headers: Mapping[str, str], context: ssl.SSLContext | bool
    ) -> bytes:
        if self._session is None:
            raise RuntimeError("the door is not open: use `async with`")
        own = {"Accept": "application/json", "Accept-Encoding": "identity", "User-Agent": "luntra"}
        async with self._session.get(
            url,
            headers={**own, **headers},
            allow_redirects=False,
            ssl=context,
            timeout=aiohttp.ClientTimeout(total=None),
        ) as answer:
            if answer.status != HTTPStatus.OK:
                raise _refused(where, answer.status)
            if answer.headers.get("Content-Encoding", "identity") != "identity":
                raise Misconfigured(f"{where} compresses its answer though it was asked not to: have it leave that")
            body = bytearray()
            async for part in answer.content.iter_chunked(1 << 16):
                body += part
                if len(body) > MOST:
                    raise Misconfigured(f"the answer of {where} is longer than {MOST >> 20} MiB: ask for less")
            return bytes(body)

    async def _look_up(self, host: str, port: int) -> list[str]:
        look_up = partial(socket.getaddrinfo, host, port, type=socket.SOCK_STREAM)
        found = await asyncio.get_running_loop().run_in_executor(self._threads, look_up)
        return [str(address[0]) for *_, address in found]


class _Checked(AbstractResolver):
    """Resolves names to addresses that may be connected to, or fails."""

    def __init__(self, hosts: Hosts, resolve: Resolve) -> None:
        self._hosts, self._resolve = hosts, resolve

    async def resolve(
        self,
        host: str,
        port: int = 0,
        family: socket.AddressFamily = socket.AF_UNSPEC,  # noqa: ARG002 - the library's signature; we resolve to both
    ) -> list[ResolveResult]:
        addresses = list(dict.fromkeys(await self._resolve(host, port)))
        for address in addresses:
            if why := self._hosts.refusal(host, address):
                raise Misconfigured(f"{host} is not asked: it resolves to {why}")
        return [
            ResolveResult(
                hostname=host,
                host=address,
                port=port,
                family=socket.AF_INET6 if ":" in address else socket.AF_INET,
                proto=socket.IPPROTO_TCP,
                flags=socket.AI_NUMERICHOST | socket.AI_NUMERICSERV,
            )
            for address in addresses
        ]

    async def close(self) -> None:
        """Nothing to close."""


@lru_cache(maxsize=64)
def trusting(authority: str) -> ssl.SSLContext:
    """What trusts these CA certificates (PEM) alone; the same for the same ones, for connections are kept by it.

    Raises:
        Misconfigured: they are none.
    """
    try:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.load_verify_locations(cadata=authority)
    except (ssl.SSLError, ValueError) as error:
        raise Misconfigured(
            "the CA certificates cannot be read: they must be PEM, -----BEGIN CERTIFICATE----- and so on"
        ) from error
    return context


def _refused(where: str, status: int) -> SourceError:
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR or status in _LATER:
        return Unavailable(f"{where} answered {status}")
    if 300 <= status < 400:
        return Misconfigured(f"{where} answered {status}; redirects are not followed: give the address where it ends")
    if status in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN):
        return Misconfigured(f"{where} answered {status}: it wants another token, or one at all")
    return Misconfigured(f"{where} answered {status}: check the address, and what is asked")


def _failed(where: str, error: Exception) -> SourceError:
    """What a failure of the connection means. Of the error only our own side's words are used."""
    if isinstance(error, aiohttp.ClientConnectorCertificateError | ssl.SSLCertVerificationError):
        return Misconfigured(
            f"the certificate of {where} is not trusted, or not for this host: give its CA by caSecretRef or caConfigMapRef"
        )
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return Unavailable(f"the name {where} cannot be resolved")
    if isinstance(error, aiohttp.ClientSSLError):
        return Unavailable(f"{where} does not speak TLS as we do")
    if isinstance(error, aiohttp.ClientConnectorError):
        number = error.os_error.errno
        return Unavailable(
            f"{where} cannot be reached: {os.strerror(number) if number else type(error.os_error).__name__}"
        )
    if isinstance(error, aiohttp.InvalidURL):
        return Misconfigured("the address is no URL; write it like https://host:port/path")
    return Unavailable(f"the exchange with {where} broke off ({type(error).__name__})")
