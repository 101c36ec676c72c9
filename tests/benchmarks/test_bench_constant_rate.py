"""The client that sends at a constant rate, against servers that stall, fail, hang up and are too slow."""

from __future__ import annotations

import threading
import time
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import pairwise
from typing import TYPE_CHECKING

from benchmarks.serving.constant_rate import ConstantRate, Record

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

REQUEST = b"POST /infer HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}"
RATE = 200


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, request: object, client_address: object) -> None:
        """A connection that the test breaks is no news."""


@contextmanager
def server(answer: Callable[[int], int]) -> Iterator[int]:
    """A server whose `answer` says which status the request of that number gets: 0 hangs up, 100 closes after it."""
    counted = iter(range(10**9))

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            status = answer(next(counted))
            if status == 0:
                self.close_connection = True
                return
            self.send_response(200 if status == 100 else status)
            self.send_header("Content-Length", "4")
            if status == 100:
                self.send_header("Connection", "close")
            self.end_headers()
            self.wfile.write(b"body")

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - http.server's signature
            """Silence."""

    with _Server(("127.0.0.1", 0), Handler) as running:
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield running.server_address[1]
        finally:
            running.shutdown()
            thread.join()


def run(port: int, seconds: float, rate: int = RATE) -> Record:
    limit = time.perf_counter() + seconds
    return ConstantRate(port, REQUEST, rate).run(lambda: time.perf_counter() >= limit)


def test_requests_are_due_at_even_distances_whatever_the_answers_take() -> None:
    with server(lambda _number: 200) as port:
        record = run(port, 0.5)
    due = sorted(record.due)
    assert len(due) >= RATE * 0.4
    distances = [after - before for before, after in pairwise(due)]
    assert max(distances) - min(distances) < 1e-6
    assert (record.errors, record.resets, record.saturated) == (0, 0, False)


def test_a_stall_is_seen_by_all_who_would_have_come_meanwhile() -> None:
    open_again = threading.Event()

    def answer(number: int) -> int:
        if number == 40:
            threading.Timer(0.4, open_again.set).start()
        if number >= 40:
            open_again.wait(5)
        return 200

    with server(answer) as port:
        record = run(port, 1.0)
    # At 200 requests/s a stall of 0.4 s meets 80; 64 connections let 64 of them in, and the others wait outside.
    late = [latency for latency in record.latencies if latency > 0.02]
    assert len(late) >= 70
    assert max(late) > 0.35


def test_answers_that_are_not_200_and_broken_connections_are_counted() -> None:
    with server(lambda number: {5: 503, 9: 0}.get(number, 200)) as port:
        record = run(port, 0.5)
    assert record.errors == 2
    assert record.resets == 1


def test_a_server_may_close_a_connection_after_an_answer() -> None:
    with server(lambda number: 100 if number % 3 == 0 else 200) as port:
        record = run(port, 0.4)
    assert (record.errors, record.resets) == (0, 0)
    assert len(record.due) >= RATE * 0.3


def test_every_25th_answer_is_kept_for_checking() -> None:
    with server(lambda _number: 200) as port:
        record = run(port, 0.5)
    assert record.kept == [b"body"] * (len(record.due) // 25)
    assert record.kept


def test_a_server_that_does_not_keep_up_is_given_up() -> None:
    released = threading.Event()

    def answer(_number: int) -> int:
        released.wait(9)
        return 200

    with server(answer) as port:
        client = ConstantRate(port, REQUEST, 1000, patience=0.2)
        watch = threading.Thread(target=lambda: _set_when_saturated(client, released))
        watch.start()
        record = client.run(lambda: False)
        watch.join()
    assert record.saturated


def _set_when_saturated(client: ConstantRate, released: threading.Event) -> None:
    limit = time.monotonic() + 20
    while not client.record.saturated and time.monotonic() < limit:
        time.sleep(0.01)
    released.set()
