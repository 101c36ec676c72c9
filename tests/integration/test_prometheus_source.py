"""The Prometheus source against a real Prometheus that scrapes a small exporter: numbers, no data, and every kind of trouble."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import threading
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

import pytest
import yaml
from aiohttp import ClientSession, web

from e2e.kind import binaries
from e2e.kind.progress import dies_with_us
from luntra_operator.api.sources import PrometheusQuery
from luntra_operator.sources.backoff import Backoff
from luntra_operator.sources.borrowed import Borrowed
from luntra_operator.sources.door import Door
from luntra_operator.sources.errors import Misconfigured, Unavailable
from luntra_operator.sources.hosts import parse
from luntra_operator.sources.prometheus import Prometheus
from luntra_operator.sources.target import Target
from tests.operator.sources.conftest import Borrower, Clock
from tests.serving.tls import make_authority

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

PATIENCE = 60.0
"""Seconds until what should come about has not."""
TARGET = Target("team-a", "gas-price", "0a1b2c3d4e", "f0e1d2c3b4", "gas-price-w2", "gas-price-w1", 10.0)
MANY = 4000


class Exporter(BaseHTTPRequestHandler):
    """Two revisions that serve, one of them with errors; something that is no number, and a lot."""

    began = time.monotonic()

    def do_GET(self) -> None:
        passed = time.monotonic() - self.began
        lines = [
            f'requests_total{{revision="0a1b2c3d4e",pod="a"}} {1000 * passed}',
            f'requests_total{{revision="0a1b2c3d4e",pod="b"}} {1000 * passed}',
            f'errors_total{{revision="0a1b2c3d4e",pod="a"}} {500 * passed}',
            'nothing{revision="0a1b2c3d4e"} NaN',
            'zero{revision="0a1b2c3d4e"} 0',
            'gauge{revision="0a1b2c3d4e"} 0.125',
            *(f'many{{n="{n}"}} 1' for n in range(MANY)),
        ]
        self.send_response(200)
        self.send_header("Content-Type", "text/plain; version=0.0.4")
        self.end_headers()
        self.wfile.write("\n".join([*lines, ""]).encode())

    def log_message(self, *_: object) -> None:
        pass


@dataclass
class Server:
    """A Prometheus; it can be stopped, started again and frozen."""

    folder: Path
    port: int
    scheme: str = "http"
    flags: tuple[str, ...] = ()
    process: subprocess.Popen[bytes] | None = field(default=None, repr=False)

    @property
    def url(self) -> str:
        return f"{self.scheme}://127.0.0.1:{self.port}"

    def start(self) -> None:
        program = binaries.find("prometheus")
        if program is None:
            raise pytest.UsageError("prometheus has not been built yet. Type: python -m e2e.kind binaries")
        command = [
            str(program),
            f"--config.file={self.folder / 'prometheus.yaml'}",
            f"--storage.tsdb.path={self.folder / 'data'}",
            f"--web.listen-address=127.0.0.1:{self.port}",
            *self.flags,
        ]
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(dies_with_us(command), stdout=log, stderr=log)

    def signal(self, number: signal.Signals) -> None:
        assert self.process is not None
        os.kill(self.process.pid, number)

    def halt(self) -> None:
        """Stop it where it stands; the signal takes its time on a busy machine."""
        self.signal(signal.SIGSTOP)
        assert self.process is not None
        stat, deadline = Path(f"/proc/{self.process.pid}/stat"), time.monotonic() + PATIENCE
        while stat.read_text().rpartition(") ")[2][0] != "T":
            assert time.monotonic() < deadline, "it does not stop"
            time.sleep(0.01)

    def stop(self) -> None:
        if self.process is not None:
            self.signal(signal.SIGCONT)
            self.process.terminate()
            self.process.wait(PATIENCE)
            self.process = None


@contextmanager
def exporting() -> Iterator[int]:
    """The exporter's port."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Exporter)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def configure(folder: Path, exporter: int | None) -> None:
    scrapes = [{"job_name": "exporter", "static_configs": [{"targets": [f"127.0.0.1:{exporter}"]}]}] if exporter else []
    body = {"global": {"scrape_interval": "500ms", "scrape_timeout": "500ms"}, "scrape_configs": scrapes}
    (folder / "prometheus.yaml").write_text(yaml.safe_dump(body))


@pytest.fixture(scope="module")
def scraping(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A Prometheus that has scraped the exporter at least twice; tests leave it running."""
    folder = tmp_path_factory.mktemp("prometheus")
    with exporting() as exporter:
        configure(folder, exporter)
        server = Server(folder, free_port())
        server.start()
        try:
            wait_for(server, "count_over_time(gauge[1m]) > 2")
            yield server
        finally:
            server.stop()


def wait_for(server: Server, query: str) -> None:
    """Until a query gives something; asked without the code under test."""
    deadline, address = time.monotonic() + PATIENCE, f"{server.url}/api/v1/query?query={quote(query)}"
    while True:
        try:
            with urllib.request.urlopen(address, timeout=5) as answer:
                if b'"result":[]' not in answer.read():
                    return
        except OSError:
            pass
        assert time.monotonic() < deadline, f"{query} gives nothing; see {server.folder / 'log'}"
        time.sleep(0.1)


@dataclass
class Asking:
    """A source, with the test's clock and Secrets."""

    source: Prometheus
    secrets: Borrower
    clock: Clock

    async def value(self, query: str, server: Server, **more: object) -> float | None:
        given = {"query": query, "address": server.url, "timeout": "20s", **more}
        return await self.source.value(PrometheusQuery.model_validate(given), TARGET)


@pytest.fixture
async def asking() -> AsyncIterator[Asking]:
    """A source that may ask 127.0.0.1."""
    secrets, clock, threads = Borrower(), Clock(), ThreadPoolExecutor(4)
    async with Door(parse("127.0.0.1")) as door:
        yield Asking(Prometheus(door, Borrowed(secrets, secrets), Backoff(clock), threads), secrets, clock)
        await asyncio.to_thread(threads.shutdown)  # they wait for this loop


@pytest.mark.parametrize(
    ("query", "value"),
    [
        ("scalar(gauge)", 0.125),
        ("42", 42.0),
        ('gauge{revision="{{ revision }}"}', 0.125),
        ("gauge", 0.125),
        ('count(requests_total{revision="{{revision}}"})', 2.0),
        ('gauge{revision="{{ stableRevision }}"}', None),
        ("absent_metric", None),
        ("nothing", None),
        ("zero / zero", None),
        ("gauge / zero", None),
        ("-gauge / zero", None),
        ("scalar(absent_metric)", None),
        ("scalar(requests_total)", None),
        ("gauge * on(n) many", None),
    ],
)
async def test_query_gives_a_number_or_no_data(
    scraping: Server, asking: Asking, query: str, value: float | None
) -> None:
    assert await asking.value(query, scraping) == value


async def test_share_of_errors_over_the_window(scraping: Server, asking: Asking) -> None:
    by_revision = 'sum(rate({}{{revision="{{{{ revision }}}}"}}[{{{{ window }}}}]))'
    query = f"{by_revision.format('errors_total')} / {by_revision.format('requests_total')}"
    assert await asking.value(query, scraping) == pytest.approx(0.25, rel=0.2)


@pytest.mark.parametrize(
    ("query", "told"),
    [
        ("requests_total", "gives 2 series, and one is needed: aggregate them"),
        ("gauge[1m]", "gives a range of values, and one is needed"),
        ('"a text"', "does not answer as a Prometheus does"),
        ("sum(", "answered 400"),
        ("rate(gauge)", "answered 400"),
    ],
)
async def test_query_that_gives_something_else_says_so(scraping: Server, asking: Asking, query: str, told: str) -> None:
    with pytest.raises(Misconfigured, match=told) as refused:
        await asking.value(query, scraping)
    assert "parse error" not in str(refused.value)


async def test_answer_of_more_than_10_mb_is_given_up(scraping: Server, asking: Asking) -> None:
    with pytest.raises(Misconfigured, match="is longer than 1 MiB"):
        await asking.value(f'label_replace(many, "a", "{"x" * 3000}", "", "")', scraping)


async def test_prometheus_that_stops_and_comes_back(tmp_path: Path, asking: Asking) -> None:
    configure(tmp_path, None)
    server = Server(tmp_path, free_port())
    try:
        with pytest.raises(Unavailable, match="cannot be reached: Connection refused"):
            await asking.value("1", server)
        server.start()
        wait_for(server, "1")
        with pytest.raises(Unavailable, match="Connection refused; it is asked again in 1 s"):
            await asking.value("1", server)
        asking.clock.now += 2
        assert await asking.value("1", server) == 1
        server.stop()
        with pytest.raises(Unavailable):
            await asking.value("1", server)
        server.start()
        wait_for(server, "1")
        asking.clock.now += 2
        assert await asking.value("1", server) == 1
    finally:
        server.stop()


async def test_prometheus_that_hangs_is_given_up_in_time_and_goes_on_afterwards(
    scraping: Server, asking: Asking
) -> None:
    assert await asking.value("1", scraping) == 1
    scraping.halt()
    try:
        told = await asyncio.gather(
            *(asking.value("1", scraping, timeout="1s") for _ in range(6)), return_exceptions=True
        )
    finally:
        scraping.signal(signal.SIGCONT)
    assert all(isinstance(one, Unavailable) for one in told)
    assert sum("no whole answer within 1 s" in str(one) for one in told) >= 2
    wait_for(scraping, "1")
    asking.clock.now += 60
    assert await asking.value("gauge", scraping) == 0.125


async def test_query_that_takes_too_long_is_no_answer(scraping: Server, asking: Asking) -> None:
    with pytest.raises(Unavailable, match=r"no whole answer within 1 s|answered 503"):
        await asking.value("count(count_over_time((many * 2)[12h:10ms]))", scraping, timeout="1s")


async def test_token_is_shown_to_a_proxy_in_front(scraping: Server, asking: Asking) -> None:
    async def proxy(request: web.Request) -> web.Response:
        if request.headers.get("Authorization") != "Bearer let-me-in":
            return web.Response(status=401, text="who are you?")
        async with ClientSession() as session, session.get(f"{scraping.url}{request.path_qs}") as answer:
            return web.Response(status=answer.status, body=await answer.read())

    app = web.Application()
    app.router.add_get("/{path:.*}", proxy)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    front = replace(scraping, port=runner.addresses[0][1])
    try:
        with pytest.raises(Misconfigured, match="answered 401: it wants another token"):
            await asking.value("gauge", front)
        asking.secrets.kept["team-a", "access", "token"] = "let-me-in\n"
        token = {"name": "access", "key": "token"}
        assert await asking.value("gauge", front, bearerTokenSecretRef=token) == 0.125
    finally:
        await runner.cleanup()


async def test_tls_with_an_authority_of_ones_own(tmp_path: Path, asking: Asking) -> None:
    configure(tmp_path, None)
    authority = make_authority(tmp_path)
    files = {"cert_file": str(authority.server_chain), "key_file": str(authority.server_key)}
    (tmp_path / "web.yaml").write_text(yaml.safe_dump({"tls_server_config": files}))
    server = Server(tmp_path, free_port(), "https", (f"--web.config.file={tmp_path / 'web.yaml'}",))
    asking.secrets.kept["team-a", "ca", "pem"] = authority.certificate.read_text()
    ref = {"name": "ca", "key": "pem"}
    server.start()
    try:
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                assert await asking.value("1", server, caConfigMapRef=ref) == 1
                break
            except Unavailable:
                assert time.monotonic() < deadline
                asking.clock.now += 60
                await asyncio.sleep(0.1)
        assert await asking.value("1", server, caSecretRef=ref) == 1
        with pytest.raises(Misconfigured, match="is not trusted"):
            await asking.value("1", server)
    finally:
        server.stop()
