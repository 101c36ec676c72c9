"""The one way out: what it connects to, what it refuses to follow or to read, and what it says of it."""

import asyncio
import gzip
import ssl
import threading
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from aiohttp import web

from luntra_operator.sources.door import MOST, Door, trusting
from luntra_operator.sources.errors import Misconfigured, SourceError, Unavailable
from luntra_operator.sources.hosts import parse
from tests.operator.sources.conftest import Site
from tests.serving.tls import Authority, https_site, make_authority

SECRET = "hush"
SECONDS = 20.0


def resolving(*answers: list[str]) -> Callable[[str, int], object]:
    """A resolver that gives these answers, one look-up after the other, and the last one from then on."""
    left = list(answers)

    async def resolve(host: str, port: int) -> list[str]:
        return left.pop(0) if len(left) > 1 else left[0]

    return resolve


async def get(door: Door, url: str, limit: float = SECONDS, **headers: str) -> bytes:
    return await door.get(url, "team-a", headers, limit)


async def test_answer_of_a_listed_host_comes_through(site: Site) -> None:
    site.body = b'{"a": 1}'
    async with Door(parse("127.0.0.1")) as door:
        assert await get(door, f"{site.url}/x?y=1", Authorization="Bearer t") == b'{"a": 1}'
    (asked,) = site.asked
    assert (asked.method, asked.path_qs, asked.headers["Authorization"]) == ("GET", "/x?y=1", "Bearer t")
    assert asked.headers["Accept-Encoding"] == "identity"
    assert "Cookie" not in asked.headers


async def test_host_that_is_not_listed_is_not_even_connected_to(site: Site) -> None:
    async with Door(parse("elsewhere.example")) as door:
        with pytest.raises(Misconfigured, match=r"sources.hosts"):
            await get(door, site.url)
    assert site.asked == []


@pytest.mark.parametrize(
    "addresses", [["127.0.0.1"], ["169.254.169.254"], ["10.0.0.1", "127.0.0.1"], ["::ffff:127.0.0.1"]]
)
async def test_listed_name_that_resolves_to_the_pod_itself_is_not_connected_to(
    site: Site, addresses: list[str]
) -> None:
    port = site.url.rpartition(":")[2]
    async with Door(parse("rebound.example"), resolving(addresses)) as door:  # type: ignore[arg-type]
        with pytest.raises(Misconfigured, match=r"rebound.example is not asked: it resolves to") as refused:
            await get(door, f"http://rebound.example:{port}/")
    assert site.asked == []
    assert not any(address in str(refused.value) for address in addresses)


async def test_all_who_wait_for_a_name_are_told_that_it_is_refused(site: Site) -> None:
    async with Door(parse("rebound.example"), resolving(["127.0.0.1"])) as door:  # type: ignore[arg-type]
        told = await asyncio.gather(*(get(door, "http://rebound.example/") for _ in range(5)), return_exceptions=True)
    assert {type(one) for one in told} == {Misconfigured}


async def test_what_was_checked_is_what_is_connected_to() -> None:
    """A name that resolves to something harmless when it is looked at and to the pod itself later: it is looked up once."""
    looked = 0

    async def resolve(host: str, port: int) -> list[str]:
        nonlocal looked
        looked += 1
        return ["192.0.2.1"] if looked == 1 else ["127.0.0.1"]  # TEST-NET: nobody is there

    async with Door(parse("rebound.example"), resolve) as door:
        with pytest.raises(Unavailable):
            await get(door, "http://rebound.example:9/", 1.0)
    assert looked == 1


async def test_redirect_is_refused_and_its_end_not_told(site: Site) -> None:
    site.status, site.headers = 302, {"Location": f"http://127.0.0.1:1/{SECRET}"}
    async with Door(parse("127.0.0.1")) as door:
        with pytest.raises(Misconfigured, match="answered 302; redirects are not followed") as refused:
            await get(door, site.url)
    assert len(site.asked) == 1
    assert SECRET not in str(refused.value)


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (500, Unavailable),
        (503, Unavailable),
        (429, Unavailable),
        (401, Misconfigured),
        (403, Misconfigured),
        (404, Misconfigured),
        (204, Misconfigured),
    ],
)
async def test_status_says_whether_to_ask_again_and_the_body_is_not_told(
    site: Site, status: int, kind: type[SourceError]
) -> None:
    site.status, site.body = status, SECRET
    async with Door(parse("127.0.0.1")) as door:
        with pytest.raises(kind, match=str(status)) as refused:
            await get(door, site.url)
    assert SECRET not in str(refused.value)


@pytest.mark.parametrize("whole", [True, False])
async def test_answer_of_10_mib_is_given_up_after_the_first(site: Site, whole: bool) -> None:
    sent = 0

    async def answer(request: web.Request) -> web.StreamResponse:
        nonlocal sent
        stream = web.StreamResponse(headers={"Content-Length": str(10 * MOST)} if whole else {})
        await stream.prepare(request)
        try:
            while sent < 10 * MOST:
                await stream.write(b" " * (1 << 16))
                sent += 1 << 16
        except ConnectionError:
            pass
        return stream

    site.answer = answer
    async with Door(parse("127.0.0.1")) as door:
        with pytest.raises(Misconfigured, match="longer than 1 MiB"):
            await get(door, site.url)
    assert sent < 10 * MOST


async def test_small_answer_that_would_unfold_is_not_unfolded(site: Site) -> None:
    site.body, site.headers = gzip.compress(b" " * (8 * MOST)), {"Content-Encoding": "gzip"}
    async with Door(parse("127.0.0.1")) as door:
        with pytest.raises(Misconfigured, match="compresses its answer"):
            await get(door, site.url)


async def test_server_that_says_nothing_is_waited_for_no_longer_than_declared(site: Site) -> None:
    site.answer = site.hang
    async with Door(parse("127.0.0.1")) as door:
        with pytest.raises(Unavailable, match=r"gave no whole answer within 0.1 s"):
            await get(door, site.url, 0.1)


async def test_answer_that_drips_is_not_an_answer(site: Site) -> None:
    async def drip(request: web.Request) -> web.StreamResponse:
        stream = web.StreamResponse()
        await stream.prepare(request)
        while not site.released.is_set():
            try:
                await stream.write(b" ")
                await asyncio.wait_for(site.released.wait(), 0.02)
            except TimeoutError:
                continue
            except ConnectionError:
                break
        return stream

    site.answer = drip
    async with Door(parse("127.0.0.1")) as door:
        with pytest.raises(Unavailable, match=r"no whole answer within 0.3 s"):
            await get(door, site.url, 0.3)


async def test_nobody_there_is_told_in_our_own_words(unused_tcp_port: int) -> None:
    async with Door(parse("127.0.0.1")) as door:
        with pytest.raises(Unavailable, match="cannot be reached: Connection refused"):
            await get(door, f"http://127.0.0.1:{unused_tcp_port}/")


@pytest.mark.parametrize(
    "words",
    [
        f"220 {SECRET} ESMTP",
        f"HTTP/1.1 {SECRET} 200",
        f"HTTP/1.1 200 OK\r\n{SECRET} {SECRET}",
        f"HTTP/1.1 200 OK\r\nContent-Length: {SECRET}",
        f"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{SECRET}",
        "HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\nshort",
        "",
    ],
)
async def test_words_of_a_server_that_speaks_no_http_are_not_told(words: str) -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readline()
        writer.write(f"{words}\r\n\r\n".encode())
        writer.close()

    server = await asyncio.start_server(talk, "127.0.0.1", 0)
    async with server, Door(parse("127.0.0.1")) as door:
        with pytest.raises(Unavailable, match="broke off") as refused:
            await get(door, f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/", Authorization=f"Bearer {SECRET}")
    assert SECRET not in "".join(traceback.format_exception(refused.value))


async def test_name_server_that_hangs_does_not_hold_up_the_process() -> None:
    never, entered = threading.Event(), threading.Event()
    door = Door(parse("*.example, 127.0.0.1"))

    async def hang(host: str, port: int) -> list[str]:
        def wait() -> list[str]:
            entered.set()
            never.wait(SECONDS)
            return []

        return await asyncio.get_running_loop().run_in_executor(door._threads, wait)

    door._resolve = hang
    try:
        async with door:
            told = await asyncio.gather(
                *(get(door, f"http://n{n}.example/", 0.2) for n in range(40)), return_exceptions=True
            )
            assert {type(one) for one in told} == {Unavailable}
            assert entered.is_set()
            assert await asyncio.to_thread(lambda: "free") == "free"
    finally:
        never.set()


async def test_name_that_does_not_exist_may_come_to_exist() -> None:
    async with Door(parse("*.invalid")) as door:
        with pytest.raises(Unavailable, match=r"the name a.invalid:80 cannot be resolved"):
            await get(door, "http://a.invalid/")


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return make_authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture
def secure(authority: Authority, tmp_path: Path) -> Iterator[str]:
    (tmp_path / "x").write_text("[1]")
    with https_site(tmp_path, authority) as site:
        yield f"{site.uri}/x"


async def test_private_authority_is_trusted_where_it_is_given_and_nowhere_else(
    secure: str, authority: Authority
) -> None:
    async with Door(parse("127.0.0.1, localhost")) as door:
        assert await door.get(secure, "x", {}, SECONDS, authority.certificate.read_text()) == b"[1]"
        with pytest.raises(Misconfigured, match=r"certificate of 127.0.0.1:\d+ is not trusted.*caSecretRef"):
            await door.get(secure, "x", {}, SECONDS)
        other = secure.replace("127.0.0.1", "localhost")
        with pytest.raises(Misconfigured, match="or not for this host"):
            await door.get(other, "x", {}, SECONDS, authority.certificate.read_text())


async def test_plain_http_where_tls_is_expected_is_told(site: Site) -> None:
    async with Door(parse("127.0.0.1")) as door:
        with pytest.raises(Unavailable, match="does not speak TLS"):
            await get(door, site.url.replace("http:", "https:"))


@pytest.mark.parametrize("text", ["no certificate", "", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----"])
def test_certificates_that_are_none_are_told(text: str) -> None:
    with pytest.raises(Misconfigured, match="they must be PEM"):
        trusting(text)


def test_connections_are_kept_by_their_certificates(authority: Authority) -> None:
    text = authority.certificate.read_text()
    assert trusting(text) is trusting(text)
    assert trusting(text).verify_mode is ssl.CERT_REQUIRED
