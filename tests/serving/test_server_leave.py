"""How the server is overloaded, runs out of time, and leaves: nothing accepted is dropped, nothing waits for ever."""

from __future__ import annotations

import http.client
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.serving.processes import Reply, ServerProcess, get, post, until

if TYPE_CHECKING:
    from luntra_serving.bundle.verify import Bundle

INFER = "/v2/models/spinner/infer"
IN_FLIGHT = 'luntra_inference_in_flight{model="spinner",version="v1"}'
Document = Callable[..., Path]


def spin(rounds: int) -> dict[str, object]:
    return {"inputs": [{"name": "rounds", "datatype": "INT64", "shape": [1], "data": [rounds]}]}


def rounds_for(server: ServerProcess, seconds: float) -> int:
    """Return how many rounds take about so many seconds on this machine, now."""
    start = time.perf_counter()
    assert post(server.address, INFER, spin(200), {"x-request-deadline": "1m"}).status == 200
    return max(1, int(200 * seconds / (time.perf_counter() - start)))


def refuses(address: str) -> bool:
    """Whether nobody takes connections any more; one that reached the backlog of a closing port is reset instead."""
    host, port = address.split(":")
    try:
        with socket.create_connection((host, int(port)), timeout=10) as connection:
            connection.sendall(b"GET /v2/health/live HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            return not connection.recv(1)
    except (ConnectionRefusedError, ConnectionResetError, BrokenPipeError):
        return True


def in_background(pool: ThreadPoolExecutor, server: ServerProcess, rounds: int) -> Future[Reply]:
    return pool.submit(post, server.address, INFER, spin(rounds), {"x-request-deadline": "1m"})


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(8) as executor:
        yield executor


class TestOverload:
    def test_one_request_more_than_the_queue_holds_is_429_at_once_and_the_others_are_answered(
        self, spinner: Bundle, pool: ThreadPoolExecutor
    ) -> None:
        with ServerProcess(spinner.folder, "--max-queue", "1", "--threads", "1") as server:
            server.wait_ready()
            rounds = rounds_for(server, 1.0)
            # Two workers and one place in the queue.
            admitted = []
            for _ in range(3):
                admitted.append(in_background(pool, server, rounds))
                until(lambda: server.metric(IN_FLIGHT) == len(admitted), "the request to be admitted")
            start = time.perf_counter()
            refused = post(server.address, INFER, spin(1))
            assert time.perf_counter() - start < 0.5
            assert (refused.status, refused.headers["retry-after"]) == (429, "1")
            assert "1 requests of this version are waiting already" in refused.error
            assert [request.result().status for request in admitted] == [200, 200, 200]
            assert post(server.address, INFER, spin(1)).status == 200

    def test_health_answers_while_every_worker_is_busy(self, spinner: Bundle, pool: ThreadPoolExecutor) -> None:
        with ServerProcess(spinner.folder, "--threads", "1") as server:
            server.wait_ready()
            rounds = rounds_for(server, 1.0)
            busy = [in_background(pool, server, rounds) for _ in range(4)]
            until(lambda: server.metric(IN_FLIGHT) == 4, "all of them to be in flight")
            assert get(server.address, "/v2/health/live").status == 200
            assert get(server.address, "/v2/health/ready").status == 200
            assert not all(request.done() for request in busy)
            assert [request.result().status for request in busy] == [200] * 4

    def test_a_deadline_that_passes_is_504_and_the_server_goes_on(self, spinner: Bundle) -> None:
        with ServerProcess(spinner.folder, "--deadline", "50ms") as server:
            server.wait_ready()
            late = post(server.address, INFER, spin(rounds_for(server, 1.0)))
            assert late.status == 504
            assert late.error.startswith("no answer within the deadline of 50ms")
            assert late.headers["x-model-version"] == "v1"
            assert post(server.address, INFER, spin(1), {"x-request-deadline": "30s"}).status == 200


class TestLeaving:
    def test_h19_sigterm_turns_readiness_off_answers_for_the_delay_then_refuses_and_exits_0(
        self, spinner: Bundle, document: Document, tmp_path: Path
    ) -> None:
        arguments = ("--document", document(spinner), "--cache-dir", tmp_path, "--termination-delay", "1s")
        with ServerProcess(*arguments) as server:
            server.wait_ready()
            address, management = server.address, server.management
            kept = http.client.HTTPConnection(address)
            kept.request("GET", "/v2/health/live")
            assert kept.getresponse().read()
            start = time.monotonic()
            server.terminate()
            until(lambda: get(address, "/v2/health/ready").status == 503, "readiness to go off")
            assert get(address, "/v2/health/live").status == 200
            fresh = post(address, INFER, spin(1), {"x-request-deadline": "30s"})
            assert (fresh.status, fresh.headers["connection"]) == (200, "close")
            kept.request("POST", INFER, json.dumps(spin(1)), {"x-request-deadline": "30s"})
            old = kept.getresponse()
            assert (old.status, old.getheader("connection")) == (200, "close")
            assert json.loads(get(management, "/v1/models/spinner").body)["draining"] is True
            until(lambda: refuses(address), "the port to be refused")
            assert server.wait() == 0
            assert 1.0 <= time.monotonic() - start < 5.0

    def test_h19_what_is_in_flight_at_the_end_of_the_delay_is_finished(
        self, spinner: Bundle, pool: ThreadPoolExecutor
    ) -> None:
        with ServerProcess(spinner.folder, "--termination-delay", "0") as server:
            server.wait_ready()
            running = in_background(pool, server, rounds_for(server, 1.5))
            until(lambda: server.metric(IN_FLIGHT) == 1, "the request to run")
            address = server.address
            server.terminate()
            until(lambda: refuses(address), "the port to be refused")
            assert not running.done()
            assert running.result().status == 200
            assert server.wait() == 0

    def test_h19_under_load_no_request_that_was_sent_before_the_port_closed_is_lost(
        self, spinner: Bundle, document: Document, tmp_path: Path
    ) -> None:
        arguments = ("--document", document(spinner), "--cache-dir", tmp_path, "--termination-delay", "1s")
        statuses: list[int] = []
        stop = threading.Event()

        def client(address: str) -> None:
            while not stop.is_set():
                statuses.append(post(address, INFER, spin(1), {"x-request-deadline": "30s"}).status)

        with ServerProcess(*arguments) as server:
            server.wait_ready()
            address = server.address
            clients = [threading.Thread(target=client, args=(address,)) for _ in range(4)]
            for thread in clients:
                thread.start()
            until(lambda: len(statuses) > 50, "some load")
            server.terminate()
            # A gateway stops sending when readiness goes off; so do these clients, within the delay.
            until(lambda: get(address, "/v2/health/ready").status == 503, "readiness to go off")
            seen = len(statuses)
            until(lambda: len(statuses) > seen + 20, "answers after readiness went off")
            stop.set()
            for thread in clients:
                thread.join()
            assert set(statuses) == {200}
            assert server.wait() == 0

    def test_h19_a_client_that_never_finishes_its_request_does_not_keep_the_process(self, spinner: Bundle) -> None:
        with ServerProcess(spinner.folder, "--drain-limit", "1s") as server:
            server.wait_ready()
            host, port = server.address.split(":")
            with socket.create_connection((host, int(port))) as connection:
                connection.sendall(b"POST /v2/models/spinner/infer HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{")
                until(lambda: server.metric("luntra_connections") == 1, "the connection")
                server.terminate()
                assert server.wait(10) == 0

    def test_h19_a_second_signal_ends_the_delay(self, spinner: Bundle) -> None:
        with ServerProcess(spinner.folder, "--termination-delay", "1m") as server:
            server.wait_ready()
            server.terminate()
            until(lambda: get(server.address, "/v2/health/ready").status == 503, "readiness to go off")
            server.terminate()
            assert server.wait(10) == 0

    def test_h19_a_signal_during_the_load_ends_the_process_with_0(
        self, spinner: Bundle, document: Document, tmp_path: Path
    ) -> None:
        path = document(spinner, uri=(tmp_path / "nothing-here").as_uri())
        with ServerProcess("--document", path, "--cache-dir", tmp_path, "--termination-delay", "0") as server:
            until(lambda: any("cannot be loaded yet" in entry["message"] for entry in server.logs), "a failed attempt")
            server.terminate()
            assert server.wait(10) == 0


class TestOtherClients:
    def test_garbage_on_the_port_is_refused_and_harms_nobody(self, points_server: ServerProcess) -> None:
        host, port = points_server.address.split(":")
        for garbage in (b"\x16\x03\x01\x02\x00", b"GET\r\n\r\n", b"POST /v2 HTTP/1.1\r\nContent-Length: -5\r\n\r\n"):
            with socket.create_connection((host, int(port)), timeout=10) as connection:
                connection.sendall(garbage)
                assert connection.recv(1000).startswith(b"HTTP/1.1 400")
        assert get(points_server.address, "/v2/health/live").status == 200

    def test_a_client_that_leaves_in_the_middle_of_its_body_is_forgotten(self, points_server: ServerProcess) -> None:
        host, port = points_server.address.split(":")
        before = points_server.metric("luntra_connections")
        with socket.create_connection((host, int(port))) as connection:
            connection.sendall(b"POST /v2/models/points/infer HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{")
            until(lambda: points_server.metric("luntra_connections") == before + 1, "the connection")
        until(lambda: points_server.metric("luntra_connections") == before, "the request to be forgotten")
